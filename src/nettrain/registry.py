"""Parts are dataclasses with a `name`; `option(...)` is a field that carries its help, its range and its scope."""

import copy
import dataclasses
import inspect
import math
import operator
import sys
from collections.abc import Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from nettrain.errors import ConfigError

if TYPE_CHECKING:
    import torch

Scope = Literal["result", "length", "chance", "speed", "launch"]
"""What a key changes.

- result: what is trained. It tells runs apart, and a run that is resumed keeps it.
- length: how long it is trained. It tells runs apart, and may change when a run is resumed.
- chance: the random numbers that are drawn. Runs that differ in nothing else repeat one another.
- speed: how fast the same result comes.
- launch: what this start of the program records, shows and reads.
"""

_RANGES = {
    "above": (operator.gt, "greater than {}"),
    "minimum": (operator.ge, "at least {}"),
    "below": (operator.lt, "less than {}"),
    "maximum": (operator.le, "at most {}"),
}


def option(
    default: Any,
    help: str,
    scope: Scope = "result",
    *,
    per_row: bool = False,
    saved: bool = True,
    is_path: bool = False,
    **limits: Any,
) -> Any:
    """A dataclass field with a `default`, one line of `help`, what it changes, and its `limits`.

    With `per_row` the rows of a stack may differ in it; without `saved` a run's config has the default instead; with
    `is_path` it names a file, relative to the working directory. `limits` are `above`, `minimum`, `below`, `maximum`
    (numbers; for a list or a dictionary they hold for each element) or `choices` (a tuple); beside these
    `elsewhere` may say of other words, which people look for, what to set instead. A list or a dictionary, which takes
    any keys, is given as it is and copied for every instance.
    """
    assert scope in get_args(Scope), scope
    metadata = {"help": help, "scope": scope, "per_row": per_row, "saved": saved, "is_path": is_path, **limits}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@cache
def options(part: type, prefix: str = "") -> dict[str, dataclasses.Field]:
    """The fields of a dataclass, and of those inside it, by their dotted keys; its `name` is none of them."""
    fields: dict[str, dataclasses.Field] = {}
    for field in map(partial(_described, part), dataclasses.fields(part)):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            fields |= options(field.type, f"{prefix}{field.name}.")
        elif field.name != "name":
            fields[prefix + field.name] = field
    return fields


def _described(part: type, field: dataclasses.Field) -> dataclasses.Field:
    """The field as `option` makes it, where it was written in another way."""
    if "scope" in field.metadata and not isinstance(field.type, str):
        return field
    described = option(field.default, "") if "scope" not in field.metadata else copy.copy(field)
    described.name, described.default_factory = field.name, field.default_factory
    described.type = get_type_hints(part)[field.name] if isinstance(field.type, str) else field.type
    return described


def values_of(part: Any) -> dict[str, Any]:
    """The values of a part by name; of one that takes any key also those that were added to it beside its fields.

    Such as Hydra's `_partial_`. Any other part may keep attributes of its own, which are no keys.
    """
    if getattr(part, "takes_any_key", False):
        return {name: value for name, value in vars(part).items() if not name.startswith("_") or name.endswith("_")}
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}


def allowed(field: dataclasses.Field) -> str:
    """The limits of a field in words, such as `at least 0 and less than 1`; empty where there are none."""
    limits = field.metadata
    if "choices" in limits:
        return "one of " + ", ".join(map(str, limits["choices"]))
    if "minimum" in limits and "maximum" in limits:
        return f"between {limits['minimum']} and {_power(limits['maximum'])}"
    return " and ".join(text.format(limits[key]) for key, (_, text) in _RANGES.items() if key in limits)


def _power(bound: float) -> str:
    """The bound, a large one such as `2**63 - 1`."""
    return f"2**{int(bound).bit_length()} - 1" if bound > 2**31 else str(bound)


def subclasses(*bases: type) -> list[type]:
    """The classes and all of their subclasses that have been defined, each behind its base."""
    return [cls for base in bases for cls in [base, *subclasses(*base.__subclasses__())]]


def named_parts(classes: Iterable[type]) -> dict[str, type]:
    """The concrete dataclasses among some classes by their `name`; the bases that parts share have none.

    Of a user's classes with one name the last one counts, as when a file is imported again. Raises `ConfigError` for a
    class of a user's that is no dataclass, or has no name of its own.
    """
    parts: dict[str, type] = {}
    for part in classes:
        if inspect.isabstract(part) or (name := str(getattr(part, "name", ""))) == "":
            continue
        where = f"{_home(part)}: {part.__qualname__}"
        if not {"__dataclass_fields__", "name"} <= vars(part).keys():
            raise ConfigError(
                f"{where}: a part is a dataclass with a name; put @dataclass above the class, and a field such as "
                f'name: str = "{part.__name__.lower()}" into it.'
            )
        if name in parts and is_ours(parts[name]):
            raise ConfigError(f"{where}: the name {name} is that of a part of nettrain; choose another one.")
        parts[name] = part
    return parts


def is_concrete(part: type) -> bool:
    """Whether a class can have objects that are parts: it has no method that is still to be written."""
    return not inspect.isabstract(part)


def no_name(part: type) -> str:
    """That a class of a user's has no name, in the rest of a sentence."""
    return (
        f"the class {part.__qualname__} in {_home(part)} has no name, by which it would be chosen; put a field such as "
        f'name: str = "{part.__name__.lower()}" into it.'
    )


def _home(part: type) -> str:
    return str(getattr(sys.modules.get(part.__module__), "__file__", None) or part.__module__)  # a notebook has no file


def is_ours(part: Any) -> bool:
    """Whether a part, a class or an activation's function, lies in nettrain itself."""
    return part.__module__.partition(".")[0] == "nettrain"


def check(part: Any, path: str = "") -> None:
    """Raise `ConfigError` for the first field of a dataclass, or of one inside it, that is outside its limits."""
    for field in dataclasses.fields(part):
        value, key = getattr(part, field.name), path + field.name
        if dataclasses.is_dataclass(value):
            check(value, key + ".")
            continue
        items = value.values() if isinstance(value, dict) and "choices" in field.metadata else [value]
        for item in value if isinstance(value, list) else items:
            if isinstance(item, list) or (isinstance(item, dict) and value is not item and field.type != list[Any]):
                raise ConfigError(f"{key}={value}: {key} must be a flat list, such as {key}=[64,32].")
            if not _fits(item, field):
                instead = field.metadata.get("elsewhere", {}).get(item, "")
                raise ConfigError(
                    f"{key}={value}: {key} must be {allowed(field) or 'finite'}{instead and '; ' + instead}."
                )


def check_range(part: Any, dtype: "torch.dtype", path: str = "") -> None:
    """Raise `ConfigError` for the first number of a part that arithmetic in `dtype` would take for infinite or 0."""
    import torch

    name = str(dtype).removeprefix("torch.")
    for key, value in values_of(part).items():
        if not isinstance(value, float) or value == 0:
            continue
        stands_for = float(torch.tensor(value, dtype=torch.float64).to(dtype))
        if math.isinf(stands_for):
            raise ConfigError(
                f"{path}{key}={value}: {name} ends at {torch.finfo(dtype).max:.2g}; use a smaller number."
            )
        if stands_for == 0:
            raise ConfigError(f"{path}{key}={value}: in {name} this is 0; use a larger number.")


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
