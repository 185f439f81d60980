"""What a config names by `_target_`: classes and functions of anybody's, which Hydra's `instantiate` builds."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from nettrain.errors import ConfigError, UserCodeError, first_line
from nettrain.hydra_versions import trusted
from nettrain.wording import did_you_mean, joined, listed

_OF_TORCH: dict[
    str, Any
] = {  # bases of the classes that run nobody else's code, by the package in which they are defined
    "torch.nn": nn.Module,
    "torch.optim": (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler),
}


def located(target: str, key: str = "_target_") -> Any:
    """What is named by `module.Class`; Hydra itself would print what it does not find.

    Raises `ConfigError`, which says what is nearest, where nothing is called so, and `UserCodeError` where a module
    fails.
    """
    where, named, path = f"{key}={target}", None, ""
    for word in target.split("."):
        package, path = path, f"{path}.{word}".lstrip(".")
        if named is not None and hasattr(named, word):
            named = getattr(named, word)
        elif not word.isidentifier() or not _is_module(path, named):
            raise ConfigError(f"{where}: {_not_there(word, package, named)}")
        else:
            try:
                named = importlib.import_module(path)
            except Exception as error:
                raise UserCodeError(f"{where}: {path} cannot be imported", error) from error
    return named


def _is_module(path: str, package: Any) -> bool:
    """Whether there is a module of this path, whose package has been imported."""
    return path in sys.modules or (
        (package is None or hasattr(package, "__path__")) and importlib.util.find_spec(path) is not None
    )


def _not_there(word: str, package: str, named: Any) -> str:
    """That nothing is called so in a package or a module, in the rest of a sentence."""
    inside: list[str] = []
    if named is None or hasattr(named, "__path__"):
        inside = [module.name for module in pkgutil.iter_modules(getattr(named, "__path__", None))]
    if named is None:
        hint = did_you_mean(word, inside)
        return (
            f"there is no module {word!r}, neither in the working directory nor installed"
            f"{hint if hint != '.' else '; a name is one such as my.module.Class.'}"
        )
    hint = did_you_mean(word, [*filter(_is_public, dir(named)), *inside])
    defined = [name for name, value in vars(named).items() if getattr(value, "__module__", None) == package]
    has = f"; it has {listed(defined)}" if hint == "." and defined and inspect.ismodule(named) else ""
    return f"{package} has no {word!r}{has}{hint}"


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def make(key: str, node: Mapping[str, Any], filled: Mapping[str, Any], when: Mapping[str, str] | None = None) -> Any:
    """What the `_target_` of a node gives for its other keys, and for those of `filled` that it has parameters for.

    Arguments are plain containers, and `_partial_` is Hydra's. Raises `ConfigError`, which names the key, where it
    fails; it says of parameters that nothing is known for why that is so, `when`.
    """
    with building(key, node):
        accepted = inspect.signature(located(node["_target_"], f"{key}._target_")).parameters
    node = {**{name: value for name, value in filled.items() if name in accepted}, **node}
    with building(key, node, when=when):
        return _instantiated(node)


def made_of_own_code(key: str, node: Mapping[str, Any]) -> Any:
    """The object of a node; one with `_partial_` is called without further arguments.

    Raises `ConfigError`, which names the `key` of the node, for a target that is not there or takes other arguments,
    and `UserCodeError` where its code fails.
    """
    where = f"{key}._target_={node['_target_']}: it cannot be built"
    for place, inner in _nodes(key, node):
        located(str(inner["_target_"]), f"{place}._target_")
    try:
        made = _instantiated(node)
        return made() if isinstance(made, partial) else made
    except Exception as error:
        cause = _root(error)
        if sentence := misfit(key, node, cause):
            raise ConfigError(sentence) from error
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
def building(
    key: str,
    node: Mapping[str, Any],
    what: str = "it cannot be built",
    supplied: int = 0,
    when: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Within it an error of the code that a node names becomes a `ConfigError` of one sentence.

    The first `supplied` arguments are not the node's; `when` is said of parameters that it has no values for.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        cause = _root(error)
        sentence = misfit(key, node, cause, supplied, when) or (
            f"{key}._target_={node['_target_']}: {what}: {type(cause).__name__}: {first_line(cause)}."
        )
        raise ConfigError(sentence) from error


def misfit(
    key: str,
    node: Mapping[str, Any],
    error: BaseException,
    supplied: int = 0,
    when: Mapping[str, str] | None = None,
) -> str | None:
    """In a sentence, which key of a node or of one inside it was the mistake that ended in this error, if one was.

    Raises `ConfigError` for a target that is not there.
    """
    if not isinstance(error, TypeError | ImportError | AttributeError):
        return None
    for place, inner in _nodes(key, node):
        outer = inner is node
        if sentence := _unfit(place, inner, supplied if outer else 0, (when or {}) if outer else {}):
            return sentence
    if "'str' object is not callable" in str(error):
        for place, name, text in [(p, n, v) for p, i in _nodes(key, node) for n, v in i.items()]:
            if isinstance(text, str) and name != "_target_":
                return (
                    f"{place}.{name}={text}: a text was called as a function; a function is named by a node, "
                    f"'{place}.{name}={{_target_: my.module.function, _partial_: true}}'."
                )
    return None


def _unfit(key: str, node: Mapping[str, Any], supplied: int, when: Mapping[str, str]) -> str | None:
    """What is wrong with the keys of one node, by the signature of what it names."""
    target = str(node["_target_"])
    named, where = located(target, f"{key}._target_"), f"{key}._target_={target}"
    if not callable(named):
        return f"{where}: it is a {type(named).__name__}, and cannot be called; name a class or a function."
    try:
        parameters = list(inspect.signature(named).parameters.values())
    except (TypeError, ValueError):  # of some that are written in C
        return None
    by_position = supplied + len(node.get("_args_", ()))
    named_ones = [p for p in parameters[by_position:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = [parameter.name for parameter in named_ones]
    keys = [name for name in map(str, node) if not (name.startswith("_") and name.endswith("_"))]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for name in keys:
            if name not in names:
                takes = f"it takes {listed(names, 20)}" if names else "it takes none"
                return f"{key}.{name}: {target} has no such argument; {takes}{did_you_mean(name, names)}"
    missing = [p.name for p in named_ones if p.default is p.empty and p.name not in keys]
    if not missing or node.get("_partial_"):
        return None
    reason = next((f"; {when[name]}" for name in missing if name in when), "")
    settings = "set " + " ".join(f"{key}.{name}=<value>" for name in missing)
    if key == "metrics":  # a list
        settings = f"write {{_target_: {target}, {', '.join(f'{name}: <value>' for name in missing)}}}"
    return f"{where}: it needs {joined(missing)}{reason}; {settings}."


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
    """What is named by `_target_` in a node and in those inside it, the node's own first."""
    return (inner["_target_"] for _, inner in reversed(list(_nodes("", node))))


def _nodes(key: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes with a `_target_` in a node, by their keys; those inside of one before it."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _nodes(f"{key}.{name}", value)
        if "_target_" in node:
            yield key, node
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _nodes(f"{key}[{i}]", value)


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
