"""What `hydra/launcher=stacked` does with the jobs that a sweeper hands to it."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from omegaconf import OmegaConf

from nettrain.app.jobs.failure import fail
from nettrain.app.jobs.folder_match import FolderMatch, match_folder, match_folders
from nettrain.app.jobs.job import Job, Outcome, take_up
from nettrain.app.sweep.stacks import train_jobs
from nettrain.app.sweep.sweep import add_failure
from nettrain.config.build import to_config
from nettrain.config.compose import Composed, Composer
from nettrain.config.schema import Config
from nettrain.errors import ConfigError, Mistake
from nettrain.terminal import say


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Train all jobs, numbered from `first`; those that are complete in the sweep's folder are left as they are.

    Raises Hydra's errors for overrides that cannot be composed, before anything is trained. A job's value is its best
    monitored loss, NaN where it has none. To keep 10,000 jobs small, a `JobReturn` holds no configs.
    """
    setup_globals()
    master = launcher.config
    configure_log(master.hydra.hydra_logging, master.hydra.verbose)
    composer = Composer(launcher.hydra_context.config_loader, master)
    configs, mistakes, hydras = list[Config | None](), dict[int, Mistake](), list[dict[str, Any]]()
    for i, overrides in enumerate(job_overrides):
        composed = composer.compose(overrides)
        hydras.append(composed.hydra)
        try:
            configs.append(_config(composed, launcher, overrides, first + i))
        except Mistake as mistake:
            configs.append(None)
            mistakes[i] = mistake
    folder = Path(master.hydra.sweep.dir).absolute()
    outcomes, jobs = dict[int, Outcome](), dict[int, Job]()
    matches = _match(configs, hydras, folder, first)
    for i, (config, match, hydra) in enumerate(zip(configs, matches, hydras, strict=True)):
        hydra["job"] |= {"num": match.number, "id": str(match.number)}
        hydra["runtime"]["output_dir"] = str(match.folder)
        if config is None:
            add_failure(fail(mistakes[i], match.folder, hydra["overrides"]["task"]))
            continue
        taken_up = take_up(Job(config, match.folder, hydra), match)
        if isinstance(taken_up, Outcome):
            outcomes[i] = taken_up
        else:
            jobs[i] = taken_up
    quiet = all(config.quiet for config in configs if config)
    if outcomes and not quiet:
        say(f"{folder}: {len(outcomes)} of {len(configs)} runs are already complete")
    if jobs:
        numbers = list(jobs)
        trained = train_jobs(list(jobs.values()), launcher.memory, launcher.halving(), quiet)
        outcomes |= {numbers[position]: outcome for position, outcome in trained.items()}
    return [_return(hydra["overrides"]["task"], outcomes.get(i)) for i, hydra in enumerate(hydras)]


def _config(composed: Composed, launcher: Any, overrides: Sequence[str], number: int) -> Config:
    """The checked config of a job; what it takes from Hydra's own settings needs those of this job."""
    if "${" not in str(composed.task):
        return to_config(composed.task)
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    OmegaConf.update(config, "hydra.job.num", number, force_add=True)
    OmegaConf.update(config, "hydra.job.id", str(number), force_add=True)
    HydraConfig.instance().set_config(config)
    try:
        return to_config(composed.task)
    finally:
        HydraConfig.instance().set_config(launcher.config)


def _match(
    configs: Sequence[Config | None], hydras: Sequence[dict[str, Any]], folder: Path, first: int
) -> list[FolderMatch]:
    if all(hydra["sweep"]["subdir"] == "${hydra.job.num}" for hydra in hydras):
        return match_folders(configs, folder, first)
    matches = []
    for number, (config, hydra) in enumerate(zip(configs, hydras, strict=True), first):
        settings = {**hydra, "job": {**hydra["job"], "num": number, "id": str(number)}}
        name = OmegaConf.create({"hydra": settings}).hydra.sweep.subdir
        matches.append(match_folder(config, folder / str(name), number))
    if twice := [path for path, n in Counter(match.folder for match in matches).items() if n > 1]:
        raise ConfigError(f"hydra.sweep.subdir: several runs of the sweep would write into {twice[0]}.")
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
