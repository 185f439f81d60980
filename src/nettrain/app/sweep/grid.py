"""A grid of runs: every combination of the values that were given, or, for keys that are zipped, one after another."""

import itertools
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException

from nettrain.config.recipes import with_recipe
from nettrain.config.schema import OF_ANY_CLASS
from nettrain.errors import ConfigError


def jobs(overrides: Sequence[Override], zipped: Sequence[str]) -> list[list[str]]:
    """The overrides of every run: a product over the keys, in which the `zipped` keys count as one.

    Raises `ConfigError` where zipped keys have different numbers of values.
    """
    choices = {override.get_key_element(): _values(override) for override in overrides}
    for key in zipped:
        if key not in choices:
            raise ConfigError(f"hydra.sweeper.zip: {key} has no values on the command line.")
    lengths = {key: len(choices[key]) for key in zipped}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {n}" for key, n in lengths.items())
        raise ConfigError(f"hydra.sweeper.zip: keys that vary together need the same number of values; {counts}.")
    axes: list[list[tuple[str, ...]]] = []
    for key, values in choices.items():
        if key not in zipped:
            axes.append([(value,) for value in values])
        elif key == next(k for k in choices if k in zipped):
            axes.append(list(zip(*(choices[k] for k in choices if k in zipped), strict=True)))
    return [list(itertools.chain(*combination)) for combination in itertools.product(*axes)]


def with_recipes(launcher: Any, jobs: list[list[str]]) -> list[list[str]]:
    """The jobs with the recipes that their data have; those of other programs as they are."""
    nettrains = getattr(launcher.task_function, "__module__", None) == "nettrain.app.cli"
    knows_recipes = nettrains and "recipe" in launcher.config.hydra.runtime.choices
    return [with_recipe(job) for job in jobs] if knows_recipes else jobs


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise HydraException(
            f"{key}: a grid needs a list of values; interval(...) is for a search (hydra/sweeper=tpe)."
        )
    values = list(override.sweep_string_iterator())
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP and key in OF_ANY_CLASS:
        values = [value for value in values if value != OF_ANY_CLASS[key].name]  # it is nothing without a class
    return [f"{key}={value}" for value in values]
