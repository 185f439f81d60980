"""The configuration: its schema, made of the parts' own dataclasses, and how a composed config becomes objects.

Here `DictConfig` ends: everything below takes plain arguments.
"""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, MissingMandatoryValue, OmegaConf

from nettrain.config.explain import unknown_key
from nettrain.config.settings import Settings
from nettrain.data import sources
from nettrain.errors import ConfigError
from nettrain.minimization import OPTIMIZERS
from nettrain.parts import activations, heads, models, schedules
from nettrain.registry import check, named_parts, option

GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "data": (sources,),
    "model": (models,),
    "activation": (activations,),
    "head": (heads,),
    "optimizer": OPTIMIZERS,
    "schedule": (schedules,),
}


@dataclass
class Config(Settings):
    """The whole configuration of a run: a part for each group, and the loop's settings."""

    data: Any = MISSING
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
    """The parts of a group by name: the dataclasses of its modules, and their public functions made dataclasses."""
    if group != "activation":
        return named_parts(*GROUPS[group])
    functions = [
        f for f in vars(activations).values() if inspect.isfunction(f) and f.__module__ == activations.__name__
    ]
    return {f.__name__: _function_part(f) for f in functions if not f.__name__.startswith("_")}


def _function_part(function: Callable[..., Any]) -> type:
    """A dataclass with the function's keyword arguments as fields, whose instances call the function with them."""
    arguments = list(inspect.signature(function).parameters.values())[1:]
    fields: list[Any] = [("name", str, dataclasses.field(default=function.__name__))]
    fields += [(a.name, a.annotation, option(a.default, f"{a.name} of the formula")) for a in arguments]

    def own(self: Any) -> dict[str, Any]:
        return {a.name: getattr(self, a.name) for a in arguments}

    namespace: dict[str, Any] = {
        "__call__": lambda self, x: function(x, **own(self)),
        "__reduce__": lambda self: (_activation, (dict(vars(self)),)),  # pickle finds no class that is made here
        "__doc__": function.__doc__,
    }
    if hasattr(function, "backward"):
        namespace["backward"] = lambda self, *tensors: function.backward(*tensors, **own(self))
    return dataclasses.make_dataclass(function.__name__, fields, namespace=namespace, frozen=False, unsafe_hash=True)


def _activation(values: dict[str, Any]) -> Any:
    return parts("activation")[values["name"]](**values)


def register() -> None:
    """Put the schema of the root and of every part into Hydra's store, the parts under `schema/<group>/<name>`."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group in GROUPS:
        for name, part in parts(group).items():
            store.store(group=f"schema/{group}", name=name, node=part)


def to_config(composed: DictConfig) -> Config:
    """A composed config as checked objects. Raises `ConfigError` for a value that is missing or out of range."""
    try:
        config: Config = OmegaConf.to_object(composed)  # type: ignore[assignment]
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key or 'config'}: a value has to be given.") from error
    _check_keys(config, "")
    config.batch_size(1)
    check(config)
    return config


def load_config(container: dict[str, Any]) -> Config:
    """The objects of a config that was saved as plain containers."""
    settings = {key: value for key, value in container.items() if key not in GROUPS}
    root = OmegaConf.merge(OmegaConf.structured(Config), settings)
    assert isinstance(root, DictConfig)
    for group in GROUPS:
        node = container.get(group, {})
        known = parts(group)
        if node.get("name") not in known:
            raise ConfigError(f"{group}={node.get('name')}: there is no such {group}; known are {', '.join(known)}.")
        schema = OmegaConf.structured(known[node["name"]])
        OmegaConf.set_struct(schema, False)  # a model of the user's own has keys that no schema knows
        root[group] = OmegaConf.merge(schema, node)
    return to_config(root)


def to_container(config: Config) -> dict[str, Any]:
    """The config as plain containers, which `load_config` takes back."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def flat(container: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested containers as one dictionary with dotted keys."""
    result: dict[str, Any] = {}
    for key, value in container.items():
        result.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return result


def known_keys() -> dict[str, list[str]]:
    """Every key that some choice of parts has, with dots, and the names of the parts that have it."""
    keys: dict[str, list[str]] = {key: [] for key in [*flat(_plain(Settings())), *GROUPS, "experiment"]}
    for group in GROUPS:
        for name, part in parts(group).items():
            for field in dataclasses.fields(part):
                if field.name != "name":
                    keys.setdefault(f"{group}.{field.name}", []).append(name)
    return keys


def _plain(value: Any) -> Any:
    """A dataclass as a dictionary, what was added to it beside its fields included."""
    if not dataclasses.is_dataclass(value):
        return value
    return {k: _plain(v) for k, v in vars(value).items() if not _is_private(k)}


def _is_private(name: str) -> bool:
    return name.startswith("_") and name != "_target_"


def _check_keys(part: Any, path: str) -> None:
    """Raise `ConfigError` for a key that was added to a node whose part does not know it, and for a changed name."""
    names = [field.name for field in dataclasses.fields(part)]
    for name, value in vars(part).items():
        if name not in names and not _is_private(name) and not isinstance(part, models.Module):
            raise unknown_key(path + name, known_keys())
        if name == "name" and value != type(part).name:
            raise ConfigError(f"{path}name={value}: choose a part by its group, {path.rstrip('.')}={value}.")
        if dataclasses.is_dataclass(value):
            _check_keys(value, f"{path}{name}.")
