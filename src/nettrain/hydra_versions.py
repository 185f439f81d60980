"""What nettrain needs of Hydra that is not public, or not the same in Hydra 1.3 and 1.4: nothing else knows of either.

The plugins in `hydra_plugins`, which Hydra imports at every start, are derived from its own launcher and sweeper.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import (
    _run_app,
    create_automatic_config_search_path,
    create_config_search_path,
    detect_calling_file_or_module_from_task_function,
    detect_task_name,
    get_args_parser,
)
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig

OLD = hydra.__version__.startswith("1.3.")
VERSION = "1.3"  # whose behaviour we ask of a Hydra that has several
OWN_TARGETS = ("hydra_plugins.", "hydra._internal.core_plugins.", "hydra.experimental.callbacks.")  # of configs
_OF_MODE = ("hydra.mode", "hydra.searchpath", "hydra=")  # overrides that may say whether it is a run or a sweep


def trusted() -> AbstractContextManager[Any]:
    """Within it Hydra calls what a config names, without a warning: nettrain has asked for `trust` where it is due."""
    if OLD:
        return nullcontext()
    from hydra.utils import UNSAFE_DISABLE_EXECUTION_CHECKS, execution_whitelist

    return execution_whitelist(UNSAFE_DISABLE_EXECUTION_CHECKS)


def main_options() -> dict[str, Any]:
    """The arguments of `hydra.main` beside its config."""
    return {"version_base": VERSION} if OLD else {}


def run_main(task: Callable[[DictConfig], Any], folder: Path, name: str) -> None:
    """Run what the command line asks for with this task, as `hydra.main` does, and the config of that name.

    Hydra composes the whole config to find out whether it says `hydra.mode`, and then anew. That is left out where only
    nettrain's own configs are composed, which say nothing of it.
    """
    arguments = get_args_parser().parse_args()
    asked = {key for key, value in vars(arguments).items() if value}
    changing = any(override.lstrip("+~").startswith(_OF_MODE) for override in arguments.overrides)
    if changing or asked - {"overrides", "run", "multirun"} or asked >= {"run", "multirun"}:
        hydra.main(**main_options(), config_path=str(folder), config_name=name)(task)()
        return
    if OLD:
        version.setbase(VERSION)
    calling = detect_calling_file_or_module_from_task_function(task)
    path = create_automatic_config_search_path(*calling, str(folder))
    app = Hydra.create_main_hydra2(detect_task_name(*calling), path)
    many = arguments.multirun
    try:
        _run_app(not many, many, None, app, config_name=name, task_function=task, overrides=arguments.overrides)
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def as_named_version() -> Iterator[None]:
    """Within it Hydra behaves as in `VERSION`, whatever version a program has named for itself."""
    if not OLD:  # later ones behave in one way
        yield
        return
    base = version.VersionBase.instance()
    before = base.getbase()
    version.setbase(VERSION)
    try:
        yield
    finally:
        if str(before)[:1].isdigit():  # a program that has named none gets ours
            base.setbase(before)


def store(name: str, node: Any, group: str | None = None, provider: str | None = None) -> None:
    """Put a node into Hydra's store, in the place of one of that name."""
    replacing = {} if OLD else {"replace": True}
    ConfigStore.instance().store(name=name, node=node, group=group, provider=provider, **replacing)


class _Shelf(dict[str, Any]):
    """A folder of Hydra's store, which stays the same one when Hydra copies its store."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Shelf":
        return self


def on_shelves() -> None:
    """Spare Hydra copies of all that is in its store, which it makes for each config and each look at a group.

    What it loads from the store it copies by itself, so that configs remain apart.
    """
    repo = ConfigStore.instance().repo
    repo.setdefault("schema", {})
    repo.update({name: _Shelf(folder) for name, folder in repo.items() if type(folder) is dict})


class Loader(ConfigLoaderImpl):
    """Hydra's loader for the configs in a folder; whatever it composes, it composes within `around()`.

    With `first`, a folder too, configs there go before those.
    """

    def __init__(
        self,
        folder: Path | str,
        first: Path | str | None = None,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        path = create_config_search_path(str(Path(folder).absolute()))
        if first is not None:
            path.prepend("command-line", f"file://{Path(first).absolute()}", SearchPathQuery(provider="schema"))
        super().__init__(path)
        self.around = around

    def load_configuration(self, *args: Any, **options: Any) -> DictConfig:
        with self.around():
            return super().load_configuration(*args, **options)

    def load_sweep_config(self, *args: Any, **options: Any) -> DictConfig:
        with self.around():
            return super().load_sweep_config(*args, **options)


def override_dirname(overrides: Sequence[Override], job: dict[str, Any]) -> str:
    """`hydra.job.override_dirname` for these overrides, where `job` is the node that Hydra has composed for others."""
    dirname: str = job["override_dirname"]
    if dirname.startswith("${"):  # it is computed when it is asked for
        return dirname
    how = job["config"]["override_dirname"]
    lines = sorted(str(o.input_line) for o in overrides if o.key_or_group not in how["exclude_keys"])
    joined: str = how["item_sep"].join(lines)
    return joined.replace("=", how["kv_sep"])


def context_with_callbacks(loader: Any, config: DictConfig) -> HydraContext:
    """What Hydra hands to its plugins, with the callbacks that the config names."""
    if OLD:
        return HydraContext(config_loader=loader, callbacks=Callbacks(config))
    from hydra.utils import UNSAFE_DISABLE_EXECUTION_CHECKS

    allowed = {"execution_whitelist": UNSAFE_DISABLE_EXECUTION_CHECKS}
    return HydraContext(config_loader=loader, callbacks=Callbacks(config), **allowed)
