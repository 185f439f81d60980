"""Runs from their checked configs to their finished folders: what the command line, a sweep and `nettrain.train` do."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nettrain.app.jobs.draw import draw, draw_ended, lacks_figures
from nettrain.app.jobs.failure import noting_failure
from nettrain.app.jobs.folder import claim, clear, save_config, save_parts
from nettrain.app.jobs.folder_match import FolderMatch
from nettrain.app.jobs.ranks import require_alike
from nettrain.app.jobs.resume import (
    checkpoint_before,
    ended_as,
    go_back,
    last_checkpoint,
    nothing_left,
    require_same_data,
    warn_of_schedule,
)
from nettrain.config.run_data import Load, load_data
from nettrain.config.schema import Config
from nettrain.errors import CheckpointError, ConfigError
from nettrain.figures import process
from nettrain.preparation.prepare import NOTHING, HandedOver, prepare
from nettrain.preparation.prepared import PreparedRun
from nettrain.preparation.shareable import require_shareable
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.report import console
from nettrain.report.live_figures import LiveFigures
from nettrain.results.run_folder import RunFolder
from nettrain.results.summary import best_monitored
from nettrain.storage.atomic import remove_file, write_together
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.storage.environment import environment, record_environment, recorded_environment, stack_of
from nettrain.storage.locks import locked
from nettrain.terminal import say, warn
from nettrain.training.device import SMALL, as_configured, choose_device
from nettrain.training.engines.choose import Whole
from nettrain.training.ensemble_trainer import EnsembleTrainer
from nettrain.training.run_state import RunState
from nettrain.training.successive_halving import SuccessiveHalving, ended_by_halving
from nettrain.training.trainer import AfterEpoch, Failed, Trainer


@dataclass(frozen=True)
class Job:
    """A run that is to be trained into `folder`, or `resumed` there, with Hydra's settings as plain containers.

    `anew` if it was begun there and has no checkpoint; `sweep` is the folder of the sweep that it is part of. `handed`
    is what Python handed over. Several `ranks` may share it.
    """

    config: Config
    folder: Path
    hydra: dict[str, Any]
    resumed: bool = False
    anew: bool = False
    sweep: Path | None = None
    handed: HandedOver = NOTHING
    ranks: Ranks = ALONE

    @property
    def drawn(self) -> bool:
        """Whether its figures are drawn when it has ended."""
        return self.config.figures == "always" or (self.sweep is None and self.config.figures == "auto")

    @property
    def overrides(self) -> list[str]:
        """What it was asked for."""
        overrides: list[str] = self.hydra["overrides"]["task"]
        return overrides


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
    def of(cls, row: RunState) -> "Outcome":
        best = None if row.error else row.best_loss
        return cls(row.run.folder, row.status, row.signal, best, row.pruned)


@dataclass
class Start:
    """A run that is ready to train, and the checkpoint from which it goes on, if it does."""

    run: PreparedRun
    checkpoint: dict[str, Any] | None

    @property
    def position(self) -> tuple[int, int] | None:
        """The whole epochs, and the batches of the present one, that are behind it; None for a new run."""
        return (self.checkpoint["epoch"], self.checkpoint["batch"]) if self.checkpoint else None


def take_up(job: Job, match: FolderMatch) -> Job | Outcome:
    """The job as one that goes on with the run that was begun in its folder, if there was one; its outcome if it ended.

    One without a checkpoint begins anew; one that has ended gets its figures if it was killed before it had them.
    Raises `DataError` if the file with its data is not what it was.
    """
    resumed = job.resumed or (match.begun and any((job.folder / "checkpoints").glob("*.pt")))
    if resumed or match.ended:
        dataset, trained = job.config.data, recorded_environment(job.folder).get("file_hash")
        require_same_data(job.folder, dataset.source, trained, dataset.file_hash(job.config.split))
    if match.ended and job.handed.load:
        trained = load_checkpoint(job.folder / "checkpoints" / "last.pt")["data"]
        loaded = load_data(job.config, job.handed.load)
        require_same_data(job.folder, "data", trained, loaded.digest)
    if match.ended:
        summary = RunFolder(job.folder).summary
        loss = best_monitored(summary)
        if job.drawn and lacks_figures(job.folder):
            with locked(job.folder):
                draw_ended(job.folder, job.config)
        return Outcome(job.folder, summary["status"], best_loss=loss, pruned=ended_by_halving(summary))
    return replace(job, resumed=resumed, anew=match.begun and not resumed)


def train_alone(job: Job, load: Load | None = None) -> Outcome:
    """Train one run and tell what it does; `load` reads its data, by default as its config says."""
    device, run = device_of(job), None
    if job.drawn:
        process.start()
    if not job.resumed:  # whatever may be a mistake comes before the lock, and keeps nobody out
        if not job.anew:
            claim(job.folder)
        run = prepared(job, device, load)
    with locked(job.folder):
        if job.anew:
            clear(job.folder)
        if not job.resumed:
            claim(job.folder)
        status = ended_as(job.folder, job.config) if job.resumed else None
        job.ranks.first(status == "completed")
        if status and job.drawn and lacks_figures(job.folder):
            draw_ended(job.folder, job.config)
        if status == "completed":
            say(f"{job.folder}: {nothing_left(job.folder)}")
            return Outcome(job.folder, "completed")
        start = Start(run, None) if run else ready(job, device, load)
        require_alike(start.run, job.ranks)
        start.checkpoint = job.ranks.first(start.checkpoint)
        record_start(job, start)
        with nullcontext() if job.resumed else noting_failure(job.folder, job.overrides):
            if not job.config.quiet:
                say(console.plan(start.run, device, job.ranks.size))
            pictures = job.drawn and job.config.tensorboard and job.config.watch.images and not start.run.members
            live = LiveFigures(start.run) if pictures else None
            (row,) = train([start], device, after_epoch=live.after_epoch if live else None, ranks=job.ranks)
            if row.error is None:
                if not job.config.quiet:
                    say(console.result(row))
                elif row.status == "diverged":  # what ends with an exit code says why
                    warn(f"{job.folder}: the run has diverged: {row.reason}.")
                draw(row, job.handed)
    if row.error:
        raise row.error
    return Outcome.of(row)


def device_of(job: Job) -> torch.device:
    """Where the job is computed; of several ranks each has a device of its own."""
    return job.ranks.device(job.config.device) or choose_device(job.config.device)


def prepared(job: Job, device: torch.device, load: Load | None = None) -> PreparedRun:
    """The run of a job, ready to train; nothing is written yet."""
    handed = replace(job.handed, load=load) if load else job.handed
    run = prepare(job.config, job.folder, device, handed)
    if job.ranks.size > 1:
        require_shareable(run, job.ranks.size)
    number = None if job.sweep is None else int(job.hydra["job"]["num"])
    return replace(run, drawn=job.drawn, overrides=job.overrides, sweep=job.sweep, number=number)


def ready(job: Job, device: torch.device, load: Load | None = None) -> Start:
    """Prepare a run, and find its checkpoint if it goes on; nothing is written yet."""
    run = prepared(job, device, load)
    checkpoint = last_checkpoint(run) if job.resumed else None
    if checkpoint and checkpoint.get("status") == "diverged":
        raise ConfigError(f"resume={job.folder}: the run has diverged and its weights are not finite; start a new run.")
    if checkpoint:
        warn_of_schedule(run, checkpoint)
    return Start(run, checkpoint)


def record_start(job: Job, start: Start) -> None:
    """Save the run's config: from here on there is a run."""
    if job.resumed:
        remove_file(job.folder / "summary.json")  # that of the end which is no longer its end
    save_parts(job.folder, start.run.config.parts)
    save_config(job.folder, start.run.config_text, None if job.resumed else job.hydra)


