"""The schema of a whole configuration, made of the dataclasses of the parts, and the groups that they come from."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from nettrain.config.settings import Settings
from nettrain.data.dataset import Dataset
from nettrain.data.splitting import Split
from nettrain.hydra_versions import on_shelves, store
from nettrain.minimization import Rule, Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts import loggers as _loggers  # noqa: F401  (its classes are parts)
from nettrain.parts.activations import ACTIVATIONS, key_type
from nettrain.parts.callbacks import Callback, Logger
from nettrain.parts.heads import Auto, Head, Loss
from nettrain.parts.models import Model, Module
from nettrain.parts.schedules import Schedule
from nettrain.parts.torch_scheduler import TorchScheduler
from nettrain.registry import is_concrete, is_ours, named_parts, option, options, subclasses

GROUPS: dict[str, tuple[type, ...]] = {  # with the bases of their parts; an activation is a function
    "data": (Dataset,),
    "split": (Split,),
    "model": (Model,),
    "activation": (),
    "head": (Auto, Head),
    "optimizer": (Rule, Solver, TorchOptimizer),
    "schedule": (Schedule,),
}
OF_ANY_CLASS: dict[str, Any] = {"model": Module, "head": Loss, "optimizer": TorchOptimizer, "schedule": TorchScheduler}
"""The parts that are built of whatever class their `_target_` names."""

BEFORE = {"split": "stratified"}  # what configs stand for that do not name a part of a group that is newer than they


PRESETS = ("recipe", "search", "experiment", "debug")  # groups of settings that are no parts
LISTS = ("callbacks", "logger")  # groups of which a run has any number of parts, each a node by its name


@dataclass
class Config(Settings):
    """The whole configuration of a run: a part for each group, and the loop's settings."""

    data: Any = MISSING
    split: Any = MISSING
    model: Any = MISSING
    activation: Any = MISSING
    head: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING


def config_folder() -> Path:
    """Where the shipped configs lie: in the installed package, or at the top of a checkout."""
    installed = Path(__file__).parent.parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "configs"


@cache
def parts(group: str) -> dict[str, type]:
    """The parts of a group by name, as dataclasses; an activation's has the keyword arguments of its function.

    Those of a user's own are among them once `register` has been called after they were imported.
    """
    if group == "activation":
        return {name: _schema(function) for name, function in ACTIVATIONS.items()}
    if group in LISTS:
        callbacks = named_parts(subclasses(Callback))
        return {name: part for name, part in callbacks.items() if issubclass(part, Logger) == (group == "logger")}
    return named_parts(subclasses(*GROUPS[group]))


def nameless(group: str) -> list[type]:
    """The classes of a user's own that would be parts of a group if they had a name."""
    bases = {"callbacks": (Callback,), "logger": (Logger,)}.get(group) or GROUPS.get(group, ())
    foreign = [part for part in subclasses(*bases) if part.__module__ in sys.modules and not is_ours(part)]
    return [part for part in foreign if is_concrete(part) and not getattr(part, "name", "")]


@cache
def _schema(function: Callable[..., Any]) -> type:
    arguments = list(inspect.signature(function).parameters.values())[1:]
    fields = [(a.name, key_type(function, a), option(a.default, f"{a.name} in the formula")) for a in arguments]
    made = dataclasses.make_dataclass(function.__name__, [("name", str, function.__name__), *fields])
    made.__module__, made.__doc__ = function.__module__, function.__doc__
    return made


_registered: dict[tuple[str, str], type] = {}  # what the store holds: filling it takes a tenth of a second


def register() -> None:
    """Take notice of all parts that have been imported, and put their schemas into Hydra's store.

    They lie under `schema/<group>/<name>`, and those of a user's own under `<group>/<name>`, too, so that no yaml is
    needed. Raises `ConfigError` for a class of a user's that is not what a part has to be.
    """
    for known in (parts, known_options, name_keys, text_keys):
        known.cache_clear()
    present = {(group, name): part for group in (*GROUPS, *LISTS) for name, part in parts(group).items()}
    if present == _registered and "schema.yaml" in ConfigStore.instance().repo:
        return
    on_shelves()
    root = OmegaConf.structured(Config)
    for group in LISTS:
        OmegaConf.set_struct(root[group], False)  # nodes may be added
        for name, part in parts(group).items():
            node = {name: OmegaConf.structured(part)}
            store(group=f"schema/{group}", name=name, node=node[name])
            if not is_ours(part):
                store(group=group, name=name, node=node)
    store(name="schema", node=root)
    for group in GROUPS:
        for name, part in parts(group).items():
            node = OmegaConf.structured(part)
            OmegaConf.set_struct(node, False if getattr(part, "takes_any_key", False) else None)
            for key, field in options(part).items():
                if get_origin(field.type) is dict:
                    OmegaConf.set_struct(node[key], False)
            store(group=f"schema/{group}", name=name, node=node)
            if not is_ours(part):
                store(group=group, name=name, node=node)
    _registered.clear()
    _registered.update(present)


@contextmanager
def hydra_defaults(**more: str) -> Iterator[None]:
    """Within it a stack, a grid and no log, and `more`, are Hydra's own defaults, which any config may override."""
    defaults = {"launcher": "stacked", "sweeper": "grid", "job_logging": "none", **more}
    node = HydraConf()
    node.defaults = [{k: defaults.get(k, v) for k, v in entry.items()} for entry in node.defaults]
    before = ConfigStore.instance().load("hydra/config.yaml")
    store(group="hydra", name="config", node=node, provider="nettrain")
    try:
        yield
    finally:
        store(group="hydra", name="config", node=before.node, provider=before.provider)


@cache
def known_options() -> dict[str, dict[str, dataclasses.Field]]:
    """Every key that some choice of parts has, with dots: its field in each part that has it, by the part's name.

    The name is empty for the root keys.
    """
    known = {key: {"": field} for key, field in options(Settings).items()}
    for group in GROUPS:
        for name, part in parts(group).items():
            for key, field in options(part, f"{group}.").items():
                known.setdefault(key, {})[name] = field
    for group in LISTS:
        for name, part in parts(group).items():
            known |= {key: {name: field} for key, field in options(part, f"{group}.{name}.").items()}
    return known


def known_keys() -> dict[str, list[str]]:
    """Every key that can be set, and the names of the parts that have it, none for root keys and groups."""
    keys: dict[str, list[str]] = {key: [] for key in [*GROUPS, *PRESETS]}
    return {**{key: [name for name in fields if name] for key, fields in known_options().items()}, **keys}


@cache
def name_keys() -> list[str]:
    """The keys that hold a dictionary of plain values by names of a person's choice, such as those of columns."""
    fields = {key: next(iter(parts.values())) for key, parts in known_options().items()}
    return [key for key, field in fields.items() if get_origin(field.type) is dict and key not in LISTS]


@cache
def text_keys() -> dict[str, Any]:
    """The keys that hold a text of a person's choice (`str`), or a list of such texts (`list[str]`).

    Those of `list[Any]` may be mappings, too.
    """
    kinds: dict[str, Any] = {}
    for key, fields in known_options().items():
        field = next(iter(fields.values()))
        types = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        if str in types and "choices" not in field.metadata:
            kinds[key] = str
        elif lists := {list[str], list[Any]} & set(types):
            kinds[key] = lists.pop()
    return kinds
