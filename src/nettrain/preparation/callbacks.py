"""The callbacks and loggers of a run, built from its config, or handed over in Python."""

import copy
import dataclasses
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nettrain.config.build import callback_nodes
from nettrain.config.schema import Config
from nettrain.errors import ConfigError, first_line
from nettrain.parts.callbacks import Callback, Logger, misshapen
from nettrain.registry import check
from nettrain.targets import made_of_own_code


def build_callbacks(config: Config, handed: Mapping[str, Callable[[], Callback]]) -> dict[str, Callback]:
    """New callbacks for one run by their keys, in the order in which they are called; `handed` gives those of Python's.

    Raises `ConfigError` for what cannot be called as one, and for a logger whose package is not installed.
    """
    callbacks: dict[str, Callback] = {}
    for key, node in callback_nodes(config).items():
        callback = handed[key]() if key in handed else _built(key, node)
        target = "" if dataclasses.is_dataclass(node) else f"._target_={node['_target_']}"
        if why := misshapen(callback):
            raise ConfigError(f"{key}{target}: {why}.")
        if dataclasses.is_dataclass(callback):
            check(callback, f"{key}.")
        if isinstance(callback, Logger):
            _require_installed(key, callback.extra)
        callbacks[key] = callback
    return callbacks


def named_callbacks(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Callbacks of Python's by keys of the config, of which each says its class.

    Raises `ConfigError` for what is no sequence of them.
    """
    if isinstance(callbacks, str | Mapping | Callback) or not isinstance(callbacks, Iterable):
        raise ConfigError(
            f"callbacks: found a value of type {type(callbacks).__name__}; it must be a list of nettrain.Callback."
        )
    named: dict[str, Callback] = {}
    for callback in callbacks:
        if why := misshapen(callback):
            raise ConfigError(f"callbacks: {why}.")
        group, name = "logger" if isinstance(callback, Logger) else "callbacks", type(callback).__name__
        twice = sum(type(other) is type(callback) for other in named.values())
        named[f"{group}.{name}_{twice + 1}" if twice else f"{group}.{name}"] = callback
    if len({id(callback) for callback in named.values()}) < len(named):
        raise ConfigError("callbacks: one of them is there twice; a run would call it twice each time.")
    return named


def copied(key: str, callback: Callback) -> Callback:
    """A copy for a run of a sweep. Raises `ConfigError` for what cannot be copied."""
    try:
        return copy.deepcopy(callback)
    except Exception as error:
        raise ConfigError(
            f"{key}: each run of a sweep has a copy of its own, and it cannot be copied: {first_line(error)}; open "
            "what it needs in its hook start."
        ) from error


def _built(key: str, node: Any) -> Any:
    if dataclasses.is_dataclass(node):
        return dataclasses.replace(copy.deepcopy(node))  # type: ignore[type-var]
    return made_of_own_code(key, node)


def _require_installed(key: str, package: str) -> None:
    spec = importlib.util.find_spec(package) if package else None
    if package and (spec is None or spec.origin is None):  # a folder of that name is no package
        raise ConfigError(f"{key}: it requires {package}; pip install 'nettrain[{package}]'.")
