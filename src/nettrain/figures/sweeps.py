"""What many runs say together: curves with bands, the map over two keys, all keys at once, and who is how fast."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from nettrain.figures.style import (
    MARKERS,
    SEQUENTIAL,
    color,
    color_bar,
    dash,
    legend,
    limit,
    new,
    spans_decades,
    whole_numbers,
    without_zeros,
)
from nettrain.figures.texts import name_ticks, shortened, wrapped, write

Values = Sequence[str | float]


def bands(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: bool | None = None,
) -> Figure:
    """For each setting the median over its seeds, and a band from the first to the third quartile.

    A setting's value is x (n,) and y (seeds, n): infinite where a run has diverged, which counts as the worst, and NaN
    where nothing is known of it, so that there is no median either. `log` as in `lines`.
    """
    figure, axes = new(title, xlabel, ylabel)
    drawn = []
    for i, (name, (at, values)) in enumerate(series.items()):
        x, y = np.asarray(at, float), np.asarray(values, float)
        if not np.isfinite(y).any():
            continue
        low, middle, high = (_quantile(y, share) for share in (0.25, 0.5, 0.75))
        drawn += [_finite(low), _finite(middle), _finite(high)]
        few = "o" if np.isfinite(middle).sum() < 3 else ""
        axes.plot(x, _finite(middle), color=color(i), linestyle=dash(i), label=name, marker=few)
        if len(y) > 1:
            band = axes.fill_between(x, _finite(low), _finite(high), linewidth=0.5, gid=name)
            band.set(facecolor=(color(i), 0.13), edgecolor=(color(i), 0.45))
    limit(axes, np.concatenate(drawn or [np.zeros(0)]), log)
    if xlabel == "epoch":
        whole_numbers(axes)
    legend(figure)
    return figure


def _quantile(y: np.ndarray, share: float) -> np.ndarray:
    """The quantile (n,) of the columns of y (seeds, n), as numpy's, but for infinite values, which have a place."""
    ordered, (part, whole) = np.sort(y, axis=0), math.modf(share * (len(y) - 1))
    below = ordered[int(whole)]
    quantile = (1 - part) * below + part * ordered[int(whole) + 1] if part else below
    return np.where(np.isnan(y).any(axis=0), np.nan, quantile)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def response(
    series: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    high: bool = False,
) -> Figure:
    """What was reached over the values of a number such as a learning rate: x, mean and deviation (n,) of each line.

    The best mean of each line, the lowest or with `high` the highest, is filled. An axis is logarithmic where its
    values span decades.
    """
    figure, axes = new(title, xlabel, ylabel)
    every = [np.asarray(values, float) for _, values, _ in series.values()]
    if spans_decades(np.concatenate([np.asarray(x, float) for x, _, _ in series.values()])):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    for i, (name, (at, means, deviations)) in enumerate(series.items()):
        x, y = np.asarray(at, float), np.asarray(means, float)
        best = int(np.argmax(y) if high else np.argmin(y))
        marker = MARKERS[i % len(MARKERS)]
        axes.plot(x, y, color=color(i), linestyle=dash(i), marker=marker, markerfacecolor="white", label=name)
        axes.plot(x[best], y[best], color=color(i), marker=marker)
        low, top = y - np.asarray(deviations, float), y + np.asarray(deviations, float)
        low = np.maximum(low, 0.1 * y) if (y > 0).all() else low  # a logarithmic axis has no end below
        axes.vlines(x, low, top, color=color(i), linewidth=0.9, alpha=0.6, gid=name)
    limit(axes, np.concatenate(every), high=high)
    legend(figure, least=2)
    return figure


