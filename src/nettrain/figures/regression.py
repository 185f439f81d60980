"""How good a regression is. Shapes: true and predicted values (n,), in the target's own units."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.style import COLORS, GREY, new


def predicted_against_true(
    y: ArrayLike, predicted: ArrayLike, name: str, title: str = "Predicted against true"
) -> Figure:
    """Each sample's prediction over its true value; perfect predictions lie on the diagonal; `name` is the target's."""
    figure, axes = new(title, f"{name}, true", f"{name}, predicted", 4.6, 4.2)
    true, at = np.asarray(y, float), np.asarray(predicted, float)
    axes.scatter(true, at, s=14, color=COLORS[0], alpha=0.6, linewidths=0)
    axes.axline((float(true.mean()), float(true.mean())), slope=1, color=GREY, linewidth=1, linestyle=":")
    axes.set_aspect("equal", adjustable="datalim")
    return figure


def residuals(y: ArrayLike, predicted: ArrayLike, name: str, title: str = "Residuals") -> Figure:
    """True minus predicted over predicted: a trend or a funnel shows what the model has missed."""
    figure, axes = new(title, f"{name}, predicted", "residual (true - predicted)")
    true, at = np.asarray(y, float), np.asarray(predicted, float)
    axes.axhline(0, color=GREY, linewidth=1, linestyle=":")
    axes.scatter(at, true - at, s=14, color=COLORS[0], alpha=0.6, linewidths=0)
    return figure
