"""The saved configs of many runs, most of which differ in a few values, as objects."""

from collections.abc import Iterable, Iterator
from typing import Any

from nettrain.config.build import can_be_set, load_config, with_values
from nettrain.config.schema import GROUPS, Config


def load_configs(containers: Iterable[dict[str, Any]]) -> Iterator[Config]:
    """Each as `load_config` gives it; one that differs from one before in plain values alone takes a small part of its
    time.
    """
    before: dict[Any, tuple[dict[str, Any], Config]] = {}  # by the names of its parts
    for container in containers:
        names = str([container.get(group, {}).get("name") for group in GROUPS])
        alike = before.get(names)
        values = _differing(alike[0], container) if alike else None
        if alike and values is not None and all(can_be_set(alike[1], key) for key in values):
            yield with_values(alike[1], values)
            continue
        config = load_config(container)
        if not hasattr(config.model, "notes"):
            before[names] = container, config
        yield config


def _differing(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> dict[str, Any] | None:
    """What the other container has in the places where the two differ, by keys; None where they have other keys."""
    if one.keys() != other.keys():
        return None
    found: dict[str, Any] = {}
    for name, value in other.items():
        if isinstance(value, dict) and isinstance(one[name], dict):
            inside = _differing(one[name], value, f"{prefix}{name}.")
            if inside is None:
                return None
            found |= inside
        elif value != one[name] or type(value) is not type(one[name]):
            found[prefix + name] = value
    return found
