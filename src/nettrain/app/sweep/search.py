"""A search with Optuna: it is asked for several configurations at a time, which are then trained as one sweep.

What is proposed is a pure function of the seed, the trial's number and the results before it. A search that goes on
asks for all its trials anew, and gets the ones that it had; those that have ended are known from `study.db`, or from
their folders.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus

from nettrain.app.sweep.grid import with_recipes
from nettrain.app.sweep.launcher import begin, driver_of
from nettrain.app.sweep.study import numbered_trials, record, record_end, recorded_trials, tell
from nettrain.app.sweep.sweep import add_failures
from nettrain.errors import ConfigError
from nettrain.storage.atomic import replace_file


def search(
    launcher: Any, overrides: Sequence[Override], folder: Path, sampler: str, trials: int, batch: int, seed: int
) -> list[Sequence[JobReturn]]:
    """Train `trials` runs, `batch` at a time; the study is in `study.db`, the best run in `optimization_results.yaml`.

    Keys with an interval, a range or several values are searched, the others are given. Trials of a study that is there
    already, and that this search would not have proposed, count as the first ones.
    Raises `ConfigError` where nothing is searched or Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"hydra/sweeper={sampler}: it requires Optuna; pip install 'nettrain[optuna]'.") from error
    for name, value in [("trials", trials), ("batch", batch)]:
        if value < 1:
            raise ConfigError(f"hydra.sweeper.{name}={value}: it must be at least 1.")
    if seed < 0:
        raise ConfigError(f"hydra.sweeper.seed={seed}: it must be at least 0.")
    space = {o.get_key_element(): _distribution(o) for o in overrides if o.is_sweep_override()}
    fixed = [f"{o.get_key_element()}={o.get_value_element_as_str()}" for o in overrides if not o.is_sweep_override()]
    if not space:
        raise ConfigError(
            f"hydra/sweeper={sampler}: there is nothing to search; give a key an interval, such as "
            "optimizer.lr=interval(0.001,1)."
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    if getattr(launcher, "cluster", None):
        return _search_elsewhere(launcher, space, fixed, folder, sampler, trials, batch, seed)
    recorded = recorded_trials(folder)
    study, first = optuna.create_study(), 0
    returns = []
    while first < trials:
        asked = [_ask(study, space, sampler, seed) for _ in range(min(batch, trials - first))]
        known = recorded[first : first + len(asked)]
        if any(trial.params != before.params for trial, before in zip(asked, known, strict=False)):
            study, first = _continued(recorded, space), len(recorded)
            continue
        for trial, before in zip(asked, known, strict=False):
            tell(study, trial.number, before.state, before.value)
        if len(known) < len(asked):
            jobs = [_job(fixed, trial) for trial in asked]
            done = launcher.launch(with_recipes(launcher, jobs), initial_job_idx=first)
            returns.append(done)
            add_failures(done)
            for trial, job in list(zip(asked, done, strict=True))[len(known) :]:
                tell(study, trial.number, *_result(job))
            record(folder, study.get_trials(deepcopy=False)[first + len(known) : first + len(asked)])
        first += len(asked)
    _write_best(study, folder)
    return returns


def _search_elsewhere(
    launcher: Any,
    space: dict[str, Any],
    fixed: list[str],
    folder: Path,
    sampler: str,
    trials: int,
    batch: int,
    seed: int,
) -> list[Sequence[JobReturn]]:
    """The search on workers: one that is free gets the next batch, proposed by what has ended until then.

    So that depends on which worker was faster; what was proposed is recorded before it trains, and a search that goes
    on begins with the trials that have not ended.
    """
    recorded = numbered_trials(folder)
    study = _continued(list(recorded.values()), space)
    places = list(recorded)  # the trials' numbers in study.db
    left = [trial.number for trial in study.get_trials(deepcopy=False) if not trial.state.is_finished()]
    driver, returns = driver_of(launcher, quiet=_is_quiet(fixed)), list[Sequence[JobReturn]]()
    sent: dict[Any, tuple[Any, list[Any]]] = {}

    def end(begun: Any, asked: list[Any], outcomes: dict[int, Any]) -> None:
        with begun.around():
            done = begun.end(outcomes)
        returns.append(done)
        add_failures(done)
        for trial, job in zip(asked, done, strict=True):
            state, value = _result(job)
            tell(study, trial.number, state, value)
            record_end(folder, places[trial.number], state, value)

    while True:
        while driver.idle > 0 and (left or len(places) < trials):
            if left:
                count = next((k for k in range(1, len(left)) if left[k] != left[0] + k), len(left))
                numbers, left = left[: min(count, batch)], left[min(count, batch) :]
                asked = [study.get_trials(deepcopy=False)[i] for i in numbers]
            else:
                asked = [_ask(study, space, sampler, seed) for _ in range(min(batch, trials - len(places)))]
                first = asked[0].number
                places += record(folder, study.get_trials(deepcopy=False)[first : first + len(asked)])
            params = [trial.params for trial in asked]
            while any(trial.params in params for _, others in sent.values() for trial in others):
                for over in driver.step():  # the same runs train already
                    end(*sent.pop(over), over.outcomes)
            jobs = with_recipes(launcher, [_job(fixed, trial) for trial in asked])
            begun = begin(launcher, jobs, asked[0].number)
            if not begun.jobs:
                end(begun, asked, {})
                continue
            with begun.around():
                sent[driver.send(list(begun.jobs.values()), launcher.halving(), begun.ended, 1)] = begun, asked
        if not sent:
            break
        for over in driver.step():
            end(*sent.pop(over), over.outcomes)
    _write_best(study, folder)
    return returns


def _is_quiet(overrides: Sequence[str]) -> bool:
    return "quiet=true" in [override.lower() for override in overrides]


def _job(fixed: Sequence[str], trial: Any) -> list[str]:
    """The overrides of a trial's run."""
    return [*fixed, *(f"{key}={_text(value)}" for key, value in trial.params.items())]


def _ask(study: Any, space: dict[str, Any], sampler: str, seed: int) -> Any:
    """The next trial; what chance there is in it depends on the seed and on the trial's number alone."""
    number = len(study.get_trials(deepcopy=False))
    study.sampler = _sampler(sampler, int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    return study.ask(space)


def _sampler(name: str, seed: int) -> Any:
    from optuna import samplers

    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, constant_liar=True)  # which spreads the trials of a batch


def _continued(recorded: Sequence[Any], space: dict[str, Any]) -> Any:
    """A study with trials that another search has proposed; those over another space only count."""
    import optuna
    from optuna.trial import TrialState, create_trial

    study = optuna.create_study()
    for trial in recorded:
        alike = all(name in trial.distributions for name in space) and all(
            type(trial.distributions[name]) is type(distribution) for name, distribution in space.items()
        )
        study.add_trial(trial if alike else create_trial(state=TrialState.FAIL))
    return study


def _result(job: JobReturn) -> tuple[Any, float | None]:
    """How a run has ended, in Optuna's words, and its best monitored loss."""
    from optuna.trial import TrialState

    value = job.return_value if job.status == JobStatus.COMPLETED else math.nan
    if value is None or not math.isfinite(value):
        return TrialState.FAIL, None
    return (TrialState.PRUNED if getattr(job, "pruned", False) else TrialState.COMPLETE), value


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


def _write_best(study: Any, folder: Path) -> None:
    """The best run as Hydra's own sweepers write it; nothing if none has completed."""
    from optuna.trial import TrialState

    if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        best = {"name": "optuna", "best_evaluated_params": study.best_params, "best_evaluated_result": study.best_value}
        replace_file(folder / "optimization_results.yaml", yaml.safe_dump(best, sort_keys=False).encode())
