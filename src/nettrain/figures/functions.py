"""What a network has learnt, as a function of its inputs: the boundary for two of them, the curve for one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.grids import Grid
from nettrain.figures.style import COLORS, GREY, MARKERS, SEVERAL, color, legend, new


def decision_boundary(
    grid: Grid,
    probabilities: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    names: Sequence[str],
    classes: Sequence[str],
    title: str = "Decision boundary",
) -> Figure:
    """The probability of each class over the plane of two inputs, as a mixture of the classes' colours.

    `probabilities` (m n, C) are those at the points of the grid. The line is where the most probable class changes.
    `x` (n, 2) and `y` (n,) are samples with their classes; `names` are the inputs'. More than 14 classes have no names,
    and colours that come again.
    """
    points, labels, p = np.asarray(x, float), np.asarray(y, int), grid.table(probabilities)
    left, right, bottom, top = grid.a[0], grid.a[-1], grid.b[0], grid.b[-1]
    palette = np.array([to_rgb(color(c)) for c in range(p.shape[-1])])
    figure, axes = new(title, names[0], names[1], 4.8, 4.2)
    axes.grid(False)
    tint = 1 - 0.45 * (1 - p @ palette)
    axes.imshow(np.clip(tint, 0, 1), origin="lower", extent=(left, right, bottom, top), aspect="auto")
    marks: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.5}
    if len(classes) > SEVERAL:
        axes.add_collection(_changes(grid, p.argmax(-1)))
        shades = palette[labels]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=9,
            c=shades,
            label=f"{len(classes)} classes, in colours that come again",
            **marks,
        )
    else:
        second, first = np.moveaxis(np.partition(p, -2, axis=-1)[..., -2:], -1, 0)
        for c in range(p.shape[-1] if p.shape[-1] > 2 else 1):
            lead = p[..., c] - np.where(p[..., c] == first, second, first)
            if lead.min() < 0 < lead.max():
                axes.contour(grid.a, grid.b, lead, levels=[0], colors="black", linewidths=1.2)
        for c, name in enumerate(classes):
            chosen = points[labels == c]
            marker = MARKERS[(c + c // len(COLORS)) % len(MARKERS)]
            axes.scatter(chosen[:, 0], chosen[:, 1], s=15, color=color(c), marker=marker, label=str(name), **marks)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    legend(figure)
    return figure


def _changes(grid: Grid, winner: np.ndarray) -> LineCollection:
    """The lines between neighbouring points of the grid with different winners (m, n)."""
    across, up = (grid.a[:-1] + grid.a[1:]) / 2, (grid.b[:-1] + grid.b[1:]) / 2
    edges_a, edges_b = (np.concatenate([at[:1], middles, at[-1:]]) for at, middles in ((grid.a, across), (grid.b, up)))
    i, j = np.nonzero(winner[:, 1:] != winner[:, :-1])
    upright = np.stack([across[j], edges_b[i], across[j], edges_b[i + 1]], axis=1)
    i, j = np.nonzero(winner[1:] != winner[:-1])
    level = np.stack([edges_a[j], up[i], edges_a[j + 1], up[i]], axis=1)
    segments = np.concatenate([upright, level]).reshape(-1, 2, 2)
    return LineCollection(list(segments), colors="black", linewidths=0.6)


def fitted_curve(
    at: ArrayLike,
    prediction: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    name: str,
    target: str,
    title: str = "Fitted curve",
    others: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """The prediction (m,) at values `at` (m,) of one input, with the samples it was fitted to.

    `x` and `y` (n,) are samples, `name` and `target` what they are called. `others` are the values (m,) of further
    functions, such as the true one.
    """
    figure, axes = new(title, name, target)
    axes.scatter(np.ravel(x), np.ravel(y), s=14, color=GREY, alpha=0.6, linewidths=0, label="samples")
    axes.plot(at, prediction, color=COLORS[0], label="prediction")
    for i, (label, values) in enumerate((others or {}).items(), 1):
        axes.plot(at, values, color=color(i), linestyle="--", label=label)
    legend(figure)
    return figure
