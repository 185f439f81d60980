"""Pictures of single ideas: paths over a loss, functions and distributions, a network with its numbers, batches."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.functions import decision_boundary
from nettrain.figures.grids import Grid
from nettrain.figures.layer_numbers import LayerNumbers
from nettrain.figures.style import (
    COLORS,
    GREY,
    MARKERS,
    SEQUENTIAL,
    color,
    color_bar,
    legend,
    log_scale,
    new,
    whole_numbers,
    without_zeros,
)
from nettrain.figures.sweeps import bands
from nettrain.figures.texts import name_ticks, shortened
from nettrain.figures.training import lines

STYLES: list[Literal["-", "--", "-.", ":"]] = ["-", "--", "-.", ":"]  # of lines that may lie on one another


def spread(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: bool = True,
    log_x: bool = False,
    levels: Sequence[float] = (),
) -> Figure:
    """`bands`, whose x-axis may be logarithmic (below 1 linear, where it begins at 0), with dotted `levels` across."""
    figure = bands(series, xlabel, ylabel, title, log)
    (axes,) = figure.axes
    if log_x:
        least = min(float(np.min(at)) for at, _ in series.values())
        axes.set_xscale("log") if least > 0 else axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=least)
    for level in levels:
        axes.axhline(level, color=COLORS[-1], linewidth=1, linestyle=":")
    starts = [first for _, y in series.values() if np.isfinite(first := float(np.median(np.asarray(y, float)[:, 0])))]
    if log and starts and axes.get_ylim()[1] > 1e4 * max(starts):  # what diverges would leave no room for the others
        axes.set_ylim(top=100 * max(starts))
    _distinct(figure)
    return figure


def overlaid(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: bool = False,
    points: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """`lines` that may lie on one another: each is thinner than the one before; `points` are x (n,) and y (n,)."""
    figure = lines(x, series, xlabel, ylabel, title, log)
    _distinct(figure)
    drawn = figure.axes[0].get_lines()
    for i, line in enumerate(drawn):
        line.set_linewidth(1.2 + 0.7 * (len(drawn) - 1 - i))
    if points is not None:
        figure.axes[0].scatter(*points, s=12, color=GREY, alpha=0.5, linewidths=0)
    return figure


def fits(
    at: ArrayLike, predictions: ArrayLike, x: ArrayLike, y: ArrayLike, names: tuple[str, str], title: str
) -> Figure:
    """The predictions (seeds, m) at inputs (m,): a line for each seed, their median, and the first one's samples."""
    curves = np.asarray(predictions, float)
    figure, axes = new(title, *names)
    axes.scatter(np.ravel(x), np.ravel(y), s=14, color=GREY, alpha=0.6, linewidths=0, label="samples of the first run")
    for i, curve in enumerate(curves[: 20 if len(curves) > 1 else 0]):
        axes.plot(at, curve, color=COLORS[5], linewidth=0.7, alpha=0.8, label="" if i else "each run")
    middle = "prediction" if len(curves) == 1 else "median"
    axes.plot(at, np.median(curves, axis=0), color=COLORS[0], linewidth=2, label=middle)
    low, high = float(np.min(y)), float(np.max(y))
    axes.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))  # a curve may go far beyond the samples
    legend(figure)
    return figure


def clouds(
    grid: Grid,
    probabilities: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    names: Sequence[str],
    classes: Sequence[str],
    title: str = "",
) -> Figure:
    """`decision_boundary` of the first of `probabilities` (seeds, m n, 2), with the boundaries of the others."""
    of_seeds = np.asarray(probabilities, float)
    figure = decision_boundary(grid, of_seeds[0], x, y, names, classes, title)
    for p in of_seeds[1:]:
        lead = grid.table(p[:, 0] - p[:, 1])
        if lead.min() < 0 < lead.max():
            figure.axes[0].contour(grid.a, grid.b, lead, levels=[0], colors="black", linewidths=0.5, alpha=0.5)
    return figure


