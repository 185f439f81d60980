"""The figures of many runs: of a sweep, or of any runs that are compared."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nettrain.app.choices import Choice, Comparison, number
from nettrain.app.pictures import Picture
from nettrain.app.run import read_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6  # choices in one figure
PAIRS = 6  # heat maps of a report
PROBLEMS = 3  # of which curves are drawn
REACHED = 0.1  # of the way from the first loss to the best one that may be left at the target


def sweep_pictures(comparison: Comparison) -> list[Picture]:
    """All that can be drawn of the runs; with several problems the curves of the first ones."""
    from nettrain import figures

    several = len(comparison.problems) > 1
    found: list[Picture] = []
    for i, (problem, own) in enumerate(itertools.islice(comparison.problems.items(), PROBLEMS)):
        found += _of_problem(own, f"_{i + 1}" if several else "", f" of {problem}" if several else "")
    if several:
        names, costs = problem_costs(comparison)
        caption = (
            f"the share of the {len(costs)} problems (data and seed) that each choice solves at a cost of at most τ "
            f"times the least; solved is {_TARGET}, cost is passes over the training data"
        )
        found.append(Picture("performance_profile", caption, partial(figures.performance_profile, costs, names)))
    return found


_TARGET = f"a loss that has come {1 - REACHED:.0%} of the way from the first one to the best of any run"


def _of_problem(comparison: Comparison, suffix: str, of: str) -> list[Picture]:
    from nettrain import figures

    drawn = [choice for choice in comparison.choices if choice.results(comparison.loss)][:SHOWN]
    if not drawn:
        return []
    curves = {comparison.label(choice, comparison.problem_keys): _runs(choice) for choice in drawn}
    loss = "validation loss" if comparison.loss == "best_val_loss" else "training loss"
    seeds = max(map(len, curves.values()))
    what = f"median and quartiles over {seeds} runs each" if seeds > 1 else "one run each"
    series = {label: _padded([losses for losses, _ in runs]) for label, runs in curves.items()}
    times, goal = times_to_target(curves)
    bands = partial(figures.bands, series, "epoch", loss, f"{loss.capitalize()}{of}")
    reached = partial(figures.time_to_target, times, "passes over the training data", f"Time to target{of}")
    found = [
        Picture(f"curves{suffix}", f"{loss}{of}: {what}, of the best {len(drawn)} choices", bands),
        Picture(f"time_to_target{suffix}", f"when {loss} {goal:.4g} was reached{of}, {_TARGET}", reached),
    ]
    keys = [key for key in comparison.keys if key not in comparison.problem_keys]
    for x, y in itertools.islice(itertools.combinations(keys, 2), PAIRS):
        name = f"heat_map_{x}_{y}{suffix}".replace("/", "_")
        caption = f"{_words(comparison.loss)}{of}, median over the completed runs"
        found.append(Picture(name, caption, partial(heat_map, comparison, x, y)))
    if len(keys) > 1:
        caption = f"the best {min(300, len(comparison.runs))} runs{of}, a line each; the darker, the better"
        found.append(Picture(f"parallel_coordinates{suffix}", caption, partial(parallel_coordinates, comparison)))
    return found


def heat_map(comparison: Comparison, x: str, y: str) -> "Figure":
    """The median result over two keys."""
    from nettrain import figures

    runs = comparison.runs
    results = [_result(run.summary, comparison.loss) for run in runs]
    across, down = (_binned([number(run.overrides.get(key, "")) for run in runs]) for key in (x, y))
    return figures.heat_map(across, down, results, x, y, _words(comparison.loss))


def parallel_coordinates(comparison: Comparison) -> "Figure":
    """Every run through all keys that differ."""
    from nettrain import figures

    runs = comparison.runs
    keys = [key for key in comparison.keys if key not in comparison.problem_keys]
    columns = {key: [number(run.overrides.get(key, "")) for run in runs] for key in keys}
    results = [_result(run.summary, comparison.loss) for run in runs]
    return figures.parallel_coordinates(columns, results, _words(comparison.loss))


def problem_costs(comparison: Comparison) -> tuple[list[str], np.ndarray]:
    """The names of the choices, and what each spent on every problem and seed, (problems, choices); inf: not solved."""
    costs: dict[str, dict[tuple[str, str], float]] = {}
    for problem, own in comparison.problems.items():
        curves = {own.label(choice): zip(choice.completed, _runs(choice), strict=True) for choice in own.choices}
        by_seed: dict[str, dict[str, list[Run]]] = {}
        for label, runs in curves.items():
            for run, curve in runs:
                by_seed.setdefault(run.overrides.get("seed", ""), {}).setdefault(label, []).append(curve)
        for seed, found in by_seed.items():  # each with its own split, and so with its own target
            for label, times in times_to_target(found)[0].items():
                costs.setdefault(label, {})[problem, seed] = float(np.median(times))
    problems = list(dict.fromkeys(key for own in costs.values() for key in own))
    table = np.array([[own.get(problem, math.inf) for own in costs.values()] for problem in problems])
    solved = np.isfinite(table).sum(0)
    best = sorted(range(len(costs)), key=lambda i: -solved[i])[:SHOWN]
    names = list(costs)
    return [names[i] for i in best], table[:, best]


Run = tuple[np.ndarray, np.ndarray]  # the loss after each epoch, and the passes over the training data until then


def times_to_target(curves: dict[str, list[Run]]) -> tuple[dict[str, np.ndarray], float]:
    """After how many passes each run reached the target, inf for never; and the target, which all share."""
    every = [losses for runs in curves.values() for losses, _ in runs if np.isfinite(losses).any()]
    if not every:
        return {label: np.full(len(runs), np.inf) for label, runs in curves.items()}, math.nan
    best = min(float(np.nanmin(losses)) for losses in every)
    first = float(np.median([losses[np.isfinite(losses)][0] for losses in every]))
    target = best + REACHED * max(first - best, 0.0)
    times = {}
    for label, runs in curves.items():
        reached = [passes[losses <= target] for losses, passes in runs]
        times[label] = np.array([hit[0] if len(hit) else np.inf for hit in reached])
    return times, target


def _runs(choice: Choice) -> list[Run]:
    """The curves of a choice's completed runs."""
    found = []
    for run in choice.completed:
        assert run.folder is not None
        columns = read_columns(run.folder)
        loss = columns["val_loss"] if "val_loss" in columns else columns["train_loss"]
        found.append((loss, columns["function_evaluations"] / max(1, run.summary["updates_per_epoch"])))
    return found


def _padded(losses: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The epochs (n,), and the curves (runs, n) with NaN after their ends."""
    longest = max(map(len, losses), default=0)
    table = np.full((len(losses), longest), np.nan)
    for row, curve in zip(table, losses, strict=True):
        row[: len(curve)] = curve
    return np.arange(1, longest + 1), table


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


def _result(summary: dict[str, object], column: str) -> float:
    value = summary.get(column) if summary["status"] == "completed" else None
    return float(value) if isinstance(value, int | float) else math.nan


def _words(column: str) -> str:
    return column.replace("val_", "validation ").replace("train_", "training ").replace("_", " ")
