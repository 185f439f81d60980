"""What the page sets: overrides like those of the command line, as far as a page may set them."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from nettrain.app.arguments import read_arguments
from nettrain.config.build import to_config
from nettrain.config.compose import compose_beside
from nettrain.config.explain import explain
from nettrain.config.recipes import with_recipe
from nettrain.config.schema import Config, parts, register
from nettrain.errors import ConfigError

DATA = ("moons", "spirals", "sine", "quadratic", "csv")
MODELS = ("mlp", "linear", "polynomial")
_PARTS = {"data": DATA, "model": MODELS, "recipe": ("plain", "table", "all_rows")}
_GROUPS = ("data", "model", "activation", "head", "optimizer", "schedule", "recipe")
_OF_ANY_CLASS = ("torch", "loss", "module")  # parts that would import what a page names
_ROOTS = (
    *("bs", "epochs", "seed", "precision", "engine", "device", "deterministic", "drop_last", "accumulate"),
    *("class_weight", "on_divergence", "calibrate", "early_stopping", "budget"),
)
_KEY = re.compile(r"([a-z_]+)(\..+)?", re.ASCII)


def check(overrides: Sequence[str], readable: Sequence[Path]) -> None:
    """Raise `ConfigError` for an override that a page must not set, since any other page could have linked to it.

    Code is never named, and files are read only in the folders, or at the paths, that are `readable`.
    """
    for override in overrides:
        key, equals, value = override.partition("=")
        match = _KEY.fullmatch(key)
        if not equals or not match:
            raise ConfigError(f"{override}: a setting is written <key>=<value>, such as optimizer.lr=0.1.")
        name, inner = match[1], match[2]
        if name not in (*_GROUPS, *_ROOTS) or "_target_" in override or "${" in value:
            raise ConfigError(f"{key}: nettrain-play does not set it; {_program()} does.")
        if name in _GROUPS and not inner:
            known = _PARTS.get(name) or [part for part in parts(name) if part not in _OF_ANY_CLASS]
            if value in _OF_ANY_CLASS or (name in _PARTS and value not in known) or not re.fullmatch(r"\w+", value):
                raise ConfigError(f"{override}: nettrain-play knows no such {name}; choose from {', '.join(known)}.")
        if key == "data.path" and not _may_be_read(Path(value), readable):
            raise ConfigError(
                f"{override}: the page reads no files but those that were given to it; open the table on the page, or "
                f"start nettrain-play data=csv {override}."
            )


def _may_be_read(path: Path, readable: Sequence[Path]) -> bool:
    absolute = path.expanduser().resolve()
    return any(absolute == allowed.resolve() or allowed.resolve() in absolute.parents for allowed in readable)


def config_of(overrides: Sequence[str]) -> Config:
    """The config that the command line makes of these overrides; a `Mistake` where it would end with a message."""
    register()
    typed, _ = read_arguments(list(overrides), None, None, None, None)
    try:
        composed = compose_beside("train", with_recipe(typed))
        del composed.hydra
        config = to_config(composed, typed)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from None
    for key in ("members", "folds"):  # that a recipe may set
        if getattr(config, key) not in (None, 1):
            raise ConfigError(f"{key}: nettrain-play trains runs without members; use recipe=plain.")
    return config


def command(overrides: Sequence[str], seeds: Sequence[int] = ()) -> str:
    """The command line that trains the same run, or the same runs with several seeds, with the same numbers."""
    if not seeds:
        return shlex.join([*_program().split(), *overrides])
    rest = [override for override in overrides if not override.startswith("seed=")]
    return shlex.join([*_program().split(), "-m", *rest, f"seed=range({seeds[0]},{seeds[-1] + 1})"])


def _program() -> str:
    return "python train.py" if Path("train.py").is_file() else "nettrain"


def same_data(configs: Sequence[Config]) -> bool:
    """Whether all read the same table, however they split it."""
    tables = [dataclasses.replace(config.data, split_seed=None) for config in configs]
    return all(table == tables[0] for table in tables)
