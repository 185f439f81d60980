"""Runs from their checked configs to their finished folders: what the command line, a sweep and `nettrain.train` do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from nettrain.app import report
from nettrain.app.config import Config, to_config
from nettrain.app.folder import claim, clear, save_config
from nettrain.app.live import LivePictures
from nettrain.app.messages import warn
from nettrain.app.placing import Place
from nettrain.app.prepare import Load, prepare
from nettrain.app.resume import is_complete, last_checkpoint, resumed_config
from nettrain.app.run import Run
from nettrain.errors import CheckpointError, ConfigError
from nettrain.parts.random import seeded
from nettrain.run.device import choose_device, deterministic, threads_for
from nettrain.run.environment import environment, record_environment
from nettrain.run.files import locked
from nettrain.run.halving import Halving
from nettrain.run.row import Row
from nettrain.run.setup import Setup
from nettrain.run.trainer import Trainer


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

    One without a checkpoint begins anew.
    """
    if place.ended:
        summary = Run(job.folder).summary
        loss = summary.get("best_val_loss", summary.get("best_train_loss"))
        return Outcome(job.folder, summary["status"], best_loss=loss)
    if place.begun:
        job.going_on = any((job.folder / "checkpoints").glob("*.pt"))
        if not job.going_on:
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
    from nettrain.app.reports import report_run

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
    return Start(setup, checkpoint)


def begin(job: Job, start: Start) -> None:
    """Save the run's config: from here on there is a run."""
    if job.going_on:
        (job.folder / "summary.json").unlink(missing_ok=True)  # that of the end which is no longer its end
    save_config(job.folder, start.setup.config, None if job.going_on else job.hydra)


def train(starts: Sequence[Start], device: torch.device, halving: Halving | None = None) -> list[Row]:
    """Train runs that can be one stack, together; all of them go on from their checkpoints, or none does."""
    setups = [start.setup for start in starts]
    first = setups[0]
    work = sum(setup.parameters for setup in setups) * first.settings.batch_size(first.n_train)
    # A foreign module draws its noise from torch's own generator, which the caller may need as it is.
    with threads_for(work) as threads, deterministic(first.settings.deterministic), seeded(first.settings.seed):
        present = environment(device)
        for setup in setups:
            warning = record_environment(setup.folder, present)
            if warning:
                warn(warning)
        trainer = Trainer(setups, device, halving, threads)
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
