"""Runs from their checked configs to their finished folders: what the command line, a sweep and `nettrain.train` do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from nettrain.app.jobs.folder import claim, clear, save_config
from nettrain.app.jobs.folder_match import Place
from nettrain.app.jobs.resume import checkpoint_before, go_back, is_complete, last_checkpoint, resumed_config
from nettrain.config.explain import warn
from nettrain.config.schema import Config, to_config
from nettrain.errors import CheckpointError, ConfigError, DataError
from nettrain.preparation.prepare import Load, prepare
from nettrain.preparation.prepared import Setup
from nettrain.random import seeded
from nettrain.report import console as report
from nettrain.report.live_figures import LivePictures
from nettrain.results.run_folder import Run
from nettrain.storage.environment import environment, record_environment, recorded_environment, stack_of
from nettrain.storage.files import locked, write_together
from nettrain.training.device import SMALL, choose_device, deterministic, threads_for
from nettrain.training.run_state import Row
from nettrain.training.successive_halving import Halving, ended_by_halving
from nettrain.training.trainer import Trainer


@dataclass
class Job:
    """A run that is to be trained into `folder`, or to go on there, with Hydra's settings as plain containers."""

    config: Config
    folder: Path
    hydra: dict[str, Any]
    going_on: bool = False
    single: bool = False  # it is no part of a sweep

    @property
    def pictured(self) -> bool:
        """Whether its figures are drawn when it has ended."""
        return self.config.figures == "always" or (self.single and self.config.figures == "auto")


@dataclass
class Outcome:
    """How a run ended: its folder, its status, the signal that ended it, and its best monitored loss.

    `pruned` is a run that successive halving has ended.
    """

    folder: Path
    status: str
    signal: int | None = None
    best_loss: float | None = None
    pruned: bool = False

    @classmethod
    def of(cls, row: Row) -> "Outcome":
        return cls(row.setup.folder, row.status, row.signal, row.best_loss, row.pruned)


@dataclass
class Start:
    """A run that is ready to train, and the checkpoint from which it goes on, if it does."""

    setup: Setup
    checkpoint: dict[str, Any] | None
    file_hash: str | None = None  # of the file that its data were read from

    @property
    def position(self) -> tuple[int, int] | None:
        """The whole epochs, and the batches of the present one, that are behind it; None for a new run."""
        return (self.checkpoint["epoch"], self.checkpoint["batch"]) if self.checkpoint else None


def train_run(composed: DictConfig, folder: Path, hydra: dict[str, Any]) -> Outcome:
    """Train one run into `folder`, or go on with the one that `resume` names; `hydra` are Hydra's settings.

    Raises a `Mistake`, and writes nothing, when the run cannot start.
    """
    if composed.resume is None:
        return train_alone(Job(to_config(composed), folder, hydra, single=True))
    config, folder = resumed_config(composed, hydra["overrides"]["task"])
    return train_alone(Job(config, folder, hydra, going_on=True, single=True))


def take_up(job: Job, place: Place) -> Outcome | None:
    """Go on with the run that was begun in the job's place, if there was one; its outcome if it has ended.

    One without a checkpoint begins anew. Raises `DataError` if the file with its data is not what it was.
    """
    job.going_on = place.begun and any((job.folder / "checkpoints").glob("*.pt"))
    if job.going_on or place.ended:
        trained, present = recorded_environment(job.folder).get("file_hash"), job.config.data.file_hash()
        if trained and present and trained != present:
            raise DataError(
                f"{job.config.data.path}: the file has changed since the run in {job.folder} was trained with it; "
                "choose another hydra.sweep.dir, or delete that folder."
            )
    if place.ended:
        summary = Run(job.folder).summary
        loss = summary.get("best_val_loss", summary.get("best_train_loss"))
        return Outcome(job.folder, summary["status"], best_loss=loss, pruned=ended_by_halving(summary))
    if place.begun and not job.going_on:
        clear(job.folder)
    return None


