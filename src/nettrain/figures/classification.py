"""How good a classifier is. Shapes: true classes y (n,), probabilities (n, C); with C > 2 one class against the rest.

Of m labels y is (n, m), of 0 and 1, and their probabilities (n, m); `classes` are the labels.

The points of the curves are computed here because importing scikit-learn takes longer than drawing all of them.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nettrain.figures.style import GREY, SEVERAL, color, color_bar, dash, legend, new
from nettrain.figures.texts import name_ticks, shortened

MOST_CLASSES = 500  # of a confusion matrix, in which a class is then two pixels wide


def confusion(y: ArrayLike, predicted: ArrayLike, classes: Sequence[str], title: str = "Confusion matrix") -> Figure:
    """Counts of [true class, predicted class]; the shade is the share of the true class.

    Of more than 500 classes the most frequent ones are drawn, and counted are the samples of these that were taken for
    one of them.
    """
    true, taken = np.asarray(y, int), np.asarray(predicted, int)
    if len(classes) > MOST_CLASSES:
        frequent = np.sort(np.argsort(-np.bincount(true, minlength=len(classes)), kind="stable")[:MOST_CLASSES])
        both = np.isin(true, frequent) & np.isin(taken, frequent)
        true, taken = np.searchsorted(frequent, true[both]), np.searchsorted(frequent, taken[both])
        title += f": the {MOST_CLASSES} most frequent of {len(classes)} classes"
        classes = [classes[c] for c in frequent]
    n = len(classes)
    cells = true * n + taken
    counts = np.bincount(cells, minlength=n * n).reshape(n, n)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(7.0, 3.4 + 0.16 * n)
    figure, axes = new(title, "predicted class", "true class", side + 0.6, side)
    axes.grid(False)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    color_bar(figure, image, "share of the true class", shrink=0.8)
    if n <= 30:
        names = [shortened(str(name), 16) for name in classes]
        tilted = n > 4 and max(map(len, names)) > 3
        name_ticks(axes.xaxis, names, rotation=45 if tilted else 0, ha="right" if tilted else "center")
        name_ticks(axes.yaxis, names)
    if n <= 15:
        for i, j in np.ndindex(n, n):
            shade = "white" if share[i, j] > 0.55 else "black" if counts[i, j] else "#999999"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=shade, fontsize=8 if n > 6 else 9.5)
    return figure


def roc(y: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], title: str = "ROC") -> Figure:
    """True positive rate against false positive rate over all thresholds, with the area under each curve."""
    figure, axes = new(title, "false positive rate", "true positive rate", height=4.2)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for i, (name, positive, score) in enumerate(_against_the_rest(y, probabilities, classes)):
        false, true = roc_points(positive, score)
        area = np.trapezoid(true, false)
        axes.plot(false, true, color=color(i), linestyle=dash(i), label=f"{name}: area {area:.3f}")
    axes.set_aspect("equal")
    legend(figure)
    return figure


def precision_recall(
    y: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], title: str = "Precision and recall"
) -> Figure:
    """Precision against recall over all thresholds, with each curve's average precision."""
    figure, axes = new(title, "recall", "precision")
    for i, (name, positive, score) in enumerate(_against_the_rest(y, probabilities, classes)):
        precision, recall = precision_recall_points(positive, score)
        average = float(np.sum(np.diff(recall) * precision[1:]))
        axes.step(
            recall, precision, where="pre", color=color(i), linestyle=dash(i), label=f"{name}: average {average:.3f}"
        )
    axes.set_ylim(-0.03, 1.03)
    legend(figure)
    return figure


def calibration(
    y: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], title: str = "Calibration", bins: int = 10
) -> Figure:
    """How often a class occurs among the samples for which it was given a probability, in `bins` equal intervals.

    Probabilities that mean what they say lie on the diagonal. The area of a point is the number of its samples. Beside
    each curve: its mean distance from the diagonal, weighted by that number (expected calibration error). More than
    four classes are pooled.
    """
    figure, axes = new(title, "predicted probability", "observed share", height=4.2)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for i, (name, positive, score) in enumerate(_against_the_rest(y, probabilities, classes, most=4)):
        predicted, observed, count = calibration_points(positive, score, bins)
        error = float(np.sum(np.abs(predicted - observed) * count) / max(count.sum(), 1))
        axes.plot(predicted, observed, color=color(i), linewidth=0.8, alpha=0.6)
        area = 8 + 112 * count / max(count.max(initial=1), 1)
        axes.scatter(predicted, observed, area, color=color(i), linewidths=0, label=f"{name}: error {error:.3f}")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    legend(figure)
    return figure


def roc_points(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, each (thresholds + 1,), from (0, 0) to (1, 1); NaN with one class only."""
    true, false = _passing(positive, score)
    with np.errstate(invalid="ignore"):
        return false / false[-1], true / true[-1]


def precision_recall_points(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall, each (thresholds + 1,), from the highest threshold, with recall 0 and precision 1, down."""
    true, false = _passing(positive, score)
    with np.errstate(invalid="ignore"):
        precision, recall = true / (true + false), true / true[-1]
    return np.concatenate([[1.0], precision[1:]]), recall


def calibration_points(positive: np.ndarray, score: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score, share of positives and count of every interval of [0, 1] that has samples."""
    which = np.clip((score * bins).astype(int), 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    seen = count > 0
    mean = np.bincount(which, score, bins)[seen] / count[seen]
    share = np.bincount(which, positive, bins)[seen] / count[seen]
    return mean, share, count[seen]


def _passing(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many positives and negatives score at least as much as each distinct threshold, with a 0 before them."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of equal scores, only the last counts
    true = np.cumsum(positive[order])[last]
    return np.append(0, true), np.append(0, last + 1 - true)


def _against_the_rest(
    y: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], most: int = SEVERAL
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, whether a sample is positive, and its score: for the second of two classes, else for each class or label.

    Classes that do not occur are left out; more than `most` classes are pooled, each sample once for every class.
    """
    true, p = np.asarray(y, int), np.asarray(probabilities, float)
    if len(classes) == 2 and true.ndim == 1:
        return [(str(classes[1]), true == 1, p[:, 1])]
    one_hot = true == 1 if true.ndim == 2 else true[:, None] == np.arange(len(classes))
    if len(classes) > most:
        return [(f"{len(classes)} {'labels' if true.ndim == 2 else 'classes'}, pooled", one_hot.ravel(), p.ravel())]
    return [(str(name), one_hot[:, c], p[:, c]) for c, name in enumerate(classes) if one_hot[:, c].any()]
