"""Configs from a folder of somebody's: what Hydra would import and call because such a file names it.

Hydra instantiates its callbacks, launcher and sweeper, and gives its logging nodes to Python's `logging.config`, which
imports what they name. A file with such names is code; it needs trust.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nettrain.config.overrides import config_options
from nettrain.config.schema import config_folder
from nettrain.errors import ConfigError

_INSTALLED = ("hydra_plugins.", "hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "nettrain.app.")
_HANDLERS = ("logging.StreamHandler", "logging.FileHandler", "logging.Formatter", "colorlog.ColoredFormatter")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_ADDING = ("--config-d", "-cd", "--config-p", "-cp", "hydra.searchpath", "+hydra.searchpath")


def require_harmless(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` where a file of --config-dir makes Hydra run something, but for `trust=true`.

    The same for --config-path and hydra.searchpath. What is typed on the command line is trusted; what cannot be
    composed is left to Hydra, which says why.
    """
    if "trust=true" in arguments or not any(argument.startswith(_ADDING) for argument in arguments):
        return
    try:
        config = _composed(arguments)
    except (HydraException, OmegaConfBaseException):
        return
    for key, value in _strange(config):
        if not any(argument.lstrip("+").startswith(f"{key}=") for argument in arguments):
            raise ConfigError(
                f"{key}={value}: it comes from a config file, and would be run or loaded; if you trust the file's "
                "origin, use trust=true on the command line."
            )


def _composed(arguments: Sequence[str]) -> DictConfig:
    """The config as Hydra composes it; nothing is instantiated."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-path", "-cp", default=str(config_folder()))
    folder, name, rest = config_options(arguments)
    options, rest = parser.parse_known_args(rest)
    path = create_config_search_path(str(Path(options.config_path).absolute()))
    if folder is not None:
        path.prepend("command-line", f"file://{Path(folder).absolute()}", SearchPathQuery(provider="schema"))
    overrides = [argument for argument in rest if not argument.startswith("-")]
    loader = ConfigLoaderImpl(path)
    return loader.load_configuration(name or "train", overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)


def _strange(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """What names code that neither Hydra nor a plugin that is installed brings: the key, and its value."""
    settings = config.hydra
    if config.get("trust"):
        yield "trust", True
    for part in ("callbacks", "launcher", "sweeper"):
        for key, value in _leaves(_plain(settings, part), part):
            if key.rpartition(".")[2] == "_target_" and not str(value).startswith(_INSTALLED):
                yield f"hydra.{key}", value
    for part in ("job_logging", "hydra_logging"):
        for key, value in _leaves(_plain(settings, part), part):
            names = key.rpartition(".")[2] in ("()", "class", "factory") and value not in _HANDLERS
            if names or (isinstance(value, str) and "://" in value and value not in _STREAMS):
                yield f"hydra.{key}", value
    for name, value in settings.job.env_set.items():
        yield f"hydra.job.env_set.{name}", value


def _plain(settings: DictConfig, part: str) -> Any:
    """A part of the node with its interpolations followed, which could bring anything."""
    try:
        return OmegaConf.to_container(settings[part], resolve=True) if settings[part] is not None else None
    except OmegaConfBaseException as error:
        raise ConfigError(f"hydra.{part}: it cannot be checked for what it runs; trust=true lets it.") from error


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """All values that are no containers, by their keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{key}.{i}")
    else:
        yield key, value
