"""A config composed beside somebody else's Hydra, and those of a sweep's jobs, as Hydra would compose them.

Hydra's composition takes about 0.1 s, and a sweep's is made only once for each distinct choice of groups. A plain value
such as `optimizer.lr=0.1` changes one node after everything else has been composed: jobs that differ in such values
alone are one config with these values set, one after another.
"""

import dataclasses
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nettrain.config.schema import config_folder, hydra_defaults
from nettrain.hydra_versions import Loader, as_named_version, override_dirname

_composing = threading.RLock()
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+(e-?\d+)?)?", re.ASCII)


def compose_beside(name: str, overrides: Sequence[str]) -> DictConfig:
    """A config with Hydra's node in it, composed without the process's own Hydra, which is left as it is."""
    with _composing, as_named_version():
        if not OmegaConf.has_resolver("now"):
            setup_globals()
        return Loader(config_folder()).load_configuration(name, list(overrides), RunMode.RUN, from_shell=False)


@contextmanager
def composing_sweeps() -> Iterator[None]:
    """Within it a config is composed with nettrain's defaults for sweeps, and no other one at the same time."""
    with _composing, as_named_version(), hydra_defaults(hydra_logging="none"):
        if not OmegaConf.has_resolver("now"):
            setup_globals()
        yield


@dataclass
class Composed:
    """A job's config without Hydra's node, and that node as plain containers with its interpolations as they stand.

    `task` is only lent: it is this job's until the composer composes the next one. `plain` is what Hydra composed, and
    `values` are the keys that were set since, with their values; `kind` is what jobs have in common that differ in
    these values alone, None where other values of the config follow from some.
    """

    task: DictConfig
    hydra: dict[str, Any]
    plain: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    kind: tuple[Any, ...] | None = None


class Composer:
    """Composes the jobs of the sweep that has this master config."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        self.composed: dict[tuple[str, ...], Composed] = {}
        self.is_group: dict[str, bool] = {}
        self.changed: list[tuple[Composed, str]] = []  # of the configs that were lent: keys with values of a job's own

    def compose(self, overrides: Sequence[str]) -> Composed:
        """What Hydra's `load_sweep_config` gives for a job's overrides; raises Hydra's errors where that does."""
        for composed, key in self.changed:
            OmegaConf.update(composed.task, key, _at(composed.plain, key), merge=False)
        self.changed.clear()
        parsed = [_parsed(override) for override in overrides]
        structure = {i for i, override in enumerate(parsed) if not self._is_value(override)}
        while True:
            before = {i for i, o in enumerate(parsed) if any(i < j and _overlap(o, parsed[j]) for j in structure)}
            base = self._hydras([overrides[i] for i in sorted(structure | before)])
            plain = {i: override for i, override in enumerate(parsed) if i not in structure | before}
            no_leaves = {i for i, override in plain.items() if _is_no_leaf(base.task, override.key_or_group)}
            if not no_leaves:
                break
            structure |= no_leaves
        for override in plain.values():
            self.changed.append((base, override.key_or_group))
            _set(base.task, override)
        # Only what is a job's own is copied.
        hydra = base.hydra | {name: dict(base.hydra[name]) for name in ("overrides", "job", "runtime")}
        values, kind = dict[str, Any](), None
        if base.kind and not any(_is_interpolation(base.task, override.key_or_group) for override in plain.values()):
            values = {o.key_or_group: OmegaConf.select(base.task, o.key_or_group) for o in plain.values()}
            kind = (base.kind, *sorted(values)) if "${" not in str(values) else None
        task = [override for override in parsed if not override.is_hydra_override()]
        hydra["overrides"]["task"] = [override.input_line for override in task]
        hydra["job"]["override_dirname"] = override_dirname(task, hydra["job"])
        return Composed(base.task, hydra, base.plain, values, kind)

    def _is_value(self, override: Override) -> bool:
        """Whether the override sets a value, and neither chooses from a group nor adds, deletes or sweeps anything."""
        special = override.is_add() or override.is_force_add() or override.is_delete() or override.is_sweep_override()
        key = override.key_or_group
        return not (
            special
            or override.package is not None
            or override.is_hydra_override()
            or isinstance(override.value(), dict)
            or self._group_exists(key)
        )

    def _group_exists(self, key: str) -> bool:
        if key not in self.is_group:
            self.is_group[key] = bool(self.loader.get_group_options(key, None))
        return self.is_group[key]

    def _hydras(self, overrides: Sequence[str]) -> Composed:
        """Hydra's own composition, made once."""
        key = tuple(overrides)
        if key not in self.composed:
            config = self.loader.load_sweep_config(self.master, list(overrides))
            hydra = OmegaConf.to_container(config.hydra, enum_to_str=True)
            assert isinstance(hydra, dict)
            with open_dict(config):
                del config["hydra"]
            plain: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
            kind = None if "${" in str(plain) else (key,)
            self.composed[key] = Composed(config, hydra, plain, kind=kind)  # type: ignore[arg-type]
        return self.composed[key]


def _parsed(override: str) -> Override:
    """What Hydra's parser gives; that takes a millisecond, and a plain number is read as it would read it."""
    key, _, text = override.partition("=")
    if not _NUMBER.fullmatch(text):
        return _parsed_by_hydra(override)
    whole = text.lstrip("-").isdigit()
    alike = _parsed_by_hydra(f"{key}={1 if whole else 1.0}")
    return dataclasses.replace(alike, _value=int(text) if whole else float(text), input_line=override)


@lru_cache(maxsize=100_000)
def _parsed_by_hydra(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def _at(container: dict[str, Any], key: str) -> Any:
    for name in key.split("."):
        container = container[name]
    return container


def _set(task: DictConfig, override: Override) -> None:
    """Set the value, with Hydra's error where it does not fit."""
    try:
        OmegaConf.update(task, override.key_or_group, override.value(), merge=True)
    except OmegaConfBaseException as error:
        raise ConfigCompositionException(f"Error merging override {override.input_line}") from error


def _overlap(one: Override, other: Override) -> bool:
    """Whether what one override changes contains what the other one does."""
    a, b = one.key_or_group + ".", other.key_or_group + "."
    return a.startswith(b) or b.startswith(a)


def _is_interpolation(task: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    return OmegaConf.is_interpolation(OmegaConf.select(task, parent) if parent else task, name)


def _is_no_leaf(task: DictConfig, key: str) -> bool:
    """Whether the config has no such key, or a node with keys of its own there; a mandatory value is a leaf."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(task, parent, throw_on_missing=False) if parent else task
    there = isinstance(node, DictConfig) and name in list(node.keys())
    plain = there and (OmegaConf.is_missing(node, name) or OmegaConf.is_interpolation(node, name))
    return not there or not (plain or not isinstance(node[name], DictConfig))
