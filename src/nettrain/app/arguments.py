"""The arguments of `nettrain.train` and `nettrain.sweep`: overrides, and what is handed over as it is."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from nettrain.config.overrides import SWEEP_FLAGS, config_options, for_hydra, overrides_of, with_own_parts
from nettrain.config.schema import LISTS, known_keys, parts
from nettrain.data import Data, Table, encode
from nettrain.data.in_python import InPython, from_python
from nettrain.data.sources import Frame
from nettrain.data.splitting import Fold, Stratified
from nettrain.errors import ConfigError
from nettrain.parts.callbacks import Callback
from nettrain.parts.heads import Head, Loss
from nettrain.parts.heads.loss import arguments_of
from nettrain.preparation.callbacks import copied, named_callbacks
from nettrain.preparation.prepare import HandedOver
from nettrain.registry import is_ours
from nettrain.wording import did_you_mean


def read_arguments(
    config: Any,
    data: Any,
    model: Any,
    head: Any,
    config_dir: str | Path | None,
    callbacks: Sequence[Callback] = (),
    sweeping: bool = False,
) -> tuple[list[str], HandedOver]:
    """The overrides that Hydra composes, and what takes the place of parts that they name.

    Raises `ConfigError` and `DataError` for what is not of the types that `nettrain.train` takes.
    """
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir={config_dir}: there is no such folder.")
    overrides = _typed(_overrides(config, sweeping), sweeping)
    load = _Load(from_python(data)) if data is not None else None
    for group, handed in {"data": data, "model": model, "head": head}.items():
        if handed is not None and (chosen := [text for text in overrides if text.startswith(f"{group}=")]):
            what = "data were" if group == "data" else f"a {group} was"
            raise ConfigError(f"{chosen[0]}: {what} handed over in Python, too; leave out one of the two.")
    options = [] if config_dir is None else ["--config-dir", str(config_dir)]
    of_head, kept = _of_head(head)
    named = named_callbacks(callbacks)
    nodes = {key: {"_target_": f"{type(made).__module__}.{type(made).__qualname__}"} for key, made in named.items()}
    of_parts = [*_of_module(model), *of_head, *overrides_of(nodes)]
    typed = [*overrides, *(load.overrides if load else []), *of_parts]
    quoted = for_hydra([*(["-m"] if sweeping else []), *with_own_parts([*options, *typed])])
    _, _, read = config_options(quoted[1:] if sweeping else quoted)
    if config_dir is not None:
        read.insert(0, f"hydra.searchpath=['file://{Path(config_dir).absolute()}']")
    callbacks_of = {
        key: partial(copied, key, made) if sweeping else partial(_itself, made) for key, made in named.items()
    }
    for copy in callbacks_of.values():
        copy()  # what cannot be copied is said before the sweep begins
    return read, HandedOver(load, model, kept, callbacks_of)


def _itself(callback: Callback) -> Callback:
    return callback


_HANDED = ("data", "model", "head", "callbacks", "config_dir")


def refuse(function: str, others: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for an argument that `nettrain.train` and `nettrain.sweep` do not have."""
    for name, value in others.items():
        if name in known_keys() or name in LISTS:
            hint = f"; {name} is a key of the config, '{name}={'[...]' if isinstance(value, list | tuple) else '...'}'."
        else:
            hint = did_you_mean(name, [*_HANDED, "folder", *known_keys()])
        raise ConfigError(
            f"{function}({name}=...): there is no such argument; what can be handed over is {', '.join(_HANDED)}{hint}"
        )


class _Load:
    """Reads what was handed over in Python, in the place of `nettrain.data.load`, and keeps it as `loaded`."""

    def __init__(self, data: InPython) -> None:
        self.data = data
        self.loaded: Data | None = None
        self.tables: dict[str, Table] = {}

    @property
    def overrides(self) -> list[str]:
        targets = self.data.targets
        named = [] if not targets else [f"data.target={targets[0] if len(targets) == 1 else list(targets)}"]
        return ["data=frame", *named]

    def __call__(self, dataset: Any, seed: int, split: Any) -> Data:
        if not isinstance(dataset, Frame):
            raise ConfigError(f"data={dataset.name}: the run has data of its own; leave out those in Python.")
        if self.data.splits and dataset.drop_missing_target:
            raise ConfigError(
                "data.drop_missing_target=True: the splits that were handed over would lose rows; leave those without "
                "a target out of them."
            )
        if self.data.splits and split != Stratified():
            raise ConfigError(f"split={split.name}: the splits were handed over in Python; leave out split.")
        name = repr((replace(dataset, split_seed=None), replace(split, fold=0) if isinstance(split, Fold) else split))
        if name not in self.tables:
            self.tables[name] = dataset.read(self.data.table(bool(dataset.ids)), split)
        self.loaded = encode(dataset, self.tables[name], seed, split, self.data.splits)
        return self.loaded


