"""The loss as a surface over the weights, and the path on which an optimizer went down it.

Two weights span the surface itself, three the planes through the end of the path along two of them. Of more weights
a plane through the end is drawn, along the two principal directions of the path (Lorch, 2016), or along two random
ones of the same length (Goodfellow et al., 2015; Li et al., 2018).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.style import COLORS, SEQUENTIAL, legend, new, spans_decades

Loss = Callable[[np.ndarray], np.ndarray]


@dataclass
class Plane:
    """A plane in the space of the weights: `origin` (P,), orthonormal `directions` (2, P), the `names` of its axes."""

    origin: np.ndarray
    directions: np.ndarray
    names: tuple[str, str]

    def coordinates(self, w: np.ndarray) -> np.ndarray:
        """The projection (..., 2) of weights (..., P)."""
        return (w - self.origin) @ self.directions.T

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """The weights (..., P) at coordinates (..., 2)."""
        return self.origin + coordinates @ self.directions


def planes(path: ArrayLike, names: Sequence[str] | None = None, random: int | None = None) -> list[Plane]:
    """The planes in which a path (S, P) is worth looking at: those of two or three weights, else one.

    `names` are the weights', by default w1, w2, ...; with the seed `random` the plane's directions are random ones.
    Raises `ValueError` for fewer than two weights.
    """
    w = np.asarray(path, float)
    size = w.shape[1]
    if size < 2:
        raise ValueError("a surface needs two weights")
    end = w[-1]
    if size <= 3:
        named = list(names or [f"w{i + 1}" for i in range(size)])
        axes = np.eye(size)
        return [
            Plane(end * (1 - axes[i] - axes[j]), axes[[i, j]], (named[i], named[j]))
            for i, j in itertools.combinations(range(size), 2)
        ]
    moved = w - end
    _, scale, principal = np.linalg.svd(moved, full_matrices=False)
    if random is None and len(scale) > 1 and scale[1] > 1e-6 * scale[0]:
        share = scale**2 / np.sum(scale**2)
        labels = [f"{word} principal direction ({part:.0%})" for word, part in zip(("1st", "2nd"), share, strict=False)]
        return [Plane(end, principal[:2], (labels[0], labels[1]))]
    drawn = np.random.default_rng(random or 0).normal(size=(size, 2))
    return [Plane(end, np.linalg.qr(drawn)[0].T, ("1st random direction", "2nd random direction"))]


def loss_surface(loss: Loss, path: ArrayLike, plane: Plane, title: str = "Loss surface", grid: int = 41) -> Figure:
    """The loss over a plane, on `grid` x `grid` points, with the path (S, P) projected onto it.

    `loss` maps weights (m, P) to their losses (m,).
    """
    w = np.asarray(path, float)
    way = plane.coordinates(w)
    low, high = way.min(0), way.max(0)
    # A path that is short beside its weights would be drawn under a magnifying glass.
    size = max(float((high - low).max()), 0.1 * float(np.linalg.norm(w[-1])) / np.sqrt(w.shape[1]), 1e-6)
    reach = np.maximum(0.65 * (high - low), 0.4 * size)
    middle = (low + high) / 2
    a, b = (np.linspace(middle[i] - reach[i], middle[i] + reach[i], grid) for i in (0, 1))
    cells = np.stack(np.meshgrid(a, b), axis=-1)
    values = np.asarray(loss(plane.points(cells.reshape(-1, 2))), float).reshape(grid, grid)
    values = np.ma.masked_invalid(values)
    figure, axes = new(title, *plane.names, 5.0, 4.2)
    axes.grid(False)
    low_value, high_value = float(values.min()), float(values.max())
    log = spans_decades(values.compressed(), 10.0)
    levels = np.geomspace(low_value, high_value, 21) if log else np.linspace(low_value, high_value, 21)
    if high_value > low_value:
        norm = LogNorm(low_value, high_value) if log else Normalize(low_value, high_value)
        filled = axes.contourf(a, b, values, levels=levels, cmap=SEQUENTIAL, norm=norm)
        axes.contour(a, b, values, levels=levels[::2], colors="white", linewidths=0.4, alpha=0.6)
        ticks = levels[::4]
        bar = figure.colorbar(filled, ax=axes, ticks=ticks)
        bar.ax.minorticks_off()
        bar.ax.set_yticklabels([f"{tick:.3g}" for tick in ticks])
        bar.set_label("loss", fontsize=9)
        bar.ax.tick_params(labelsize=8)
    axes.plot(*way.T, color=COLORS[1], linewidth=1.3, marker=".", markersize=4, label="path")
    (start, end) = way[[0, -1]]
    axes.scatter(start[0], start[1], s=40, marker="o", color="white", edgecolors="black", zorder=3, label="start")
    axes.scatter(end[0], end[1], s=110, marker="*", color=COLORS[4], edgecolors="black", zorder=3, label="end")
    legend(figure)
    return figure
