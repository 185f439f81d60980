"""Recipes, settings that go together, and which of them a table gets where nobody has named one."""

import re
from collections.abc import Sequence

from nettrain.config.schema import OF_ANY_CLASS, config_folder, parts
from nettrain.optimizers.solvers import Solver

AUTO = "auto"  # the word for what `with_recipe` chooses
TABLE, ALL_ROWS = "table", "all_rows"
_TABLES = ("csv", "sql")  # data sets whose rows are somebody's own
_MODELS = ("tabm", "mlp")  # that the recipe for tables was made for; the first one is its own
_OF_MEMBERS = "model.k=2"  # perceptrons of each member, which are many together
_NAME = re.compile(r"\+*([\w/]+)=(['\"]?)([\w.]+)\2")


def with_recipe(overrides: Sequence[str]) -> list[str]:
    """The overrides of a run, with the recipe that its data have where none is named, or where `recipe=auto` is.

    Of tables all rows train or validate. The recipe for tables is that of networks for tables which a gradient trains;
    a module of one's own, which may count its features, a solver and other models keep their settings. Where there are
    members the recipe's model is a smaller one.
    """
    matches = filter(None, map(_NAME.fullmatch, overrides))
    chosen: dict[str, str] = {match[1]: match[3] for match in matches}
    chosen |= {group: part.name for group, part in OF_ANY_CLASS.items() if _names_class(overrides, group)}
    wanted = chosen.get("recipe", AUTO if chosen.get("data") in _TABLES else None)
    if wanted not in (AUTO, TABLE) or any(override.startswith("resume=") for override in overrides):
        return list(overrides)
    solver = parts("optimizer").get(chosen.get("optimizer", ""), object)
    model = chosen.get("model", _MODELS[0])
    if wanted == AUTO:
        wanted = TABLE if model in _MODELS and not issubclass(solver, Solver) else ALL_ROWS
    words = [f"recipe={wanted}"]
    several = chosen.get("members", "1") != "1" or chosen.get("folds", "null") != "null"
    if wanted == TABLE and model == _MODELS[0] and several and "model.k" not in chosen:
        words.append(_OF_MEMBERS)
    rest = [override for override in overrides if not override.startswith("recipe=")]
    first = next((i for i, override in enumerate(rest) if not override.startswith("-")), len(rest))
    return [*rest[:first], *words, *rest[first:]]


def _names_class(overrides: Sequence[str], group: str) -> bool:
    return any(override.lstrip("+").startswith(f"{group}._target_=") for override in overrides)


def recipe_of(overrides: Sequence[str]) -> str | None:
    """The shipped recipe, other than plain, that the overrides of a run name, and what is in it."""
    name = next((override.partition("=")[2] for override in overrides if override.startswith("recipe=")), "plain")
    path = config_folder() / "recipe" / f"{name}.yaml"
    if name == "plain" or not path.is_file():
        return None
    lines = (line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# "))
    about = next(line for line in lines if not line.startswith("@package"))
    return f"{name}: {about[0].lower()}{about[1:].rstrip('.')} (recipe=plain leaves that out)"