def _of_module(module: Any) -> list[str]:
    """The overrides that stand for a model of Python's."""
    if module is None:
        return []
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model: found {_described(module)}; it must be a torch.nn.Module.")
    if hasattr(module, "training_step") and hasattr(module, "configure_optimizers"):
        raise ConfigError(
            f"model: found a LightningModule, {type(module).__name__}, whose training_step and configure_optimizers "
            "would not be called; hand over the torch.nn.Module inside it."
        )
    return [f"model._target_={type(module).__module__}.{type(module).__qualname__}"]


def _of_head(head: Any) -> tuple[list[str], Head | None]:
    """The overrides that stand for a head or a loss of Python's, and the head itself where they cannot say it all."""
    if head is None:
        return [], None
    if isinstance(head, type) and issubclass(head, Head):
        try:
            head = head()
        except TypeError as error:
            raise ConfigError(
                f"head: the class {head.__name__} needs arguments ({error}); hand over an instance."
            ) from error
    if isinstance(head, Head):
        if parts("head").get(head.name) is not type(head):
            raise ConfigError(
                f"head: {type(head).__name__} has the name {head.name!r} of another head; give it its own."
            )
        changed = {
            field.name: getattr(head, field.name)
            for field in dataclasses.fields(head)
            if field.name != "name" and getattr(head, field.name) != _default(field)
        }
        return [*_source(type(head)), *overrides_of({"head": {"name": head.name, **changed}})], None
    if isinstance(head, type) or not callable(head):
        raise ConfigError(
            f"head: found {_described(head)}; it must be a head, such as nettrain.parts.heads.Huber(delta=0.5), or a "
            "loss, such as torch.nn.HuberLoss()."
        )
    loss, node = Loss.of(head), arguments_of(head)
    return overrides_of({"head": {"name": "loss", **(node or {})}}), loss if node is None else None


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _source(part: type) -> list[str]:
    """The override that names the module of a part of somebody's own, so that the run's config can be read again."""
    name = part.__module__
    importable = name != "__main__" and not name.startswith("nettrain_parts_")
    return [f"parts=[{name}]"] if importable and not is_ours(part) else []


def _overrides(config: Any, sweeping: bool) -> list[str]:
    if isinstance(config, Mapping):
        return overrides_of(config, as_typed=sweeping)
    if isinstance(config, str):
        return shlex.split(config)
    if isinstance(config, Sequence) and all(isinstance(override, str) for override in config):
        return list(config)
    raise ConfigError(
        f"config: found {_described(config)}; it must be overrides, such as 'optimizer=adam bs=8', or a mapping."
    )


def _typed(overrides: list[str], sweeping: bool) -> list[str]:
    """The overrides, without -m, which a sweep has anyway; `ConfigError` for other options of the command line."""
    for override in overrides:
        if override in SWEEP_FLAGS and not sweeping:
            raise ConfigError(f"{override}: nettrain.train trains one run; nettrain.sweep trains a sweep.")
        if override.startswith("-") and override not in SWEEP_FLAGS:
            folder = ", config_dir=<folder> stands for it" if override.startswith(("--config-dir", "-cd")) else ""
            raise ConfigError(f"{override}: options of the command line are no overrides{folder}.")
    return [override for override in overrides if override not in SWEEP_FLAGS]


def _described(value: Any) -> str:
    """A value in words, by its type; a class by its name, of a list what is in it."""
    if isinstance(value, type):
        return f"the class {value.__name__} instead of an instance"
    if isinstance(value, list | tuple) and (others := [item for item in value if not isinstance(item, str)]):
        return f"a {type(value).__name__} with a value of type {type(others[0]).__name__}"
    return f"a value of type {type(value).__name__}"
