"""What a config names by `_target_`: classes and functions of anybody's, which Hydra's `instantiate` builds."""

import importlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from nettrain.errors import ConfigError, UserCodeError, first_line
from nettrain.hydra_versions import trusted

_OF_TORCH: dict[
    str, Any
] = {  # bases of the classes that run nobody else's code, by the package in which they are defined
    "torch.nn": nn.Module,
    "torch.optim": (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler),
}


def located(target: str) -> Any:
    """What is named by `module.Class`; Hydra itself would print what it does not find."""
    package, *attributes = target.split(".")
    named = importlib.import_module(package)
    for attribute in attributes:
        package = f"{package}.{attribute}"
        named = getattr(named, attribute) if hasattr(named, attribute) else importlib.import_module(package)
    return named


def make(group: str, node: Mapping[str, Any], filled: Mapping[str, Any]) -> Any:
    """What the `_target_` of a node gives for its other keys, and for those of `filled` that it has parameters for.

    Arguments are plain containers, and `_partial_` is Hydra's. Raises `ConfigError`, which names the group, where it
    fails.
    """
    with building(group, node["_target_"]):
        accepted = inspect.signature(located(node["_target_"])).parameters
        return _instantiated({**{name: value for name, value in filled.items() if name in accepted}, **node})


def made_of_own_code(key: str, node: Mapping[str, Any]) -> Any:
    """The object of a node; one with `_partial_` is called without further arguments.

    Raises `ConfigError`, which names the `key` of the node, for a target that is not there or takes other arguments,
    and `UserCodeError` where its code fails.
    """
    where = f"{key}._target_={node['_target_']}: it cannot be built"
    try:
        for target in targets(node):
            located(str(target))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where}: {type(error).__name__}: {first_line(error)}.") from error
    except Exception as error:  # of the module that is imported
        raise UserCodeError(where, error) from error
    try:
        made = _instantiated(node)
        return made() if isinstance(made, partial) else made
    except Exception as error:
        cause = _root(error)
        frames = traceback.extract_tb(cause.__traceback__)
        if isinstance(cause, TypeError) and frames[-1].name == "_call_target":  # the call itself
            raise ConfigError(f"{where}: {first_line(cause)}.") from error
        raise UserCodeError(where, cause) from error


def maker(node: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that calls what the node names with its arguments, and with what it is called with itself."""
    made: Callable[..., Any] = _instantiated({**node, "_partial_": True})
    return made


def _instantiated(node: Mapping[str, Any]) -> Any:
    from hydra.utils import instantiate

    with trusted():
        return instantiate({"_convert_": "all", **node})


@contextmanager
def building(group: str, target: str, what: str = "it cannot be built") -> Iterator[None]:
    """Within it an error of the code that `<group>._target_` names becomes a `ConfigError` of one sentence."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        cause = _root(error)
        sentence = f"{group}._target_={target}: {what}: {type(cause).__name__}: {first_line(cause)}."
        raise ConfigError(sentence) from error


def _root(error: BaseException) -> BaseException:
    """The error that made Hydra raise its own."""
    from hydra.errors import InstantiationException

    while error.__cause__ is not None and isinstance(error, InstantiationException | ImportError):
        error = error.__cause__
    return error


def foreign(node: Any) -> list[str]:
    """What a node names beside the layers, optimizers and schedulers of torch, which run nobody else's code."""
    return [str(target) for target in targets(node) if not _is_of_torch(target)]


def targets(node: Any) -> Iterator[Any]:
    """What is named by `_target_` in a node and in those inside it."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from [value] if key == "_target_" else targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)


def _is_of_torch(target: Any) -> bool:
    package, _, name = str(target).rpartition(".")
    home = ".".join(package.split(".")[:2])
    if home not in _OF_TORCH:
        return False
    try:
        named = getattr(importlib.import_module(package), name, None)
    except ImportError:
        return False
    # A module of torch.nn has names of other modules, too: torch.nn.functional.warnings.sys.
    return isinstance(named, type) and issubclass(named, _OF_TORCH[home]) and named.__module__.startswith(f"{home}.")
