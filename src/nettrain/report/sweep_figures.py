"""The figures of many runs: of a sweep, or of any runs that are compared."""

import itertools
import math
import statistics
from collections.abc import Sequence
from functools import partial

import numpy as np

from nettrain.report.pictures import Arguments, Picture
from nettrain.report.times import MEASURES, WAY, Curve, curves_of, in_step, problem_costs, times_to_target
from nettrain.results.comparison import Comparison, SeedGroup, number, words
from nettrain.results.selection import best_of_each, chosen, differing_keys, leading_key

SHOWN = 6  # settings in one figure
PAIRS = 6  # heat maps of a report
CELLS = 60  # in a row or a column of a heat map
RESPONSES = 2  # keys of numbers over which results are drawn
PROBLEMS = 3  # of which curves are drawn
LINES = 300  # of parallel coordinates


def sweep_pictures(comparison: Comparison) -> list[Picture]:
    """All that says something of the runs; with several problems the curves of the first ones."""
    several = len(comparison.problems) > 1
    order = [comparison.label(group) for group in comparison.groups]
    pictures: list[Picture] = []
    for i, (problem, runs) in enumerate(itertools.islice(comparison.problems.items(), PROBLEMS)):
        pictures += _of_problem(runs, order, f"_{i + 1}" if several else "", f" of {problem}" if several else "")
    before: np.ndarray | None = None
    for ending, measure in MEASURES.items() if several else ():
        names, costs = problem_costs(comparison, measure.spent)
        if len(names) < 2 or (before is not None and in_step(before, costs)):
            continue
        before = costs
        caption = (
            f"the share of the {len(costs)} problems (data and seed) that each setting solves at a cost of at most "
            f"τ times the least; solved is a loss that has come {WAY}; {measure.about}"
        )
        pictures.append(Picture(f"performance_profile{ending}", caption, "performance_profile", (costs, names)))
    return pictures


def _of_problem(comparison: Comparison, order: list[str], suffix: str, of: str) -> list[Picture]:
    """The figures of the runs on one problem; settings come, and so are coloured, in this order of their labels."""
    drawn = chosen(comparison, SHOWN)
    if not drawn:
        return []
    drawn.sort(key=lambda group: order.index(comparison.label(group)))
    best = words(comparison.monitored)
    pictures = [_course(comparison, drawn, suffix, of)]
    keys = differing_keys(comparison)
    for key in itertools.islice(filter(partial(_is_numeric, comparison), keys), RESPONSES):
        caption = f"{best}{of} at each value of {key} with the other keys as they suit it best, mean ± standard "
        caption += "deviation over the runs of a setting; the best of each line is filled"
        name, arguments = f"response_{key}{suffix}", partial(response, comparison, key)
        pictures.append(Picture(name.replace("/", "_"), caption, "response", arguments))
    pictures += _times(comparison, drawn, suffix, of)
    few = [key for key in keys if len(set(_values(comparison, key))) <= CELLS]
    for x, y in itertools.islice(itertools.combinations(few, 2), PAIRS):
        caption = f"{best}{of} of the best setting with each {x} and {y}, mean over its runs; the best of all is framed"
        name = f"heat_map_{x}_{y}{suffix}".replace("/", "_")
        pictures.append(Picture(name, caption, "heat_map", partial(heat_map, comparison, x, y)))
    if len(keys) > 2:
        caption = f"the best {min(LINES, len(comparison.groups))} settings{of}, a line each; the darker, the better"
        name, arguments = f"parallel_coordinates{suffix}", partial(parallel_coordinates, comparison)
        pictures.append(Picture(name, caption, "parallel_coordinates", arguments))
    return pictures


def _course(comparison: Comparison, drawn: Sequence[SeedGroup], suffix: str, of: str) -> Picture:
    """The loss of some settings over the epochs."""
    curves = {comparison.label(group): curves_of(group) for group in drawn}
    loss = _loss_in_words(comparison)
    seeds = max(map(len, curves.values()))
    settings = len([group for group in comparison.groups if group.results(comparison.monitored)])
    what = f"median and quartiles over {seeds} runs" if seeds > 1 else "one run"
    if len(drawn) > 1:
        every = f"each of the {len(drawn)} settings" if len(drawn) == settings else ""
        key = leading_key(comparison) if len(drawn) < settings else None
        what += f" of {every or f'the best setting with each {key}'}"
    ended = {(len(curve.loss), curve.status) for runs in curves.values() for curve in runs}
    what += "; one that ended before others keeps its last loss" if len({length for length, _ in ended}) > 1 else ""
    what += "; one that diverged counts as infinitely bad" if "diverged" in {status for _, status in ended} else ""
    series = {label: _carried_forward(runs) for label, runs in curves.items()}
    bands = (series, "epoch", loss, f"{loss.capitalize()}{of}")
    return Picture(f"curves{suffix}", f"{loss}{of}: {what}", "bands", bands)


