"""A search with Optuna: it is asked for several configurations at a time, which are then trained as one sweep."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus

from nettrain.errors import ConfigError
from nettrain.storage.atomic import replace_file


def search(
    launcher: Any, overrides: Sequence[Override], folder: Path, sampler: str, trials: int, batch: int, seed: int
) -> list[Sequence[JobReturn]]:
    """Train `trials` runs, `batch` at a time; the study is in `study.db`, the best run in `optimization_results.yaml`.

    Keys with an interval, a range or several values are searched, the others are given. A study that is there already
    goes on: trials that were running when it was interrupted are repeated first.
    Raises `ConfigError` where nothing is searched or Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"hydra/sweeper={sampler}: it requires Optuna; pip install 'nettrain[optuna]'.") from error
    for name, value in [("trials", trials), ("batch", batch)]:
        if value < 1:
            raise ConfigError(f"hydra.sweeper.{name}={value}: it must be at least 1.")
    space = {o.get_key_element(): _distribution(o) for o in overrides if o.is_sweep_override()}
    fixed = [f"{o.get_key_element()}={o.get_value_element_as_str()}" for o in overrides if not o.is_sweep_override()]
    if not space:
        raise ConfigError(
            f"hydra/sweeper={sampler}: there is nothing to search; give a key an interval, such as "
            "optimizer.lr=interval(0.001,1)."
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{folder.absolute()}/study.db"
    study = optuna.create_study(storage=storage, study_name="nettrain", load_if_exists=True)
    study.sampler = _sampler(sampler, seed + len(study.get_trials(deepcopy=False)))  # none is drawn a second time
    running, failed = optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.FAIL
    for interrupted in study.get_trials(deepcopy=False, states=[running]):
        study.tell(interrupted.number, state=failed)
        study.set_user_attr(f"interrupted {interrupted.number}", True)
        study.enqueue_trial(interrupted.params)
    returns = []
    while (left := trials - _ended(study)) > 0:
        asked = [study.ask(space) for _ in range(min(batch, left))]
        jobs = [[*fixed, *(f"{key}={_text(value)}" for key, value in trial.params.items())] for trial in asked]
        done = launcher.launch(jobs, initial_job_idx=asked[0].number)
        returns.append(done)
        for trial, job in zip(asked, done, strict=True):
            _tell(study, trial, job)
    _write_best(study, folder)
    return returns


def _distribution(override: Override) -> Any:
    """Optuna's distribution for what Hydra's grammar gives: `tag(log, interval(1e-4, 1))`, `range(1, 9)`, `a,b,c`."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    key = override.get_key_element()
    if isinstance(value, IntervalSweep):
        log = "log" in value.tags
        if log and value.start <= 0:
            raise ConfigError(f"{key}: a logarithmic interval must start above 0, not at {value.start}.")
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        return (IntDistribution if whole else FloatDistribution)(value.start, value.end, log=log)
    if isinstance(value, RangeSweep) and all(isinstance(v, int) for v in (value.start, value.stop, value.step)):
        values = list(value.range())
        return IntDistribution(min(values), max(values), step=abs(int(value.step)))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _sampler(name: str, seed: int) -> Any:
    from optuna import samplers

    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, constant_liar=True)  # which spreads the trials of a batch


def _ended(study: Any) -> int:
    """Trials that have been trained, whatever came of them; those that were interrupted are repeated."""
    return len(study.get_trials(deepcopy=False)) - len(study.user_attrs) - _waiting(study)


def _waiting(study: Any) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.WAITING]))


def _tell(study: Any, trial: Any, job: JobReturn) -> None:
    from optuna.trial import TrialState

    value = job.return_value if job.status == JobStatus.COMPLETED else math.nan
    if value is None or not math.isfinite(value):
        study.tell(trial, state=TrialState.FAIL)
    elif getattr(job, "pruned", False):
        trial.report(value, step=0)
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _write_best(study: Any, folder: Path) -> None:
    """The best run as Hydra's own sweepers write it; nothing if none has completed."""
    from optuna.trial import TrialState

    if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        best = {"name": "optuna", "best_evaluated_params": study.best_params, "best_evaluated_result": study.best_value}
        replace_file(folder / "optimization_results.yaml", yaml.safe_dump(best, sort_keys=False).encode())
