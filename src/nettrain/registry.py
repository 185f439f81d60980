"""Parts are dataclasses with a `name`; `option(...)` is a field that carries its own documentation and range."""

import dataclasses
import math
from types import ModuleType
from typing import Any

from nettrain.errors import ConfigError

_RANGES = {
    "above": (lambda value, bound: value > bound, "> {}"),
    "minimum": (lambda value, bound: value >= bound, ">= {}"),
    "below": (lambda value, bound: value < bound, "< {}"),
    "maximum": (lambda value, bound: value <= bound, "<= {}"),
}


def option(default: Any, help: str, **limits: Any) -> Any:
    """A dataclass field with a `default`, one line of `help` and its `limits`.

    `limits` are `above`, `minimum`, `below`, `maximum` (numbers; for a list they hold for each element) or
    `choices` (a tuple). A list is given as it is and copied for every instance.
    """
    metadata = {"help": help, **limits}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def allowed(field: dataclasses.Field) -> str:
    """The limits of a field in words, such as `> 0, < 1`; empty where there are none."""
    limits = [text.format(field.metadata[key]) for key, (_, text) in _RANGES.items() if key in field.metadata]
    if "choices" in field.metadata:
        limits.append("one of " + ", ".join(map(str, field.metadata["choices"])))
    return ", ".join(limits)


def named_parts(*modules: ModuleType) -> dict[str, type]:
    """The dataclasses defined in some modules, by their `name`; the bases that parts share have none."""
    found: dict[str, type] = {}
    for module in modules:
        for part in vars(module).values():
            own = isinstance(part, type) and dataclasses.is_dataclass(part) and part.__module__ == module.__name__
            if own and (name := str(getattr(part, "name", ""))):
                found[name] = part
    return found


def check(part: Any, path: str = "") -> None:
    """Raise `ConfigError` for the first field of a dataclass, or of one inside it, that is outside its limits."""
    for field in dataclasses.fields(part):
        value, key = getattr(part, field.name), path + field.name
        if dataclasses.is_dataclass(value):
            check(value, key + ".")
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, list):
                raise ConfigError(f"{key}={value}: {key} has to be a plain list, such as {key}=[64,32].")
            if not _fits(item, field):
                raise ConfigError(f"{key}={value}: {key} has to be {allowed(field) or 'finite'}.")


def _fits(value: Any, field: dataclasses.Field) -> bool:
    if value is None:
        return True
    if "choices" in field.metadata:
        return value in field.metadata["choices"]
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return True
    return math.isfinite(value) and all(
        holds(value, field.metadata[key]) for key, (holds, _) in _RANGES.items() if key in field.metadata
    )
