"""What a key of a configuration changes, asked of its field: which keys tell runs apart, which may change on resume."""

import dataclasses
import json
from functools import cache
from typing import Any

from nettrain.config.build import flat
from nettrain.config.schema import GROUPS, Config, known_options, parts
from nettrain.registry import Scope, options, values_of


def scope_of(key: str) -> Scope:
    """What a key changes; the result, for one that only a user's own class knows."""
    if key.startswith("logger."):
        return "launch"
    field = next(iter(known_options().get(key, {}).values()), None)
    scope: Scope = field.metadata["scope"] if field else "result"
    return scope


def may_change_on_resume(key: str) -> bool:
    """Whether a run may go on with another value of this key; its data may lie in another place by then."""
    return scope_of(key) in ("length", "speed", "launch") or _is_path(key)


def resumable_keys() -> list[str]:
    """The root keys, or groups of keys, that may change when a run is resumed, such as `epochs` and `budget.*`."""
    keys = [key.partition(".") for key in options(Config) if may_change_on_resume(key)]
    return list(dict.fromkeys(f"{key}.*" if rest else key for key, _, rest in keys))


def _is_path(key: str) -> bool:
    return any(field.metadata["is_path"] for field in known_options().get(key, {}).values())


def tells_apart(key: str) -> bool:
    """Whether runs with different values of this key are different runs."""
    return scope_of(key) in ("result", "length", "chance")


def of_all_ranks(key: str) -> bool:
    """Whether ranks that share a run need the same value: of all but where files lie, and what is recorded."""
    return (scope_of(key) != "launch" or key.startswith("checkpoint.")) and not _is_path(key)


def is_chance(key: str) -> bool:
    """Whether runs that differ in this key alone are repetitions of one another."""
    return scope_of(key) == "chance"


def identity(container: dict[str, Any]) -> str:
    """What tells a run apart from others, as text; keys with their defaults are left out.

    `container` is a config as `saved_container` gives it, perhaps one that an earlier version has saved.
    """
    values = {key: value for key, value in flat(container).items() if tells_apart(key)}
    usual = dict(defaults(Config))
    for group in GROUPS:
        part = parts(group).get(values.get(f"{group}.name", ""))
        usual |= defaults(part, f"{group}.") if part else {}
    for name, node in (container.get("callbacks") or {}).items():
        part = parts("callbacks").get(str(node.get("name"))) if isinstance(node, dict) else None
        usual |= defaults(part, f"callbacks.{name}.") if part else {}
    return json.dumps({k: v for k, v in values.items() if k not in usual or v != usual[k]}, sort_keys=True)


def hparams(container: dict[str, Any]) -> dict[str, Any]:
    """A config as flat keys for a table of runs: a part's name under its group, and what tells runs apart."""
    values = {key.removesuffix(".name"): value for key, value in flat(container).items() if tells_apart(key)}
    return {key: str(value) if isinstance(value, list) else value for key, value in values.items() if value is not None}


def shared_by_rows(config: Config) -> str:
    """What the rows of a stack have in common, as text: configs for which it is equal can train as one stack."""
    return json.dumps(_shared(config), sort_keys=True)


def _shared(part: Any) -> dict[str, Any]:
    fields = {field.name: field for field in dataclasses.fields(part)}
    common: dict[str, Any] = {}
    for name, value in values_of(part).items():
        each_has_its_own = name in fields and fields[name].metadata.get("per_row", False)
        if not each_has_its_own and not getattr(value, "per_row", False):
            common[name] = _shared(value) if dataclasses.is_dataclass(value) else value
        elif hasattr(value, "stack_key"):
            common[name] = value.stack_key
    return common


@cache
def defaults(part: type, prefix: str = "") -> dict[str, Any]:
    """The default of every key of a part, by its name with the prefix."""
    missing = dataclasses.MISSING
    return {
        key: field.default_factory() if field.default_factory is not missing else field.default
        for key, field in options(part, prefix).items()
    }