def align(starts: Sequence[Start], halving: SuccessiveHalving | None) -> None:
    """Let the rows of a stack go on together that was killed while it saved them one after another.

    Those that had been saved go back to the checkpoint before. With `halving`, which compares rows at the same epoch,
    all begin anew where some had none.
    """
    if len({start.position for start in starts}) < 2:
        return
    if all(start.checkpoint for start in starts):
        earliest = min(start.position or (0, 0) for start in starts)
        ahead = [start for start in starts if start.position != earliest]
        before = [checkpoint_before(start.run.folder) for start in ahead]
        if all(checkpoint and (checkpoint["epoch"], checkpoint["batch"]) == earliest for checkpoint in before):
            for start, checkpoint in zip(ahead, before, strict=True):
                go_back(start.run.folder)
                start.checkpoint = checkpoint
            return
    if halving:
        for start in starts:
            start.checkpoint = None
            clear(start.run.folder)


def train(
    starts: Sequence[Start],
    device: torch.device,
    halving: SuccessiveHalving | None = None,
    after_epoch: AfterEpoch | None = None,
    failed: Failed | None = None,
    whole: Whole | None = None,
    ranks: Ranks = ALONE,
) -> list[RunState]:
    """Train runs that can be one stack, together; all of them go on from their checkpoints, or none does.

    `whole` is the stack that they belong to, where others of it train elsewhere. Several `ranks` share a run.
    """
    runs = [start.run for start in starts]
    first = runs[0]
    rows = whole.rows if whole else len(runs)
    work = first.multiplications * rows * first.batch_size
    # The last rows of a stack that go on compute as all of them did: they are rows, with its threads.
    if recorded_environment(first.folder).get("threads") not in (None, 1):
        work = max(work, SMALL)
    stack = stack_of(first.folder) or (first.folder.name if rows > 1 else None)
    with as_configured(first.config, device, work) as threads:
        present = environment(device)

        def record(start: Start) -> None:
            config = start.run.config
            entries = {**present, "stack": stack, "file_hash": config.data.file_hash(config.split)}
            warning = record_environment(start.run.folder, entries, resumed=start.checkpoint is not None)
            if warning:
                warn(warning)

        if ranks.leads:
            write_together(record, starts)
        if first.members:
            trainer: Trainer = EnsembleTrainer(first, device, threads)
        else:
            trainer = Trainer(runs, device, halving, threads, stack is not None, after_epoch, failed, whole, ranks)
        checkpoints = [start.checkpoint for start in starts if start.checkpoint]
        if checkpoints:
            try:
                trainer.restore(checkpoints)
            except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{first.folder}: this version of nettrain cannot read its last checkpoint."
                ) from error
        else:
            trainer.discard_records()
        return trainer.run()