def _loss_in_words(comparison: Comparison) -> str:
    return "validation loss" if "val" in comparison.loss else "training loss"


def _times(comparison: Comparison, drawn: Sequence[SeedGroup], suffix: str, of: str) -> list[Picture]:
    """When the runs of some settings had come near the best loss: for several settings with several runs each."""
    if len(drawn) < 2 or max(len(group.runs) for group in drawn) < 2:
        return []
    pictures = []
    before: np.ndarray | None = None
    for ending, measure in MEASURES.items():
        curves = {comparison.label(group): curves_of(group, measure.spent) for group in drawn}
        spent = np.array([[curve.spent[-1] for curve in itertools.chain(*curves.values())]])
        if before is not None and in_step(before, spent):
            continue
        before = spent
        reached = [list(itertools.chain(*times.values())) for times in times_to_target(curves).values()]
        times = {
            label: np.array([*runs, *[math.inf] * group.bad])
            for label, runs, group in zip(curves, reached, drawn, strict=True)
        }
        if not np.isfinite(np.concatenate(list(times.values()))).any():
            continue
        caption = f"when {_loss_in_words(comparison)}{of} had come {WAY}; {measure.about}"
        shares = (times, measure.unit, f"Time to target{of}")
        pictures.append(Picture(f"time_to_target{ending}{suffix}", caption, "time_to_target", shares))
    return pictures


def _is_numeric(comparison: Comparison, key: str) -> bool:
    """Whether the settings have three or more values of a key, numbers all of them."""
    values = {number(group.values[comparison.keys.index(key)]) for group in comparison.groups}
    return len(values) > 2 and not any(isinstance(value, str) for value in values)


def response(comparison: Comparison, key: str) -> Arguments:
    """What the figure of the best result at each value of a key is made of: a line for each leading value."""
    leading, at = leading_key(comparison), comparison.keys.index(key)
    places = _binned([number(group.values[at]) for group in comparison.groups])
    points = list(zip(comparison.groups, places, strict=True))
    names = {"": points}
    if leading is not None and leading != key:
        i = comparison.keys.index(leading)
        values = list(best_of_each(comparison, leading))[:SHOWN]
        names = {f"{leading}={v}": [(group, x) for group, x in points if group.values[i] == v] for v in values}
    series = {}
    for name, of_name in names.items():
        best: dict[str | float, tuple[float, float]] = {}
        for group, x in of_name:
            if results := group.results(comparison.monitored):
                deviation = statistics.stdev(results) if len(results) > 1 else 0.0
                best.setdefault(x, (statistics.fmean(results), deviation))
        line = [(x, *y) for x, y in sorted(best.items())]
        series[name or words(comparison.monitored)] = tuple(zip(*line, strict=True))
    reached = words(comparison.monitored)
    return series, key, reached, f"{_capital(reached)} by {key}", comparison.sign < 0


def heat_map(comparison: Comparison, x: str, y: str) -> Arguments:
    """What the heat map of the best setting in each cell over two keys is made of: the results of its runs."""
    name = words(comparison.monitored)
    places = list(zip(_values(comparison, x), _values(comparison, y), strict=True))
    place = dict(zip(map(id, comparison.runs), places, strict=True))
    best: dict[tuple, SeedGroup] = {}
    points = []
    for group in comparison.groups:
        for run in group.runs:
            cell, value = place[id(run)], run.reached(comparison.monitored)
            if value is not None and best.setdefault(cell, group) is group:
                points.append((*cell, value))
        for run in group.runs:
            points += [] if place[id(run)] in best else [(*place[id(run)], math.nan)]
    across, down, results = zip(*points, strict=True)
    return across, down, results, x, y, name, _capital(name), comparison.sign < 0, points[0][:2]


def parallel_coordinates(comparison: Comparison) -> Arguments:
    """What the figure of every setting through all keys that differ is made of."""
    groups = [group for group in comparison.groups if group.results(comparison.monitored)]
    at = {key: comparison.keys.index(key) for key in differing_keys(comparison)}
    columns = {key: [number(group.values[i]) for group in groups] for key, i in at.items()}
    results = [group.mean(comparison.monitored) for group in groups]
    return columns, results, words(comparison.monitored), "Settings and their mean results", comparison.sign < 0


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


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