def train_alone(job: Job) -> Outcome:
    """Train one run and tell what it does."""
    with locked(job.folder):
        if not job.going_on:
            claim(job.folder)
        elif is_complete(job.folder, job.config):
            print(
                f"{job.folder}: the run is complete, there is nothing left to do; more epochs=... would let it go on."
            )
            return Outcome(job.folder, "completed")
        device = choose_device(job.config.device)
        start = ready(job, device)
        begin(job, start)
        if not job.config.quiet:
            print(report.plan(start.setup, device), flush=True)
        (row,) = train([start], device)
    if not job.config.quiet:
        print(report.result(row), flush=True)
    draw(row)
    return Outcome.of(row)


def draw(row: Row) -> None:
    """Draw the figures of a run that has ended, and write its report, if that is asked for."""
    setup = row.setup
    if not setup.pictured or row.status not in ("completed", "diverged"):
        return
    from nettrain.report.write import report_run

    run = Run(setup.folder, trust=True)
    run.data = setup.data  # as it was loaded
    path = report_run(run, events=row.record.events if setup.settings.watch.images else None)
    if not setup.settings.quiet:
        print(f"{'report':20} {path}", flush=True)


def ready(job: Job, device: torch.device, load: Load | None = None) -> Start:
    """Prepare a run, and find its checkpoint if it goes on; nothing is written yet."""
    setup = prepare(job.config, job.folder, device, load)
    setup.pictured = job.pictured
    if job.pictured and job.config.tensorboard and job.config.watch.images:
        setup.live = LivePictures(setup)
    checkpoint = last_checkpoint(setup) if job.going_on else None
    if checkpoint and checkpoint.get("status") == "diverged":
        raise ConfigError(f"resume={job.folder}: the run has diverged, its weights are not finite; begin a new one.")
    return Start(setup, checkpoint, job.config.data.file_hash())


def begin(job: Job, start: Start) -> None:
    """Save the run's config: from here on there is a run."""
    if job.going_on:
        (job.folder / "summary.json").unlink(missing_ok=True)  # that of the end which is no longer its end
    save_config(job.folder, start.setup.config_text, None if job.going_on else job.hydra)


def align(starts: Sequence[Start], halving: Halving | None) -> None:
    """Let the rows of a stack go on together that was killed while it saved them one after another.

    Those that had been saved go back to the checkpoint before. With `halving`, which compares rows at the same epoch,
    all begin anew where some had none.
    """
    if len({start.position for start in starts}) < 2:
        return
    if all(start.checkpoint for start in starts):
        earliest = min(start.position or (0, 0) for start in starts)
        ahead = [start for start in starts if start.position != earliest]
        before = [checkpoint_before(start.setup.folder) for start in ahead]
        if all(found and (found["epoch"], found["batch"]) == earliest for found in before):
            for start, found in zip(ahead, before, strict=True):
                go_back(start.setup.folder)
                start.checkpoint = found
            return
    if halving:
        for start in starts:
            start.checkpoint = None
            clear(start.setup.folder)


def train(starts: Sequence[Start], device: torch.device, halving: Halving | None = None) -> list[Row]:
    """Train runs that can be one stack, together; all of them go on from their checkpoints, or none does."""
    setups = [start.setup for start in starts]
    first = setups[0]
    work = sum(setup.parameters for setup in setups) * first.settings.batch_size(first.n_train)
    # The last rows of a stack that go on compute as all of them did: they are rows, with its threads.
    if recorded_environment(first.folder).get("threads") not in (None, 1):
        work = max(work, SMALL)
    stack = stack_of(first.folder) or (first.folder.name if len(setups) > 1 else None)
    # A foreign module draws its noise from torch's own generator, which the caller may need as it is.
    with threads_for(work) as threads, deterministic(first.settings.deterministic), seeded(first.settings.seed):
        present = environment(device)

        def record(start: Start) -> None:
            own = {**present, "stack": stack, "file_hash": start.file_hash}
            warning = record_environment(start.setup.folder, own, going_on=start.checkpoint is not None)
            if warning:
                warn(warning)

        write_together(record, starts)
        trainer = Trainer(setups, device, halving, threads, stacked=stack is not None)
        checkpoints = [start.checkpoint for start in starts if start.checkpoint]
        if checkpoints:
            try:
                trainer.restore(checkpoints)
            except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
                folder = setups[0].folder
                raise CheckpointError(f"{folder}: its last checkpoint is not one that this version reads.") from error
        else:
            trainer.forget()
        return trainer.run()
