"""A sweep within somebody else's program, whose own Hydra, logging and signals are left as they are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nettrain.app.jobs.folder import MadeFolders
from nettrain.app.sweep import sweep
from nettrain.config.compose import composing_sweeps
from nettrain.config.explain import explain
from nettrain.config.schema import config_folder
from nettrain.errors import CheckpointError, ConfigError, DataError, Mistake, StorageError
from nettrain.hydra_versions import Loader, context_with_callbacks, trusted
from nettrain.results.sweep_folder import read_results


def sweep_beside(overrides: Sequence[str], task: Callable[[DictConfig], Any]) -> Path:
    """Run the sweep that the command line runs with `-m` and these overrides; its folder.

    Raises a `Mistake` where no run could begin, or all have failed, and `KeyboardInterrupt` after a signal, once what
    was training has been saved.
    """
    loader = Loader(config_folder(), around=composing_sweeps)
    try:
        master = loader.load_configuration("train", ["hydra.mode=MULTIRUN", *overrides], RunMode.MULTIRUN)
        folder = Path(master.hydra.sweep.dir)
        with trusted():
            context = context_with_callbacks(loader, _with_others_callbacks(master))
            context.callbacks.on_multirun_start(config=master, config_name="train")
            try:
                _run(master, context, task)
            finally:
                context.callbacks.on_multirun_end(config=master, config_name="train")
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from None  # Hydra's traceback is long and says nothing more
    except SystemExit as end:
        raise KeyboardInterrupt(f"{folder}: the sweep was interrupted; what was training is saved.") from end
    _require_result(folder)
    return folder


def _run(master: DictConfig, context: Any, task: Callable[[DictConfig], Any]) -> None:
    MadeFolders().on_multirun_start(master)
    sweep.begin(master)
    try:
        sweeper = Plugins.instance().instantiate_sweeper(config=master, hydra_context=context, task_function=task)
        overrides: list[str] = OmegaConf.to_container(master.hydra.overrides.task)  # type: ignore[assignment]
        sweeper.sweep(arguments=overrides)
    finally:
        sweep.finish(told=not master.quiet)


def _with_others_callbacks(master: DictConfig) -> DictConfig:
    """The config without nettrain's own callbacks, which do what `_run` does itself."""
    others = master.copy()
    with open_dict(others.hydra):
        others.hydra.callbacks = {
            name: callback
            for name, callback in (master.hydra.callbacks or {}).items()
            if not callback._target_.startswith("nettrain.app.")
        }
    return others


def _require_result(folder: Path) -> None:
    """Raise the mistake of the first run if all of a sweep's runs have failed."""
    runs = read_results(folder)
    if any(run.summary["status"] != "failed" for run in runs):
        return
    if not runs:
        raise StorageError(f"{folder}: no run of the sweep has left a result.")
    failed = runs[0].summary
    kinds: dict[int, type[Mistake]] = {kind.exit_code: kind for kind in (DataError, CheckpointError, StorageError)}
    what = "its run has failed" if len(runs) == 1 else f"all {len(runs)} runs have failed, the first one"
    raise kinds.get(failed.get("exit_code", 0), ConfigError)(f"{folder}: {what}: {failed.get('message')}")
