"""What runs have spent by the time that their loss has come near the best one."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nettrain.data.splits import monitored_split
from nettrain.problem import COUNTS, cost
from nettrain.results.comparison import Comparison, SeedGroup
from nettrain.results.metrics_table import read_columns

SAME = 1.3  # what seconds per cost may differ by between runs and say no more than the cost
MOST = 6  # settings of a performance profile
REACHED = 0.1  # of the way from the first loss to the best one that may be left at the target
WAY = f"{1 - REACHED:.0%} of the way from the first one to the best of any run with the same seed"

Spent = Callable[[dict[str, np.ndarray], int], np.ndarray]


def _cost(columns: dict[str, np.ndarray], updates_per_epoch: int) -> np.ndarray:
    """What a run has cost after each epoch, in evaluations of the loss of all training samples."""
    none = np.zeros_like(columns["epoch"])
    return cost(*(columns.get(name, none) for name in COUNTS)) / max(1, updates_per_epoch)


class Measure(NamedTuple):
    """Something that is spent: its name beside an axis, what it is in a caption, and how it is found."""

    unit: str
    about: str
    spent: Spent


MEASURES = {  # by the end of the figures' names
    "": Measure(
        "cost in evaluations of the loss",
        "the cost counts evaluations of the loss of all training samples, 2 more per gradient, 4 more per "
        "Hessian-vector product",
        _cost,
    ),
    "_seconds": Measure("seconds", "runs of one stack share their seconds", lambda columns, _: columns["seconds"]),
}


@dataclass
class Curve:
    """A run: which repetition it is, its monitored loss and what it had spent after each epoch, and how it ended."""

    repetition: str
    loss: np.ndarray
    spent: np.ndarray
    status: str = "completed"


def problem_costs(comparison: Comparison, spent: Spent = _cost) -> tuple[list[str], np.ndarray]:
    """The names of settings, and what each spent on every problem and seed, (problems, settings); inf: not solved."""
    costs: dict[str, dict[tuple[str, str], float]] = {}
    for problem, runs in comparison.problems.items():
        curves = {runs.label(group): curves_of(group, spent) for group in runs.groups}
        for label, times in times_to_target(curves).items():
            for repetition, of_runs in times.items():
                costs.setdefault(label, {})[problem, repetition] = float(np.median(of_runs))
    problems = list(dict.fromkeys(problem for spent in costs.values() for problem in spent))
    solved = {name: sum(map(math.isfinite, spent.values())) for name, spent in costs.items()}
    most = set(sorted(costs, key=lambda name: -solved[name])[:MOST])
    names = [name for name in costs if name in most]
    return names, np.array([[costs[name].get(problem, math.inf) for name in names] for problem in problems])


def in_step(cost: np.ndarray, seconds: np.ndarray) -> bool:
    """Whether two things that runs have spent (problems, runs) are proportional, so that a figure of one says it all.

    That is on each problem; what is not finite does not count.
    """
    rates = np.divide(seconds, cost, where=(cost > 0) & np.isfinite(cost + seconds), out=np.full_like(cost, np.nan))
    known = [row[np.isfinite(row)] for row in rates]
    return all(row.max() < SAME * row.min() for row in known if len(row))


def times_to_target(curves: dict[str, list[Curve]]) -> dict[str, dict[str, list[float]]]:
    """What the runs of each setting, by their repetitions, had spent when they reached the target; inf for never.

    Those that diverged are left out. Each repetition has a target of its own, as it draws its own split of the data.
    """
    curves = {label: [curve for curve in runs if curve.status != "diverged"] for label, runs in curves.items()}
    by_repetition: dict[str, list[Curve]] = {}
    for curve in itertools.chain(*curves.values()):
        by_repetition.setdefault(curve.repetition, []).append(curve)
    targets = {repetition: _target(alike) for repetition, alike in by_repetition.items()}
    times: dict[str, dict[str, list[float]]] = {}
    for label, runs in curves.items():
        times[label] = {}
        for curve in runs:
            hit = curve.spent[curve.loss <= targets[curve.repetition]]
            times[label].setdefault(curve.repetition, []).append(float(hit[0]) if len(hit) else math.inf)
    return times


def _target(curves: list[Curve]) -> float:
    """A loss that lies most of the way from the first one, the median of all runs, to the best one of any run."""
    losses = [finite for curve in curves if len(finite := curve.loss[np.isfinite(curve.loss)])]
    if not losses:
        return math.nan
    best, first = min(float(loss.min()) for loss in losses), float(np.median([loss[0] for loss in losses]))
    return best + REACHED * max(first - best, 0.0)


def curves_of(group: SeedGroup, spent: Spent = _cost) -> list[Curve]:
    """The curves of a group's runs that have had an epoch, but for those that failed."""
    curves = []
    for run in group.runs:
        if run.status == "failed" or run.folder is None or not (run.folder / "metrics.csv").is_file():
            continue
        columns = read_columns(run.folder)
        loss = columns[f"{monitored_split(name.partition('_')[0] for name in columns)}_loss"]
        if len(loss):
            curves.append(Curve(run.repetition, loss, spent(columns, run.summary["updates_per_epoch"]), run.status))
    return curves
