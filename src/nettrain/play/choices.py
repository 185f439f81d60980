"""What a page can choose from: parts with their keys, defaults, limits and help, as plain containers."""

import dataclasses
import inspect
from typing import Any

from omegaconf import OmegaConf

from nettrain.config.schema import config_folder, parts, register
from nettrain.config.settings import Settings
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.search import Search
from nettrain.play.session import MOST_LANES, MOST_SEEDS
from nettrain.play.settings import DATA, MODELS
from nettrain.play.tables import BUNDLED
from nettrain.registry import options

_OF_DATA = ("samples", "noise", "data_seed", "val_fraction", "numbers", "bins", "w1", "w2", "w3", "degree")
_HEADS = ("auto", "sigmoid_bce", "softmax_ce", "identity_mse", "huber", "normal", "quantile")
_SCHEDULES = ("constant", "exponential", "inverse_time", "step", "cosine", "one_cycle")
_ROOTS = ("bs", "epochs", "seed", "precision", "engine", "on_divergence")


def choices() -> dict[str, Any]:
    """The parts of each group by name, and the keys of every run."""
    register()
    known = {
        "data": DATA,
        "model": MODELS,
        "activation": tuple(parts("activation")),
        "head": _HEADS,
        "optimizer": tuple(name for name in parts("optimizer") if name != "torch"),
        "schedule": _SCHEDULES,
    }
    groups = {group: {name: _part(group, name) for name in names} for group, names in known.items()}
    for name, described in groups["optimizer"].items():
        described["branch"] = _branch(parts("optimizer")[name])
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    roots = {key: _option(fields[key]) for key in _ROOTS}
    limits = {"lanes": MOST_LANES, "seeds": MOST_SEEDS}
    return {"groups": groups, "keys": roots, "tables": list(BUNDLED), "limits": limits}


def _part(group: str, name: str) -> dict[str, Any]:
    part = parts(group)[name]
    keys = {key: field for key, field in options(part).items() if group != "data" or key in _OF_DATA}
    file: Any = OmegaConf.load(config_folder() / group / f"{name}.yaml")
    return {
        "help": (inspect.getdoc(part) or "").partition("\n")[0],
        "keys": {key: _option(field) for key, field in keys.items()},
        "sets": {key: file[key] for key in ("bs", "epochs") if key in file},  # which is no key of the part itself
    }


def _option(field: dataclasses.Field) -> dict[str, Any]:
    default = field.default if field.default is not dataclasses.MISSING else None
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    kind = "list" if isinstance(default, list) else type(default).__name__
    limits = {
        name: field.metadata[name]
        for name in ("minimum", "maximum", "above", "below", "choices")
        if name in field.metadata
    }
    return {"default": default, "kind": kind, "help": field.metadata["help"], **limits}


def _branch(optimizer: type) -> str:
    """Of which kind an optimizer is: one of gradients, of second derivatives, or of search."""
    if issubclass(optimizer, Rule):
        return "gradient"
    return "search" if issubclass(optimizer, Search) else "curvature"