def paths(grid: Grid, loss: ArrayLike, ways: Mapping[str, ArrayLike], names: tuple[str, str], title: str) -> Figure:
    """The loss (m n,) over two weights as contours, with the paths (S, 2) of some settings and the minimum of all."""
    values = without_zeros(grid.table(loss))
    figure, axes = new(title, *names, 5.4, 4.4)
    axes.grid(False)
    levels = np.geomspace(values.min(), values.max(), 21)
    shades = axes.contourf(
        grid.a, grid.b, values, levels=levels, cmap=f"{SEQUENTIAL}_r", norm=LogNorm(levels[0], levels[-1]), alpha=0.55
    )
    axes.contour(grid.a, grid.b, values, levels=levels[::2], colors="white", linewidths=0.5)
    color_bar(figure, shades, "loss", ticks=levels[::4], format="{x:.2g}").minorticks_off()
    for i, (name, way) in enumerate(ways.items()):
        points = np.asarray(way, float)
        outside = ~((points >= [grid.a[0], grid.b[0]]) & (points <= [grid.a[-1], grid.b[-1]])).all(1)
        points = points[: outside.argmax() + 1] if outside.any() else points
        axes.plot(
            *points.T,
            color=color(i),
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.4,
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            markevery=slice(0, 12),
            label=name,
            zorder=3 - 0.1 * i,  # the first ones are the simplest, and shall be seen
            alpha=0.6 if len(points) > 60 and i else 1.0,
        )
    first = np.asarray(next(iter(ways.values())), float)
    axes.scatter(first[0, 0], first[0, 1], s=45, color="white", edgecolors="black", zorder=5, label="start")
    row, column = np.unravel_index(values.argmin(), values.shape)
    axes.scatter(
        grid.a[column], grid.b[row], s=110, marker="*", color="white", edgecolors="black", zorder=5, label="least loss"
    )
    axes.set_xlim(grid.a[0], grid.a[-1])
    axes.set_ylim(grid.b[0], grid.b[-1])
    legend(figure)
    return figure


def batches(updates: ArrayLike, title: str) -> Figure:
    """Which update of each epoch uses which sample: `updates` (epochs, n), numbered from 1 on."""
    table = np.asarray(updates, float)
    epochs, n = table.shape
    figure, axes = new(title, "training sample", "epoch", 5.4)
    axes.grid(False)
    image = axes.imshow(table, cmap=SEQUENTIAL, aspect="auto", extent=(0.5, n + 0.5, epochs + 0.5, 0.5))
    axes.set_yticks(np.unique(np.linspace(1, epochs, min(epochs, 10)).round()))
    color_bar(figure, image, "update of the epoch")
    return figure


def outcomes(series: Mapping[str, ArrayLike], ylabel: str, title: str, log: bool) -> Figure:
    """What each run of each setting has reached, a point each, with the median and the quartiles; not the infinite."""
    figure, axes = new(title, "", ylabel, max(4.6, 1.2 + 0.62 * len(series)))
    for i, values in enumerate(series.values()):
        reached = np.asarray(values, float)
        finite = reached[np.isfinite(reached)]
        places = i + 0.22 * (np.arange(len(finite)) / max(len(finite) - 1, 1) - 0.5)
        axes.scatter(places, finite, s=16, color=color(i), marker=MARKERS[i % len(MARKERS)], alpha=0.7, linewidths=0)
        if len(finite) > 1:
            low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
            axes.plot([i + 0.28] * 2, [low, high], color="black", linewidth=1)
            axes.plot([i + 0.2, i + 0.36], [middle] * 2, color="black", linewidth=2)
        if len(finite) < len(reached):
            text = f"{len(reached) - len(finite)} diverged"
            axes.annotate(text, (i, 1), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8)
    if log:
        log_scale(axes)
    axes.set_xlim(-0.5, len(series) - 0.5)
    names = [shortened(name, 28) for name in series]
    tilted = sum(map(len, names)) > 40
    axes.set_xticks(range(len(series)))
    name_ticks(axes.xaxis, names, rotation=30 if tilted else 0, ha="right" if tilted else "center")
    return figure


