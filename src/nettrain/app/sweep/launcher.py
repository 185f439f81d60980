"""What `hydra/launcher=stacked` does with the jobs that a sweeper hands to it."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from omegaconf import OmegaConf

from nettrain.app.jobs.failure import fail
from nettrain.app.jobs.folder_match import FolderMatch, match_folder, match_folders
from nettrain.app.jobs.job import Job, Outcome, take_up
from nettrain.app.jobs.resume import ended_as, resumed_config, with_resumed_parts
from nettrain.app.sweep.hydra_jobs import (
    JobCallbacks,
    around_jobs,
    as_hydra_config,
    job_config,
    require_common_process,
)
from nettrain.app.sweep.stacks import train_jobs
from nettrain.app.sweep.sweep import add_failure, add_resumed
from nettrain.config.build import to_config
from nettrain.config.compose import Composed, Composer
from nettrain.config.schema import Config
from nettrain.errors import ConfigError, Mistake
from nettrain.preparation.prepare import NOTHING
from nettrain.terminal import say


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Train all jobs, numbered from `first`; those that are complete in the sweep's folder are left as they are.

    A job with `resume` goes on with that run, in its folder. Raises Hydra's errors for overrides that cannot be
    composed, before anything is trained. A job's value is its best monitored loss, NaN where it has none. A `JobReturn`
    holds no configs, so that 10,000 of them are small.
    """
    setup_globals()
    master, handed = launcher.config, getattr(launcher.task_function, "handed", NOTHING)
    configure_log(master.hydra.hydra_logging, master.hydra.verbose)
    plans, hydras = _composed(launcher, job_overrides, first)
    require_common_process(hydras)
    folder = Path(master.hydra.sweep.dir).absolute()
    outcomes, jobs = dict[int, Outcome](), dict[int, Job]()
    matches = _match(plans, folder, first)
    callbacks = JobCallbacks(launcher)
    with around_jobs(launcher, hydras[0]):
        for i, (plan, match, hydra) in enumerate(zip(plans, matches, hydras, strict=True)):
            hydra["job"] |= {"num": match.number, "id": str(match.number)}
            hydra["runtime"]["output_dir"] = str(match.folder)
            callbacks.start(i, job_overrides[i], match.number, match.folder)
            if isinstance(plan.config, Mistake):
                add_failure(fail(plan.config, match.folder, hydra["overrides"]["task"]))
                continue
            if plan.resumes:
                add_resumed(plan.resumes)
            resumed = plan.resumes is not None
            taken_up = take_up(Job(plan.config, match.folder, hydra, resumed, sweep=folder, handed=handed), match)
            if isinstance(taken_up, Outcome):
                outcomes[i] = taken_up
            else:
                jobs[i] = taken_up
        quiet = all(plan.config.quiet for plan in plans if isinstance(plan.config, Config))
        if outcomes and not quiet:
            say(f"{folder}: {len(outcomes)} of {len(plans)} runs are already complete")
        if jobs:
            numbers = list(jobs)
            trained = train_jobs(list(jobs.values()), launcher.memory, launcher.halving(), quiet)
            outcomes |= {numbers[position]: outcome for position, outcome in trained.items()}
        returns = [_return(hydra["overrides"]["task"], outcomes.get(i)) for i, hydra in enumerate(hydras)]
        for i, job_return in enumerate(returns):
            callbacks.end(i, job_return)
    return returns


@dataclass
class _Plan:
    """What is to be trained as a job: its config, or what is wrong with it, and where it goes.

    `subdir` is its folder's name in the sweep's, unless that is its number, and `resumes` the folder of the run with
    which it goes on.
    """

    config: Config | Mistake
    subdir: str | None = None
    resumes: Path | None = None


def _composed(
    launcher: Any, job_overrides: Sequence[Sequence[str]], first: int
) -> tuple[list[_Plan], list[dict[str, Any]]]:
    """The plan of every job, and Hydra's settings for it."""
    composer = Composer(launcher.hydra_context.config_loader, launcher.config)
    plans, hydras = list[_Plan](), list[dict[str, Any]]()
    for number, overrides in enumerate(job_overrides, first):
        composed = composer.compose(with_resumed_parts(list(overrides)))
        hydras.append(composed.hydra)
        subdir = _subdir(composed, number)
        try:
            if composed.task.resume is not None:
                config, folder = resumed_config(composed.task, overrides)
                plans.append(_Plan(config, resumes=folder))
            else:
                plans.append(_Plan(_config(composed, launcher, overrides, number), subdir))
        except Mistake as mistake:
            plans.append(_Plan(mistake, subdir))
    return plans, hydras


def _config(composed: Composed, launcher: Any, overrides: Sequence[str], number: int) -> Config:
    """The checked config of a job; what it takes from Hydra's own settings needs those of this job."""
    if "${hydra" not in str(composed.task):
        return to_config(composed.task, overrides)
    with as_hydra_config(job_config(launcher, overrides, number)):
        return to_config(composed.task, overrides)


def _subdir(composed: Composed, number: int) -> str | None:
    if composed.hydra["sweep"]["subdir"] == "${hydra.job.num}":
        return None
    settings = {**composed.hydra, "job": {**composed.hydra["job"], "num": number, "id": str(number)}}
    task: dict[str, Any] = OmegaConf.to_container(composed.task)  # type: ignore[assignment]
    return str(OmegaConf.create({**task, "hydra": settings}).hydra.sweep.subdir)


def _match(plans: Sequence[_Plan], folder: Path, first: int) -> list[FolderMatch]:
    """Where each job writes, and whether its run was begun there before."""
    configs = [None if isinstance(plan.config, Mistake) or plan.resumes else plan.config for plan in plans]
    matches = match_folders(configs, folder, first)
    for i, (plan, config) in enumerate(zip(plans, configs, strict=True)):
        if plan.resumes and isinstance(plan.config, Config):
            ended = ended_as(plan.resumes, plan.config) is not None
            matches[i] = FolderMatch(plan.resumes, first + i, begun=True, ended=ended)
        elif plan.subdir is not None:
            matches[i] = match_folder(config, folder / plan.subdir, first + i)
    if twice := [path for path, n in Counter(match.folder.absolute() for match in matches).items() if n > 1]:
        key = "resume" if any(plan.resumes for plan in plans) else "hydra.sweep.subdir"
        raise ConfigError(f"{key}: several runs of the sweep would write into {twice[0]}.")
    return matches


@dataclass
class Return(JobReturn):
    """`pruned` is a run that successive halving has ended."""

    pruned: bool = False


def _return(overrides: list[str], outcome: Outcome | None) -> JobReturn:
    loss = outcome.best_loss if outcome else None
    made = Return(overrides=overrides, working_dir=os.getcwd(), task_name="nettrain", status=JobStatus.COMPLETED)
    made.pruned = outcome is not None and outcome.pruned
    made.return_value = math.nan if loss is None else loss
    return made
