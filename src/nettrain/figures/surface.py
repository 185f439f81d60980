"""The loss as a surface over the weights, and the path on which an optimizer went down it; see `planes`."""

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.grids import Grid
from nettrain.figures.style import COLORS, SEQUENTIAL, color_bar, legend, new, spans_decades, without_zeros


def loss_surface(
    grid: Grid, loss: ArrayLike, path: ArrayLike, names: tuple[str, str], title: str = "Loss surface"
) -> Figure:
    """The loss (m n,) at the points of a grid, with the path (S, 2) through it; `names` are those of the axes.

    Of a path of one point the end is all that is drawn.
    """
    way = np.asarray(path, float)
    values = np.ma.masked_invalid(grid.table(loss))
    figure, axes = new(title, *names, 5.0, 4.2)
    axes.grid(False)
    log = spans_decades(values.compressed(), 10.0)
    values = np.ma.masked_invalid(without_zeros(values.filled(np.nan))) if log else values
    low_value, high_value = float(values.min()), float(values.max())
    levels = np.geomspace(low_value, high_value, 21) if log else np.linspace(low_value, high_value, 21)
    if high_value > low_value:
        norm = LogNorm(low_value, high_value) if log else Normalize(low_value, high_value)
        filled = axes.contourf(grid.a, grid.b, values, levels=levels, cmap=SEQUENTIAL, norm=norm)
        axes.contour(grid.a, grid.b, values, levels=levels[::2], colors="white", linewidths=0.4, alpha=0.6)
        color_bar(figure, filled, "loss", ticks=levels[::4], format="{x:.3g}").minorticks_off()
    (start, end) = way[[0, -1]]
    if len(way) == 1:
        axes.locator_params(nbins=5)
    else:
        axes.plot(*way.T, color=COLORS[1], linewidth=1.3, marker=".", markersize=4, label="path")
        axes.scatter(start[0], start[1], s=40, marker="o", color="white", edgecolors="black", zorder=3, label="start")
    axes.scatter(end[0], end[1], s=110, marker="*", color=COLORS[4], edgecolors="black", zorder=3, label="end")
    legend(figure)
    return figure
