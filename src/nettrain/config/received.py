"""Configs from a folder of somebody's: what Hydra would import and call because such a file names it.

Hydra instantiates its callbacks, launcher and sweeper, and gives its logging nodes to Python's `logging.config`, which
imports what they name. A file with such names is code; it needs trust.
"""

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nettrain.config.overrides import config_options
from nettrain.config.schema import config_folder
from nettrain.errors import ConfigError
from nettrain.hydra_versions import OWN_TARGETS, Loader

_INSTALLED = (*OWN_TARGETS, "nettrain.app.")
_HANDLERS = ("logging.StreamHandler", "logging.FileHandler", "logging.Formatter", "colorlog.ColoredFormatter")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_MOST_COMPOSITIONS = 200  # of the configs that a sweep chooses among; each takes some 20 ms
_ADDING = ("--config-d", "-cd", "--config-p", "-cp", "hydra.searchpath", "+hydra.searchpath")


def require_harmless(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` where a file of --config-dir makes Hydra run something, but for `trust=true`.

    The same for --config-path and hydra.searchpath. What is typed on the command line is trusted.
    """
    if "trust=true" in arguments or not any(argument.startswith(_ADDING) for argument in arguments):
        return
    for config in _compositions(arguments):
        for key, value in _strange(config):
            if not any(argument.lstrip("+").startswith(f"{key}=") for argument in arguments):
                raise ConfigError(
                    f"{key}={value}: it comes from a config file, and would be run or loaded; if you trust the file's "
                    "origin, use trust=true on the command line."
                )


def _compositions(arguments: Sequence[str]) -> Iterator[DictConfig]:
    """The config as Hydra composes it, with each of the config files that a sweep chooses; nothing is instantiated."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-path", "-cp", default=str(config_folder()))
    folder, name, rest = config_options(arguments)
    options, rest = parser.parse_known_args(rest)
    loader = Loader(options.config_path, folder)
    overrides = [argument for argument in rest if not argument.startswith("-")]
    whole = list(_composed(loader, name, overrides))
    yield from whole
    searched = [
        f"{key}={value}" for config in whole for key, value in (config.hydra.sweeper.get("params") or {}).items()
    ]
    try:
        parsed = OverridesParser.create().parse_overrides([*overrides, *searched])
    except HydraException:
        return
    choices = [files for override in parsed if override.is_sweep_override() and (files := _files(override, loader))]
    if math.prod(map(len, choices)) > _MOST_COMPOSITIONS:
        raise ConfigError(
            f"the sweep chooses among {math.prod(map(len, choices))} combinations of config files, which are too many "
            "to be checked for what they run; if you trust their origin, use trust=true on the command line."
        )
    for chosen in itertools.product(*choices) if choices else ():  # without any it would be `whole` again
        yield from _composed(loader, name, [*overrides, *chosen])


def _composed(loader: Loader, name: str | None, overrides: list[str]) -> Iterator[DictConfig]:
    """The config with these overrides; none if it cannot be composed, of which Hydra says why."""
    try:
        yield loader.load_configuration(name or "train", overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
    except (HydraException, OmegaConfBaseException):
        return


def _files(override: Override, loader: Loader) -> list[str]:
    """An override of a sweep with each config file that it chooses; none for one that chooses values."""
    group = override.key_or_group
    if not loader.get_group_options(group):
        return []
    values = override.value()
    if isinstance(values, Glob):
        names = values.filter(loader.get_group_options(group))
    else:
        names = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else []
    return [f"{override.input_line.partition('=')[0]}={name}" for name in names]


def _strange(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """What names code that neither Hydra nor a plugin that is installed brings: the key, and its value."""
    settings = config.hydra
    if config.get("trust"):
        yield "trust", True
    for part in ("callbacks", "launcher", "sweeper"):
        for key, value in _leaves(settings, part):
            if key.rpartition(".")[2] == "_target_" and not str(value).startswith(_INSTALLED):
                yield f"hydra.{key}", value
    for part in ("job_logging", "hydra_logging"):
        for key, value in _leaves(settings, part):
            names = key.rpartition(".")[2] in ("()", "class", "factory") and value not in _HANDLERS
            brings = isinstance(value, str) and "://" in value and value not in _STREAMS
            if names or brings or not _is_harmless(value):
                yield f"hydra.{key}", value
    for name, value in settings.job.env_set.items():
        yield f"hydra.job.env_set.{name}", value


def _leaves(settings: DictConfig, part: str) -> Iterator[tuple[str, Any]]:
    """All values of a part of Hydra's node that are no containers, by their keys.

    An interpolation may bring something else in each run of a sweep: names of code, and containers, come from none.
    """
    if settings[part] is None:
        return
    try:
        written, meant = (OmegaConf.to_container(settings[part], resolve=resolve) for resolve in (False, True))
    except OmegaConfBaseException as error:
        raise ConfigError(f"hydra.{part}: it cannot be checked for what it runs; trust=true lets it.") from error
    yield from _walk(written, meant, part)


def _walk(written: Any, meant: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(meant, dict | list) and isinstance(written, str):
        yield f"{key}._target_", written
    elif isinstance(meant, dict):
        for name, inner in meant.items():
            yield from _walk(written[name], inner, f"{key}.{name}")
    elif isinstance(meant, list):
        for i, inner in enumerate(meant):
            yield from _walk(written[i], inner, f"{key}.{i}")
    else:
        yield key, meant if _is_harmless(written) else written


def _is_harmless(written: Any) -> bool:
    """Whether a value is the same in each run, or a file in its folder."""
    return not (isinstance(written, str) and "${" in written and not written.startswith("${hydra.runtime.output_dir}/"))