def by_layer(measured: Mapping[str, ArrayLike], expected: Mapping[str, ArrayLike], ylabel: str, title: str) -> Figure:
    """A number of each layer, measured (seeds, layers), and as dashed lines what theory expects of it, (layers,).

    Networks may have different numbers of layers.
    """
    layers = {name: np.arange(1, np.shape(values)[1] + 1) for name, values in measured.items()}
    figure = bands({name: (layers[name], values) for name, values in measured.items()}, "layer", ylabel, title, True)
    (axes,) = figure.axes
    for i, name in enumerate(measured):
        line = axes.get_lines()[i]
        line.set(marker=MARKERS[i % len(MARKERS)], markersize=4)
        if name in expected:
            theory = np.asarray(expected[name], float)
            axes.plot(layers[name][: len(theory)], theory, color=color(i), linestyle="--", linewidth=1)
    if expected:
        axes.plot([], [], color=GREY, linestyle="--", linewidth=1, label="predicted")
        for drawn in figure.legends:
            drawn.remove()
        legend(figure)
    whole_numbers(axes)
    axes.set_xlabel("layer (1: next to the input)")
    return figure


def network(inputs: ArrayLike, layers: Sequence[LayerNumbers], title: str) -> Figure:
    """A small network with its numbers: `inputs` (m, b), and what each layer has, forward and backward."""
    x = np.asarray(inputs, float)
    figure, axes = new(title, "", "", 7.2, 1.6 + 1.25 * max(len(x), *(len(layer.bias) for layer in layers)))
    axes.set_axis_off()
    widths = [len(x), *(len(layer.bias) for layer in layers)]
    tall = max(widths)

    def place(depth: int, unit: int) -> tuple[float, float]:
        return 2.6 * depth, (tall - 1) / 2 + (widths[depth] - 1) / 2 - unit

    for depth, layer in enumerate(layers):
        for i in range(widths[depth + 1]):
            for j in range(widths[depth]):
                (a, b), (c, d) = place(depth, j), place(depth + 1, i)
                axes.plot([a, c], [b, d], color="#bbbbbb", linewidth=1.2, zorder=1)
                at = a + 0.52 * (c - a), b + 0.52 * (d - b)
                _numbers(axes, at, f"{layer.weight[i, j]:.4f}", f"{layer.weight_gradient[i, j]:+.4f}", 7.5)
    for depth, width in enumerate(widths):
        for unit in range(width):
            at = place(depth, unit)
            values = x[unit] if depth == 0 else layers[depth - 1].output[unit]
            axes.scatter(*at, s=3400, color="white", edgecolors="black", zorder=2)
            forward = "\n".join(f"{value:.4f}" for value in values)
            if depth:
                layer = layers[depth - 1]
                _numbers(axes, at, forward, "\n".join(f"{value:+.4f}" for value in layer.delta[unit]), 7.5)
                bias = f"bias {layer.bias[unit]:.4f}", f"{layer.bias_gradient[unit]:+.4f}"
                _numbers(axes, (at[0], at[1] - 0.47), *bias, 7.0)
            else:
                axes.text(*at, forward, ha="center", va="center", fontsize=7.5, zorder=4)
    axes.plot([], [], color="black", label="forward: a row for each sample")
    axes.plot([], [], color=COLORS[1], label="backward: the derivative of the loss")
    axes.set_xlim(-0.6, 2.6 * len(layers) + 0.6)
    axes.set_ylim(-0.75, tall - 0.35)
    legend(figure)
    return figure


def _numbers(axes: Axes, at: tuple[float, float], forward: str, backward: str, size: float) -> None:
    """A number in black with its derivative below it."""
    lift = 0.075 * (1 + forward.count("\n"))
    box = {"facecolor": "white", "linewidth": 0, "pad": 0.6, "alpha": 0.85}
    for text, shade, shift in ((forward, "black", lift), (backward, COLORS[1], -lift)):
        axes.text(at[0], at[1] + shift, text, ha="center", va="center", fontsize=size, color=shade, zorder=4, bbox=box)


def _distinct(figure: Figure) -> None:
    """Give lines styles as well as colours."""
    drawn = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    for i, line in enumerate(drawn):
        line.set_linestyle(STYLES[i % len(STYLES)])
    for shown in figure.legends:
        for line, of in zip(shown.get_lines(), drawn, strict=False):
            line.set_linestyle(of.get_linestyle())