def heat_map(
    x: Values,
    y: Values,
    values: ArrayLike,
    xlabel: str,
    ylabel: str,
    label: str,
    title: str = "",
    high: bool = False,
    framed: tuple[str | float, str | float] | None = None,
) -> Figure:
    """The mean of the `values` of all runs with the same x and y, run by run; a cell is framed, and the best are dark.

    The best value is the lowest one, or with `high` the highest. Runs whose value is not finite do not count. `framed`
    are the x and the y of the framed cell; by default it is the best one.
    """
    columns, rows = ordered(x), ordered(y)
    cells: dict[tuple[int, int], list[float]] = {}
    for a, b, value in zip(x, y, np.asarray(values, float), strict=True):
        if np.isfinite(value):
            cells.setdefault((rows.index(b), columns.index(a)), []).append(float(value))
    middle = np.ma.masked_all((len(rows), len(columns)))
    for cell, values in cells.items():
        middle[cell] = np.mean(values)
    figure, axes = new(title, xlabel, ylabel, max(4.6, 1.8 + 0.62 * len(columns)), max(3.0, 1.4 + 0.42 * len(rows)))
    axes.grid(False)
    low, top = (float(middle.min()), float(middle.max())) if cells else (0.0, 1.0)
    typical = float(np.median(middle.compressed())) if cells else 0.0
    beyond = 0 < 100 * typical < top and not high  # a few disasters would leave one shade for all others
    top = 10 * typical if beyond else top
    log = spans_decades(middle.compressed())
    norm = LogNorm(float(middle[middle > 0].min()), top, clip=True) if log else Normalize(low, top)
    shades = matplotlib.colormaps[f"{SEQUENTIAL}_r" if high else SEQUENTIAL].with_extremes(bad="#eeeeee")
    image = axes.imshow(middle, cmap=shades, norm=norm, aspect="auto")
    color_bar(figure, image, f"{label}, mean over runs", extend="max" if beyond else "neither")
    names = [_tick(value, 18) for value in columns]
    tilted = sum(map(len, names)) > 40
    name_ticks(axes.xaxis, names, rotation=45 if tilted else 0, ha="right" if tilted else "center")
    name_ticks(axes.yaxis, [_tick(value, 18) for value in rows])
    if middle.count() and middle.size <= 150:
        for (i, j), value in np.ndenumerate(middle.filled(np.nan)):
            dark = np.mean(matplotlib.colormaps[shades.name](norm(value))[:3]) < 0.5 if np.isfinite(value) else False
            text = f"{value:.3g}" if np.isfinite(value) else "–"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    if middle.count():
        row, column = np.unravel_index(middle.argmax() if high else middle.argmin(), middle.shape)
        if framed is not None:
            row, column = rows.index(framed[1]), columns.index(framed[0])
        frame = Rectangle(
            (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2.5, clip_on=False
        )
        axes.add_patch(frame)
    return figure


def parallel_coordinates(
    columns: Mapping[str, Values], values: ArrayLike, label: str, title: str = "", high: bool = False
) -> Figure:
    """A line for each setting through its values of all keys, the better its result the darker.

    `columns` holds each key's value of every setting, `values` (settings,) what they reached; lower is better, or with
    `high` higher. The best 300 are drawn.
    """
    result = np.asarray(values, float)
    order = np.argsort(-result if high else result, kind="stable")
    order = order[np.isfinite(result[order])][:300][::-1]
    positions = [_positions(column) for column in columns.values()]
    ends = result[order]
    log = spans_decades(ends)
    reached = np.log10(without_zeros(ends)) if log else ends
    low, top = (reached.min(), reached.max()) if len(reached) else (0.0, 1.0)
    heights = np.stack([at[order] for at, _ in positions] + [(reached - low) / ((top - low) or 1)], axis=1)
    figure, axes = new(title, "", "", max(5.0, 1.5 + 1.1 * len(columns)), 3.6)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    paths = [np.stack([np.arange(heights.shape[1]), row], axis=1) for row in heights]
    rank = np.arange(len(ends), 0, -1)
    drawn = LineCollection(paths, array=rank, cmap=SEQUENTIAL, linewidths=1.4, alpha=0.8)
    axes.add_collection(drawn)
    for i, (_, ticks) in enumerate(positions):
        _upright(axes, i, ticks)
    exact = np.linspace(low, top, 5)
    _upright(axes, len(positions), {k / 4: f"{10**v if log else v:.3g}" for k, v in enumerate(exact)})
    name_ticks(axes.xaxis, [_wrapped(name) for name in [*columns, label]])
    axes.tick_params(axis="x", length=0, pad=12)
    axes.set_yticks([])
    axes.set_xlim(-0.3, heights.shape[1] - 0.6)
    axes.set_ylim(-0.04, 1.04)
    return figure


def time_to_target(times: Mapping[str, ArrayLike], xlabel: str, title: str = "Time to target") -> Figure:
    """For each setting the share of its runs that have reached the target by then; `times` (runs,), inf for never."""
    figure, axes = new(title, xlabel, "share of runs that reached it")
    every = np.concatenate([np.asarray(t, float) for t in times.values()] or [np.zeros(0)])
    finite = every[np.isfinite(every)]
    end = finite.max() * 1.05 if finite.size else 1.0
    start = 0.8 * finite.min() if spans_decades(finite) and finite.min() > 0 else 0.0
    if start:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    for i, (name, values) in enumerate(times.items()):
        t = np.sort(np.asarray(values, float))
        reached = t[np.isfinite(t)]
        axes.step(*_steps(start, reached, end, len(t)), where="post", color=color(i), linestyle=dash(i), label=name)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(start, end)
    legend(figure)
    return figure


def performance_profile(costs: ArrayLike, names: Sequence[str], title: str = "Performance profile") -> Figure:
    """rho_s(tau), the share of problems that setting s solves at a cost of at most tau times the least of all.

    `costs` is (problems, settings), inf where a problem was not solved. At tau = 1 stands how often a setting is the
    cheapest, at the right end how often it solves the problem at all (Dolan and More, 2002).
    """
    figure, axes = new(title, "cost / least cost of any setting, τ", "share of problems solved, ρ(τ)")
    ratio = performance_ratios(np.asarray(costs, float))
    finite = ratio[np.isfinite(ratio)]
    end = max(2.0, 1.1 * float(finite.max())) if finite.size else 2.0
    for i, name in enumerate(names):
        solved = np.sort(ratio[np.isfinite(ratio[:, i]), i])
        axes.step(*_steps(1, solved, end, len(ratio)), where="post", color=color(i), linestyle=dash(i), label=name)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, end)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_formatter("{x:g}")
    legend(figure)
    return figure


