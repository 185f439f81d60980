"""Groups of parameters by name patterns: factors of the learning rate and of the weight decay, and freezing.

`groups` maps patterns, as of `fnmatch`, to what they change, such as {"*.bias": {"weight_decay": 0}, "embed.*":
{"freeze": true}}. A parameter belongs to every pattern that its name matches; their factors are multiplied, so that the
order of the patterns does not matter. Frozen parameters are no part of the flat vector.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import nn

from nettrain.errors import ConfigError
from nettrain.vector import trainable

Groups = Mapping[str, Mapping[str, Any]]

KEYS = ("lr", "weight_decay", "freeze")
_SHOWN = 10  # names that a sentence lists


class Factors(NamedTuple):
    """By what the optimizer's learning rate and weight decay are multiplied for a parameter."""

    lr: float = 1.0
    weight_decay: float = 1.0


def check_groups(groups: Any) -> None:
    """Raise `ConfigError` for what is no mapping of patterns to factors of 0 or more, and to `freeze`."""
    example = "such as groups={*.bias:{weight_decay:0}}"
    if groups is None:
        return
    if not isinstance(groups, Mapping):
        raise ConfigError(f"groups={groups}: it must map patterns of parameter names to what they change, {example}.")
    for pattern, changes in groups.items():
        if not isinstance(changes, Mapping) or not changes:
            raise ConfigError(
                f"groups.{pattern}={changes}: it must say what it changes ({', '.join(KEYS)}), {example}."
            )
        for key, value in changes.items():
            if key not in KEYS:
                raise ConfigError(f"groups.{pattern}.{key}: there is no such key; choose from {', '.join(KEYS)}.")
            if key == "freeze" and not isinstance(value, bool):
                raise ConfigError(f"groups.{pattern}.freeze={value}: it must be true or false.")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if key != "freeze" and not (number and math.isfinite(value) and value >= 0):
                raise ConfigError(
                    f"groups.{pattern}.{key}={value}: it is a factor, and must be a number of at least 0."
                )


def freeze(module: nn.Module, groups: Groups | None) -> None:
    """Freeze the parameters that the groups freeze. Raises `ConfigError` for a pattern that none matches."""
    parameters = dict(module.named_parameters(remove_duplicate=False))  # tied ones have several names
    for pattern, changes in (groups or {}).items():
        matching = _matching(pattern, parameters)
        if not matching:
            raise ConfigError(
                f"groups.{pattern}: no parameter has such a name; there are {_nearest(pattern, parameters)}."
            )
        if changes.get("freeze"):
            for name in matching:
                parameters[name].requires_grad_(False)


def factors(module: nn.Module, groups: Groups | None) -> list[Factors]:
    """The factors of each trainable parameter, in the order of the layout."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    changed = []
    for weights in trainable(module).values():
        of_it = [changes for pattern, changes in (groups or {}).items() if _matching(pattern, names[id(weights)])]
        changed.append(Factors(*(math.prod(float(one.get(key, 1)) for one in of_it) for key in Factors._fields)))
    return changed


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if fnmatchcase(name, pattern)]


def _nearest(pattern: str, names: Iterable[str]) -> str:
    """The names, those nearest to the pattern first; not all of very many."""
    ordered = sorted(names, key=lambda name: -difflib.SequenceMatcher(None, pattern, name).ratio())
    more = len(ordered) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
