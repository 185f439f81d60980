"""What `hydra/launcher=stacked` does with the jobs that a sweeper hands to it."""

import importlib.util
import math
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
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
from nettrain.app.sweep.sweep import add_failure, add_resumed, at_end
from nettrain.config.build import can_be_set, to_config, with_values
from nettrain.config.compose import Composed, Composer
from nettrain.config.schema import Config
from nettrain.errors import ConfigError, Mistake
from nettrain.preparation.prepare import NOTHING
from nettrain.terminal import say

if TYPE_CHECKING:
    from nettrain.app.sweep.cluster.driver import Driver


@dataclass
class Launch:
    """Jobs that a sweeper has handed over: those that are to be trained, and how those ended that have, by position."""

    launcher: Any
    plans: list["_Plan"]
    hydras: list[dict[str, Any]]
    callbacks: JobCallbacks
    jobs: dict[int, Job] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        return all(plan.config.quiet for plan in self.plans if isinstance(plan.config, Config))

    @property
    def ended(self) -> list[Config]:
        """The configs of the jobs that had ended before."""
        return [
            plan.config for i, plan in enumerate(self.plans) if i in self.outcomes and isinstance(plan.config, Config)
        ]

    def around(self) -> AbstractContextManager[None]:
        """Within it the environment and the log are those of the jobs."""
        return around_jobs(self.launcher, self.hydras[0])

    def end(self, trained: dict[int, Outcome]) -> list[JobReturn]:
        """What the sweeper gets when the jobs have been trained, with these outcomes by their positions among them."""
        numbers = list(self.jobs)
        outcomes = self.outcomes | {numbers[position]: outcome for position, outcome in trained.items()}
        returns = [_return(hydra["overrides"]["task"], outcomes.get(i)) for i, hydra in enumerate(self.hydras)]
        for i, job_return in enumerate(returns):
            self.callbacks.end(i, job_return)
        return returns


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Train all jobs, numbered from `first`; those that are complete in the sweep's folder are left as they are.

    A job with `resume` goes on with that run, in its folder. Raises Hydra's errors for overrides that cannot be
    composed, before anything is trained. A job's value is its best monitored loss, NaN where it has none. A `JobReturn`
    holds no configs, so that 10,000 of them are small.
    """
    begun = begin(launcher, job_overrides, first)
    with begun.around():
        trained: dict[int, Outcome] = {}
        if launcher.cluster is None and _can_use_all_gpus(list(begun.jobs.values())):
            launcher.use_all_gpus()
        if begun.jobs and launcher.cluster:
            trained = driver_of(launcher, begun.quiet).train(list(begun.jobs.values()), launcher.halving(), begun.ended)
        elif begun.jobs:
            trained = train_jobs(list(begun.jobs.values()), launcher.memory, launcher.halving(), begun.quiet)
        return begun.end(trained)


def begin(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> Launch:
    """Compose the jobs, and find out which of them are to be trained; raises as `launch` does."""
    _require_cluster(launcher)
    setup_globals()
    master, handed = launcher.config, getattr(launcher.task_function, "handed", NOTHING)
    configure_log(master.hydra.hydra_logging, master.hydra.verbose)
    plans, hydras = _composed(launcher, job_overrides, first)
    require_common_process(hydras)
    folder = Path(master.hydra.sweep.dir).absolute()
    matches = _match(plans, folder, first)
    begun = Launch(launcher, plans, hydras, JobCallbacks(launcher))
    with begun.around():
        for i, (plan, match, hydra) in enumerate(zip(plans, matches, hydras, strict=True)):
            hydra["job"] |= {"num": match.number, "id": str(match.number)}
            hydra["runtime"]["output_dir"] = str(match.folder)
            begun.callbacks.start(i, job_overrides[i], match.number, match.folder)
            if isinstance(plan.config, Mistake):
                add_failure(fail(plan.config, match.folder, hydra["overrides"]["task"]))
                continue
            if plan.resumes:
                add_resumed(plan.resumes)
            resumed = plan.resumes is not None
            taken_up = take_up(Job(plan.config, match.folder, hydra, resumed, sweep=folder, handed=handed), match)
            if isinstance(taken_up, Outcome):
                begun.outcomes[i] = taken_up
            else:
                begun.jobs[i] = taken_up
        if begun.outcomes and not begun.quiet:
            say(f"{folder}: {len(begun.outcomes)} of {len(plans)} runs are already complete")
    return begun


def _require_cluster(launcher: Any) -> None:
    """Raise `ConfigError` for options of workers where there are none."""
    asked: dict[str, Any] = {"address": None, "workers": None, "cores": 1, "gpus": 0, "slurm": {}}
    named = [key for key, usual in asked.items() if getattr(launcher, key) != usual]
    if named and launcher.cluster is None:
        raise ConfigError(
            f"hydra.launcher.{named[0]}: it is for workers; choose hydra.launcher.cluster=ray, slurm or local, too."
        )


def _can_use_all_gpus(jobs: Sequence[Job]) -> bool:
    """Whether there are several GPUs for the runs of a sweep, and these can be sent to other processes.

    What was handed over in Python may be of a kind that cannot.
    """
    if len(jobs) < 2 or any(job.config.device not in ("auto", "cuda") or job.handed is not NOTHING for job in jobs):
        return False
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return there > 1 and importlib.util.find_spec("submitit") is not None


def driver_of(launcher: Any, quiet: bool) -> "Driver":
    """What trains the stacks of this launcher's sweep elsewhere, until the sweep ends."""
    if launcher.driver is None:
        from nettrain.app.sweep.cluster.choose import choose_driver

        launcher.driver = choose_driver(launcher, Path(launcher.config.hydra.sweep.dir).absolute(), quiet)
        at_end(launcher.driver.close)
    driver: Driver = launcher.driver
    return driver


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
    alike: dict[Any, Config] = {}  # a job of each kind
    for number, overrides in enumerate(job_overrides, first):
        composed = composer.compose(with_resumed_parts(list(overrides)))
        hydras.append(composed.hydra)
        subdir = _subdir(composed, number)
        try:
            if composed.task.resume is not None:
                config, folder = resumed_config(composed.task, overrides)
                plans.append(_Plan(config, resumes=folder))
            else:
                plans.append(_Plan(_config(composed, launcher, overrides, number, alike), subdir))
        except Mistake as mistake:
            plans.append(_Plan(mistake, subdir))
    return plans, hydras


def _config(
    composed: Composed, launcher: Any, overrides: Sequence[str], number: int, alike: dict[Any, Config]
) -> Config:
    """The checked config of a job; what it takes from Hydra's own settings needs those of this job.

    One of the same kind as a job in `alike` is that with values of its own.
    """
    if (known := alike.get(composed.kind)) and composed.kind is not None:
        return with_values(known, composed.values)
    if "${hydra" not in str(composed.task):
        config = to_config(composed.task, overrides)
        if not hasattr(config.model, "notes") and all(can_be_set(config, key) for key in composed.values):
            alike[composed.kind] = config
        return config
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
