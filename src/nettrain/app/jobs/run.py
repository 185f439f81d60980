"""One run, from what was composed: begun, gone on with, or followed by a rank that does not lead."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nettrain.app.jobs.folder_match import match_folder
from nettrain.app.jobs.job import Job, Outcome, Start, device_of, prepared, take_up, train, train_alone
from nettrain.app.jobs.ranks import require_alike
from nettrain.app.jobs.resume import resumed_config
from nettrain.config.build import to_config
from nettrain.preparation.prepare import NOTHING, HandedOver
from nettrain.ranks.ranks import ALONE, Ranks


def train_run(
    composed: DictConfig,
    folder: Path,
    hydra: dict[str, Any],
    handed: HandedOver = NOTHING,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Train one run into `folder`, or go on with the one that `resume` names; `hydra` are Hydra's settings.

    Ranks that torchrun has started again go on with the run that they had begun there. Raises a `Mistake`, and writes
    nothing, when the run cannot start.
    """
    job: Job | Outcome
    if composed.resume is None:
        config = to_config(composed, hydra["overrides"]["task"])
        job = begun = Job(config, folder, hydra, handed=handed, ranks=ranks)
        if ranks.folder and ranks.leads:
            job = take_up(begun, match_folder(config, folder, 0))
    else:
        config, folder = resumed_config(composed, hydra["overrides"]["task"])
        job = Job(config, folder, hydra, resumed=True, handed=handed, ranks=ranks)
    ended = ranks.first(job if isinstance(job, Outcome) else None)
    if ended is not None:
        return ended
    assert isinstance(job, Job)
    return train_alone(job) if ranks.leads else follow(job)


def follow(job: Job) -> Outcome:
    """Train one run as a rank that does not lead: the one that does writes all there is to write."""
    ranks, device, config = job.ranks, device_of(job), job.config
    quiet = replace(config, callbacks={}, logger={}, tensorboard=False, profile=False, quiet=True, figures="never")
    run = prepared(replace(job, config=quiet, handed=replace(job.handed, callbacks={})), device)
    if ranks.first(None):  # there was nothing left to do
        return Outcome(job.folder, "completed")
    require_alike(replace(run, config=replace(run.config, callbacks=config.callbacks)), ranks)
    (row,) = train([Start(run, ranks.first(None))], device, ranks=ranks)
    return Outcome.of(row)
