"""Going on with a run from its last checkpoint, and running a saved config again."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from nettrain.config.build import load_config, saved_container
from nettrain.config.overrides import config_options, is_of_run, overrides_of
from nettrain.config.schema import GROUPS, LISTS, Config, parts
from nettrain.config.scopes import identity, may_change_on_resume, resumable_keys
from nettrain.errors import CheckpointError, ConfigError, DataError
from nettrain.preparation.prepared import PreparedRun
from nettrain.results.run_folder import RunFolder
from nettrain.storage.atomic import replace_by
from nettrain.storage.checkpoint_files import load_checkpoint, load_newest
from nettrain.terminal import warn
from nettrain.training.checkpoint_schema import require_checkpoint, require_ensemble, require_of_run
from nettrain.wording import counted


def with_saved_config(arguments: list[str]) -> list[str]:
    """With `--config-dir RUN/.hydra --config-name config`, a run's config, the overrides that make it instead.

    Hydra never sees the file, which may be somebody else's: it would run whatever code the file names.
    """
    folder, name, rest = config_options(arguments)
    if folder is None or not is_of_run(folder, name):
        return arguments
    run = RunFolder(Path(folder).parent, trust="trust=true" in rest)
    run.require_trust()
    run.require_trusted_places(_keys(rest))
    container: dict[str, Any] = OmegaConf.to_container(run.config)  # type: ignore[assignment]
    container = {key: value for key, value in container.items() if key not in ("resume", "trust")}  # of older versions
    container["parts"] = run.part_sources
    first = next((i for i, argument in enumerate(rest) if "=" in argument), len(rest))
    return [*rest[:first], *overrides_of(container), *rest[first:]]


def with_resumed_parts(arguments: list[str]) -> list[str]:
    """With `resume=RUN`, the overrides with the parts of that run, so that their keys are known."""
    folder = next((a.partition("=")[2].strip("'\"") for a in arguments if a.startswith("resume=")), None)
    if folder is None or not (Path(folder) / ".hydra" / "config.yaml").is_file():
        return arguments
    run = RunFolder(folder, trust="trust=true" in arguments)
    run.require_trust()
    saved = run.config
    asked = [argument.partition("=")[0] for argument in arguments]
    names = {group: OmegaConf.select(saved, f"{group}.name") for group in GROUPS if group not in asked}
    chosen = [f"{group}={name}" for group, name in names.items() if name in parts(group)]
    first = next(i for i, argument in enumerate(arguments) if "=" in argument)
    return [*arguments[:first], *chosen, *arguments[first:]]


def resumed_config(composed: DictConfig, overrides: Sequence[str]) -> tuple[Config, Path]:
    """The config of the run in the folder `composed.resume`, with the overrides that may change, and that folder.

    Raises `ConfigError` for an override that would make it another run, and `CheckpointError` for no run.
    """
    run = RunFolder(composed.resume, trust=composed.trust)
    run.require_trust()
    run.require_trusted_places(_keys(overrides))
    saved = run.config
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key.startswith("hydra"):
            continue
        path = f"{key}.name" if key in GROUPS else key
        asked, had = OmegaConf.select(composed, path), OmegaConf.select(saved, path)
        if key in LISTS:
            asked, had = list(asked), list(had or {})
        if key == "logger":  # one that is there already keeps its keys
            nodes = {name: OmegaConf.select(saved, f"logger.{name}") or composed.logger[name] for name in asked}
            OmegaConf.update(saved, "logger", nodes, merge=False, force_add=True)
        elif may_change_on_resume(key):
            OmegaConf.update(saved, key, asked, force_add=True)
        elif key == "recipe":
            raise ConfigError(f"{override}: a recipe is for a new run; resume goes on with the run's own settings.")
        elif asked != had or key == "experiment":
            *some, last = resumable_keys()
            raise ConfigError(
                f"{override}: resume goes on with the run's own {key}={had}; only {', '.join(some)} and {last} may "
                "change."
            )
    container: dict[str, Any] = OmegaConf.to_container(saved)  # type: ignore[assignment]
    return load_config(container), run.folder


def _keys(overrides: Sequence[str]) -> list[str]:
    return [override.lstrip("+").partition("=")[0] for override in overrides]


def ended_as(folder: Path, config: Config) -> str | None:
    """`completed` or `diverged` for a run that has ended by itself, if `config` asks for nothing more than it had."""
    run = RunFolder(folder)
    status = run.summary.get("status") if (folder / "summary.json").exists() else None
    if status not in ("completed", "diverged"):
        return None
    saved: dict[str, Any] = OmegaConf.to_container(run.config)  # type: ignore[assignment]
    return str(status) if identity(saved) == identity(saved_container(config)) else None


def nothing_left(folder: Path) -> str:
    """Why a run that is complete does not go on, and what would let it."""
    summary = RunFolder(folder).summary
    reason, done = summary.get("reason"), "and there is nothing left to do"
    if not isinstance(reason, str):
        return f"the run is complete, {done}; raise epochs=... to train it further."
    key = reason.partition("=")[0]
    remedy = "with other epochs=... it goes on, until there is a reason to end it again"
    if key.startswith("budget."):
        remedy = f"raise {key}=... to train it further"
    return f"the run ended after {counted(summary['epochs'], 'epoch')} ({reason}), {done}; {remedy}."


def last_checkpoint(run: PreparedRun) -> dict[str, Any] | None:
    """The last checkpoint of the run that `run` goes on with.

    It is the one before if the last one is damaged, and None if the run ended before it had saved any; it says so.

    Raises `CheckpointError` for a damaged file or one of another model, and `DataError` if the data have changed.
    """
    path = run.folder / "checkpoints" / "last.pt"
    if not any(path.parent.glob("*.pt")):
        warn(f"{run.folder}: the run ended before its first checkpoint; starting it again.")
        return None
    last, warning = load_newest(path)
    if warning:
        warn(warning)
    if run.members:
        require_ensemble(last, run, path)
    else:
        require_checkpoint(last, path)
    require_same_data(run.folder, run.data.table.source, last["data"], run.data.digest)
    if not run.members:
        require_of_run(last, run, path)
    return last


def warn_of_schedule(run: PreparedRun, checkpoint: dict[str, Any]) -> None:
    """Say so if the schedule, which knows the length of the run, goes on at another learning rate than it had."""
    per_epoch, last = run.updates_per_epoch, checkpoint["epoch"] * run.updates_per_epoch + checkpoint["batch"] - 1
    epochs = checkpoint["config"].get("epochs")
    if last < 0 or not isinstance(epochs, int) or epochs == run.config.epochs:
        return
    schedule, t = run.config.schedule, np.array([float(last)])
    before, now = (
        float(schedule.learning_rates(run.lr, t, per_epoch, per_epoch * n)[0]) for n in (epochs, run.config.epochs)
    )
    if not math.isclose(before, now, rel_tol=0.01, abs_tol=1e-12):
        warn(
            f"{run.folder}: schedule={schedule.name} now has its end after {run.config.epochs} epochs: the learning "
            f"rate goes on from {now:.2g} instead of {before:.2g} (epochs was {epochs})."
        )


def require_same_data(folder: Path, source: str, trained: str | None, present: str | None) -> None:
    """Raise `DataError` if the fingerprint of the data is not the one with which the run in `folder` was trained."""
    if trained and present and trained != present:
        raise DataError(
            f"{source}: the data have changed since the run in {folder} was trained with them; restore them "
            "or choose another folder."
        )


def checkpoint_before(folder: Path) -> dict[str, Any] | None:
    """The checkpoint that the run in `folder` saved before its last one; None where there is none that can be read."""
    try:
        return load_checkpoint(folder / "checkpoints" / "previous.pt")
    except CheckpointError:
        return None


def go_back(folder: Path) -> None:
    """Make the checkpoint before the last one the last one: what is recorded may now be taken back to it."""
    replace_by(folder / "checkpoints" / "last.pt", folder / "checkpoints" / "previous.pt")
