"""What a network has learnt, as a function of its inputs: the boundary for two of them, the curve for one."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.style import COLORS, GREY, MARKERS, color, legend, new

Function = Callable[[np.ndarray], np.ndarray]
GRID = 121  # points along each input


def decision_boundary(
    probabilities: Function,
    x: ArrayLike,
    y: ArrayLike,
    names: Sequence[str],
    classes: Sequence[str],
    title: str = "Decision boundary",
) -> Figure:
    """The probability of each class over the plane of two inputs, as a mixture of the classes' colours.

    `probabilities` maps points (m, 2) to (m, C). The line is where the most probable class changes. `x` (n, 2) and
    `y` (n,) are samples with their classes; `names` are the inputs'.
    """
    points, labels = np.asarray(x, float), np.asarray(y, int)
    (left, bottom), (right, top) = _margins(points)
    a, b = np.linspace(left, right, GRID), np.linspace(bottom, top, GRID)
    grid = np.stack(np.meshgrid(a, b), axis=-1)
    p = np.asarray(probabilities(grid.reshape(-1, 2)), float).reshape(GRID, GRID, -1)
    palette = np.array([to_rgb(color(c)) for c in range(p.shape[-1])])
    figure, axes = new(title, names[0], names[1], 4.8, 4.2)
    axes.grid(False)
    tint = 1 - 0.45 * (1 - p @ palette)
    axes.imshow(np.clip(tint, 0, 1), origin="lower", extent=(left, right, bottom, top), aspect="auto")
    for c in range(p.shape[-1] if p.shape[-1] > 2 else 1):
        lead = p[..., c] - np.delete(p, c, axis=-1).max(-1)
        if lead.min() < 0 < lead.max():
            axes.contour(a, b, lead, levels=[0], colors="black", linewidths=1.2)
    for c, name in enumerate(classes):
        chosen = points[labels == c]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=15,
            color=color(c),
            marker=MARKERS[c % len(MARKERS)],
            edgecolors="white",
            linewidths=0.5,
            label=str(name),
        )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    legend(figure)
    return figure


def fitted_curve(
    predict: Function,
    x: ArrayLike,
    y: ArrayLike,
    name: str,
    target: str,
    title: str = "Fitted curve",
    others: Mapping[str, Function] | None = None,
) -> Figure:
    """The prediction over one input, with the samples it was fitted to.

    `predict` maps (m,) to (m,); `x` and `y` (n,) are samples, `name` and `target` what they are called. `others` are
    further functions, such as the true one.
    """
    at, values = np.asarray(x, float).ravel(), np.asarray(y, float)
    figure, axes = new(title, name, target)
    axes.scatter(at, values, s=14, color=GREY, alpha=0.6, linewidths=0, label="samples")
    ((left,), (right,)) = _margins(at[:, None])
    grid = np.linspace(left, right, 401)
    axes.plot(grid, predict(grid), color=COLORS[0], label="prediction")
    for i, (label, function) in enumerate((others or {}).items(), 1):
        axes.plot(grid, function(grid), color=color(i), linestyle="--", label=label)
    legend(figure)
    return figure


def _margins(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper limits of the columns, widened by 8 %."""
    low, high = points.min(0), points.max(0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    return low - margin, high + margin
