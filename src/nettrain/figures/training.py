"""What changes in the course of training: losses, metrics, learning rates, and the numbers of each layer."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.style import (
    COLORS,
    DASHES,
    GREY,
    color,
    dash,
    legend,
    log_scale,
    new,
    spans_decades,
    whole_numbers,
)
from nettrain.figures.words import quantity

SPLITS = {"train": "training", "val": "validation"}


def lines(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: bool | None = None,
    marked: tuple[float, str] | None = None,
) -> Figure:
    """A line for each of the `series`, all of shape (n,) like `x`; those that are not finite leave a gap.

    `log` makes the y-axis logarithmic; None: where the values are positive and span more than a factor of 30. `marked`
    is an x with its name.
    """
    figure, axes = new(title, xlabel, ylabel)
    at = np.asarray(x, float)
    whole = np.concatenate([np.asarray(values, float) for values in series.values()] or [np.zeros(0)])
    for i, (name, values) in enumerate(series.items()):
        y = np.asarray(values, float)
        few = "o" if len(y) < 3 else ""
        axes.plot(at, np.where(np.isfinite(y), y, np.nan), color=color(i), linestyle=dash(i), marker=few, label=name)
    if log or (log is None and spans_decades(whole)):
        log_scale(axes)
    if len(at) and np.all(at == np.round(at)):
        whole_numbers(axes)
    if not np.isfinite(whole).any():
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center")
        axes.set(xticks=[], yticks=[])
    if marked:
        axes.axvline(marked[0], color=GREY, linewidth=1, linestyle=":", label=marked[1])
    legend(figure, least=2)
    return figure


def curves(metrics: Mapping[str, ArrayLike], name: str = "loss", best: int | None = None, title: str = "") -> Figure:
    """The course of `name` over the epochs: `train_<name>` and `val_<name>`, or the column `name` itself.

    `metrics` are the columns of metrics.csv (a pandas table is such a mapping); `best` is the epoch whose weights
    were kept.
    """
    series = {label: metrics[f"{split}_{name}"] for split, label in SPLITS.items() if f"{split}_{name}" in metrics}
    marked = None if best is None else (best, f"best epoch {best}")
    words = quantity(name)
    return lines(
        metrics["epoch"], series or {name: metrics[name]}, "epoch", words, title or _title(words), marked=marked
    )


MOST_LAYERS = len(COLORS) * len(DASHES)  # that can be told apart

LAYERS = {
    "gradient_norm": "norm of the gradient",
    "update_to_weight": "norm of the update / norm of the weights",
    "dead": "share of dead units",
    "saturated": "share of saturated activations",
}


def layers(metrics: Mapping[str, ArrayLike], name: str = "gradient_norm", title: str = "") -> Figure:
    """A line for each layer: the columns `<name>/<layer>` of the metrics, `name` as in `LAYERS`.

    In a deep network of sigmoids the norms of the first layers' gradients are orders of magnitude below the last
    ones': the gradient vanishes. Of many layers 28 are drawn, from the first to the last.
    """
    series = {column.partition("/")[2]: values for column, values in metrics.items() if column.startswith(f"{name}/")}
    every = list(series)
    some = np.linspace(0, len(every) - 1, min(len(every), MOST_LAYERS)).round().astype(int)
    series = {every[i]: series[every[i]] for i in some}
    share = name in ("dead", "saturated")
    words = "update-to-weight ratio" if name == "update_to_weight" else LAYERS[name]
    log = False if share else None
    which = "by layer" if len(series) == len(every) else f"{len(series)} of {len(every)} layers"
    figure = lines(metrics["epoch"], series, "epoch", LAYERS[name], title or _title(f"{words}, {which}"), log)
    if share:
        figure.axes[0].set_ylim(-0.03, 1.03)
    return figure


def histograms(values: Mapping[str, ArrayLike], xlabel: str, title: str = "") -> Figure:
    """The distribution of each array of values, such as the weights of each layer, as a density over 60 bins."""
    figure, axes = new(title, xlabel, "density")
    flat = {name: np.asarray(array, float).ravel() for name, array in values.items()}
    flat = {name: array[np.isfinite(array)] for name, array in flat.items()}
    limits = [np.quantile(array, [0.001, 0.999]) for array in flat.values() if array.size]
    low, high = min((low for low, _ in limits), default=0.0), max((high for _, high in limits), default=1.0)
    edges = np.linspace(low, high if high > low else low + 1, 61)
    for i, (name, array) in enumerate(flat.items()):
        if array.size:
            counts = np.histogram(array, edges)[0] / array.size / np.diff(edges)
            axes.stairs(counts, edges, color=color(i), linestyle=dash(i), label=name)
    legend(figure)
    return figure


def _title(words: str) -> str:
    return words[0].upper() + words[1:]