def performance_ratios(costs: np.ndarray) -> np.ndarray:
    """Each cost (problems, settings) over its problem's least; inf where a problem was not solved."""
    least = costs.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(costs), costs / np.where(np.isfinite(least), least, 1), np.inf)


def _steps(start: float, reached: np.ndarray, end: float, of: int) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the share of `of` that sorted values `reached` make up, from `start` to `end`."""
    count = np.concatenate([np.arange(len(reached) + 1), [len(reached)]])
    return np.concatenate([[start], reached, [end]]), count / max(of, 1)


def ordered(values: Values) -> list[str | float]:
    """The distinct values, numbers by size and before texts, texts in the order in which they come."""
    distinct = list(dict.fromkeys(values))
    numbers = sorted(value for value in distinct if _is_number(value))
    return [*numbers, *(value for value in distinct if not _is_number(value))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positions(column: Values) -> tuple[np.ndarray, dict[float, str]]:
    """The heights in [0, 1] of a key's values, and the ticks beside them: spread evenly, in order."""
    distinct = ordered(column)
    place = {value: k / max(len(distinct) - 1, 1) if len(distinct) > 1 else 0.5 for k, value in enumerate(distinct)}
    few = distinct if len(distinct) <= 12 else distinct[:: -(-len(distinct) // 8)]
    return np.array([place[value] for value in column]), {place[value]: _tick(value, 14) for value in few}


def _wrapped(name: str) -> str:
    return wrapped(name if len(name) <= 16 else name.replace(".", ". "), 16).replace(". ", ".")


def _tick(value: str | float, width: int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shortened(str(value), width)


def _upright(axes: Axes, at: int, ticks: Mapping[float, str]) -> None:
    axes.axvline(at, color="#888888", linewidth=1)
    for height, text in ticks.items():
        drawn = axes.annotate(
            "",
            (at, height),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
            bbox={"facecolor": "white", "alpha": 0.9, "linewidth": 0, "pad": 0.8},
        )
        write(drawn, text)
