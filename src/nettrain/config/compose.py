"""A config composed beside somebody else's Hydra, and those of a sweep's jobs, as Hydra would compose them.

Hydra's composition takes about 0.1 s, and a sweep's is made only once for each distinct choice of groups. A plain value
such as `optimizer.lr=0.1` changes one node after everything else has been composed: jobs that differ in such values
alone are one config with these values set, one after another.
"""

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf, open_dict

from nettrain.config.schema import config_folder

VERSION = "1.3"  # of Hydra, as the command line names it
_composing = threading.Lock()


def compose_beside(name: str, overrides: Sequence[str]) -> DictConfig:
    """A config with Hydra's node in it, composed without the process's own Hydra, which is left as it is."""
    with _composing, _version(VERSION):
        if not OmegaConf.has_resolver("now"):
            setup_globals()
        loader = ConfigLoaderImpl(create_config_search_path(str(config_folder())))
        return loader.load_configuration(name, list(overrides), RunMode.RUN, from_shell=False)


@contextmanager
def _version(version: str) -> Iterator[None]:
    """Within it Hydra behaves as in this version."""
    base = VersionBase.instance()
    before = base.getbase()
    setbase(version)
    try:
        yield
    finally:
        if str(before)[:1].isdigit():  # a program that has named none gets ours
            base.setbase(before)


@dataclass
class Composed:
    """A job's config without Hydra's node, and that node as plain containers with its interpolations as they stand.

    `task` is only lent: it is this job's until the composer composes the next one.
    """

    task: DictConfig
    hydra: dict[str, Any]


class Composer:
    """Composes the jobs of the sweep that has this master config."""

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        self.composed: dict[tuple[str, ...], Composed] = {}
        self.changed: list[tuple[dict[str, Any], str, Any]] = []  # of the config that is lent: what was there before

    def compose(self, overrides: Sequence[str]) -> Composed:
        """What Hydra's `load_sweep_config` gives for a job's overrides; raises Hydra's errors where that does."""
        for content, name, node in reversed(self.changed):
            content[name] = node
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
            self._keep(base.task, override.key_or_group)
        ConfigLoaderImpl._apply_overrides_to_config(list(plain.values()), base.task)
        hydra = copy.deepcopy(base.hydra)
        task = [override for override in parsed if not override.is_hydra_override()]
        hydra["overrides"]["task"] = [override.input_line for override in task]
        hydra["job"]["override_dirname"] = get_overrides_dirname(task, **hydra["job"]["config"]["override_dirname"])
        return Composed(base.task, hydra)

    def _keep(self, task: DictConfig, key: str) -> None:
        """Put a copy in the place of a node that will be changed."""
        parent, _, name = key.rpartition(".")
        content: dict[str, Any] = (OmegaConf.select(task, parent) if parent else task).__dict__["_content"]
        self.changed.append((content, name, content[name]))
        content[name] = copy.deepcopy(content[name])

    def _is_value(self, override: Override) -> bool:
        """Whether the override sets a value, and neither chooses from a group nor adds, deletes or sweeps anything."""
        special = override.is_add() or override.is_force_add() or override.is_delete() or override.is_sweep_override()
        key = override.key_or_group
        return not (
            special
            or override.package is not None
            or override.is_hydra_override()
            or isinstance(override.value(), dict)
            or self.loader.repository.group_exists(key)
        )

    def _hydras(self, overrides: Sequence[str]) -> Composed:
        """Hydra's own composition, made once."""
        key = tuple(overrides)
        if key not in self.composed:
            config = self.loader.load_sweep_config(self.master, list(overrides))
            hydra = OmegaConf.to_container(config.hydra, enum_to_str=True)
            assert isinstance(hydra, dict)
            with open_dict(config):
                del config["hydra"]
            self.composed[key] = Composed(config, hydra)  # type: ignore[arg-type]
        return self.composed[key]


@lru_cache(maxsize=100_000)
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def _overlap(one: Override, other: Override) -> bool:
    """Whether what one override changes contains what the other one does."""
    a, b = one.key_or_group + ".", other.key_or_group + "."
    return a.startswith(b) or b.startswith(a)


def _is_no_leaf(task: DictConfig, key: str) -> bool:
    """Whether the config has no such key, or a node with keys of its own there; a mandatory value is a leaf."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(task, parent, throw_on_missing=False) if parent else task
    there = isinstance(node, DictConfig) and name in list(node.keys())
    return not there or isinstance(node._get_node(name), DictConfig)
