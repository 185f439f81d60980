"""The figures of many runs: of a sweep, or of any runs that are compared."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nettrain.data.splits import monitored_split
from nettrain.problem import COUNTS, cost
from nettrain.report.pictures import Arguments, Picture
from nettrain.results.comparison import Comparison, RunResult, SeedGroup, number, words
from nettrain.results.metrics_table import read_columns

SHOWN = 6  # choices in one figure
PAIRS = 15  # heat maps of a report
CELLS = 60  # in a row or a column of a heat map
PROBLEMS = 3  # of which curves are drawn
REACHED = 0.1  # of the way from the first loss to the best one that may be left at the target


Spent = Callable[[dict[str, np.ndarray], int], np.ndarray]


def _cost(columns: dict[str, np.ndarray], updates_per_epoch: int) -> np.ndarray:
    """What a run has cost after each epoch, in evaluations of the loss of all training samples."""
    none = np.zeros_like(columns["epoch"])
    return cost(*(columns.get(name, none) for name in COUNTS)) / max(1, updates_per_epoch)


MEASURES: dict[str, tuple[str, Spent]] = {  # of what is spent, by the end of the figures' names
    "": ("cost: evaluations of the loss of all training samples, 2 more per gradient, 4 more per H v", _cost),
    "_seconds": ("seconds; runs of one stack share theirs", lambda columns, _: columns["seconds"]),
}


@dataclass
class Curve:
    """A run: which repetition it is, its monitored loss and what it had spent after each epoch, and how it ended."""

    repetition: str
    loss: np.ndarray
    spent: np.ndarray
    status: str = "completed"


def sweep_pictures(comparison: Comparison) -> list[Picture]:
    """All that can be drawn of the runs; with several problems the curves of the first ones."""
    several = len(comparison.problems) > 1
    order = [comparison.label(group) for group in comparison.groups]
    pictures: list[Picture] = []
    for i, (problem, runs) in enumerate(itertools.islice(comparison.problems.items(), PROBLEMS)):
        pictures += _of_problem(runs, order, f"_{i + 1}" if several else "", f" of {problem}" if several else "")
    if several:
        for ending, (unit, spent) in MEASURES.items():
            names, costs = problem_costs(comparison, spent)
            caption = (
                f"the share of the {len(costs)} problems (data and seed) that each setting solves at a cost of at most "
                f"τ times the least; solved is a loss that has come {_WAY}; {unit}"
            )
            name = f"performance_profile{ending}"
            pictures.append(Picture(name, caption, "performance_profile", (costs, names)))
    return pictures


_WAY = f"{1 - REACHED:.0%} of the way from the first one to the best of any run with the same seed"


def _of_problem(comparison: Comparison, order: list[str], suffix: str, of: str) -> list[Picture]:
    """The figures of the runs on one problem; choices come, and so are coloured, in this order of their labels."""
    drawn = [group for group in comparison.groups if group.results(comparison.loss)][:SHOWN]
    if not drawn:
        return []
    drawn.sort(key=lambda group: order.index(comparison.label(group)))
    curves = {comparison.label(group): _curves(group) for group in drawn}
    loss, best = ("validation loss" if "val" in comparison.loss else "training loss"), words(comparison.loss)
    seeds = max(map(len, curves.values()))
    what = f"median and quartiles over {seeds} runs" if seeds > 1 else "one run"
    what += f" of each of the best {len(drawn)} settings" if len(drawn) > 1 else ""
    ended = {(len(curve.loss), curve.status) for runs in curves.values() for curve in runs}
    what += "; one that ended before others keeps its last loss" if len({length for length, _ in ended}) > 1 else ""
    what += "; one that diverged counts as infinitely bad" if "diverged" in {status for _, status in ended} else ""
    series = {label: _carried_forward(runs) for label, runs in curves.items()}
    bands = (series, "epoch", loss, f"{loss.capitalize()}{of}")
    pictures = [Picture(f"curves{suffix}", f"{loss}{of}: {what}", "bands", bands)]
    for ending, (unit, spent) in MEASURES.items():
        curves = {comparison.label(group): _curves(group, spent) for group in drawn}
        reached = [list(itertools.chain(*times.values())) for times in times_to_target(curves).values()]
        times = {
            label: np.array([*runs, *[math.inf] * group.bad])
            for label, runs, group in zip(curves, reached, drawn, strict=True)
        }
        caption, shares = f"when {loss}{of} had come {_WAY}", (times, unit, f"Time to target{of}")
        pictures.append(Picture(f"time_to_target{ending}{suffix}", caption, "time_to_target", shares))
    keys = _keys(comparison)
    few = [key for key in keys if len(set(_values(comparison, key))) <= CELLS]
    for x, y in itertools.islice(itertools.combinations(few, 2), PAIRS):
        caption = f"{best}{of} over {x} and {y}, median over the runs that did not fail; the best is framed"
        name = f"heat_map_{x}_{y}{suffix}".replace("/", "_")
        pictures.append(Picture(name, caption, "heat_map", partial(heat_map, comparison, x, y)))
    if len(keys) > 1:
        caption = f"the best {min(300, len(comparison.runs))} runs{of}, a line each; the darker, the better"
        name, arguments = f"parallel_coordinates{suffix}", partial(parallel_coordinates, comparison)
        pictures.append(Picture(name, caption, "parallel_coordinates", arguments))
    return pictures


def _keys(comparison: Comparison) -> list[str]:
    """The keys in which the runs on a problem differ."""
    differing = [key for i, key in enumerate(comparison.keys) if len({g.values[i] for g in comparison.groups}) > 1]
    return [key for key in differing if key not in comparison.problem_keys]


def heat_map(comparison: Comparison, x: str, y: str) -> Arguments:
    """What the heat map of the median result over two keys is made of."""
    runs, best = comparison.runs, words(comparison.loss)
    results = [_result(run, comparison.loss) for run in runs]
    across, down = _values(comparison, x), _values(comparison, y)
    return across, down, results, x, y, best, best[0].upper() + best[1:]


def parallel_coordinates(comparison: Comparison) -> Arguments:
    """What the figure of every run through all keys that differ is made of."""
    runs = comparison.runs
    keys = _keys(comparison)
    columns = {key: [number(run.overrides.get(key, "")) for run in runs] for key in keys}
    results = [_result(run, comparison.loss) for run in runs]
    return columns, results, words(comparison.loss), "Runs by their settings and results"


def problem_costs(comparison: Comparison, spent: Spent = _cost) -> tuple[list[str], np.ndarray]:
    """The names of the choices, and what each spent on every problem and seed, (problems, choices); inf: not solved."""
    costs: dict[str, dict[tuple[str, str], float]] = {}
    for problem, runs in comparison.problems.items():
        curves = {runs.label(group): _curves(group, spent) for group in runs.groups}
        for label, times in times_to_target(curves).items():
            for repetition, of_runs in times.items():
                costs.setdefault(label, {})[problem, repetition] = float(np.median(of_runs))
    problems = list(dict.fromkeys(problem for spent in costs.values() for problem in spent))
    table = np.array([[spent.get(problem, math.inf) for spent in costs.values()] for problem in problems])
    solved = np.isfinite(table).sum(0)
    best = sorted(sorted(range(len(costs)), key=lambda i: -solved[i])[:SHOWN])
    names = list(costs)
    return [names[i] for i in best], table[:, best]


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


def _curves(group: SeedGroup, spent: Spent = _cost) -> list[Curve]:
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


def _carried_forward(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """The epochs (n,), and the losses of all runs after them (runs, n).

    A run that ended before others has its last loss from then on, one that diverged an infinite one. Of one that was
    interrupted nothing is known after that: NaN.
    """
    longest = max((len(curve.loss) for curve in curves), default=0)
    table = np.full((len(curves), longest), np.nan)
    for row, curve in zip(table, curves, strict=True):
        loss = np.where(np.isnan(curve.loss), math.inf, curve.loss)
        row[: len(loss)] = loss
        if curve.status != "interrupted":
            row[len(loss) :] = math.inf if curve.status == "diverged" else loss[-1]
    return np.arange(1, longest + 1), table


def _values(comparison: Comparison, key: str) -> list[str | float]:
    """The value of a key in each run, as a heat map shows it."""
    return _binned([number(run.overrides.get(key, "")) for run in comparison.runs])


def _binned(values: Sequence[str | float], most: int = 20) -> list[str | float]:
    """The values; many different numbers, as a random search draws them, as the medians of ten equally filled bins."""
    distinct = set(values)
    if len(distinct) <= most or any(isinstance(value, str) for value in distinct):
        return list(values)
    numbers = np.array(values, float)
    edges = np.quantile(numbers, np.linspace(0, 1, 11)[1:-1])
    which = np.searchsorted(edges, numbers)
    medians = {b: float(f"{np.median(numbers[which == b]):.3g}") for b in np.unique(which)}
    return [medians[b] for b in which]


def _result(run: RunResult, column: str) -> float:
    value = run.reached(column)
    return math.nan if value is None else value
