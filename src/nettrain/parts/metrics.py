"""What is measured of predictions. Shapes: labels (..., n), scores (..., n), confusion (..., C, C); one value a row.

With weights (..., n) or (n,) in float64 a sample counts as often as its weight says.
Metrics stay on the device and reduce over the last axes only, so K runs are measured at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Weights = Tensor | None


def mean(values: Tensor, weights: Weights = None) -> Tensor:
    """The mean over the samples, in float64."""
    values = values.double()
    return values.mean(-1) if weights is None else (values * weights).sum(-1) / weights.sum(-1)


def of_classes(
    predicted: Tensor, y: Tensor, classes: int, score: Tensor | None = None, weights: Weights = None
) -> dict[str, Tensor]:
    """The metrics of predicted classes; with a `score` of the positive one of two, F1 is its own and AUROC known."""
    confusion = confusion_matrix(predicted, y, classes, weights)
    measured = {"accuracy": accuracy(predicted, y, weights), "balanced_accuracy": balanced_accuracy(confusion)}
    if score is None:
        return {**measured, "f1": macro_f1(confusion)}
    return {**measured, "f1": f1(confusion)[..., 1], "auroc": auroc(score, y, weights)}


def of_numbers(predicted: Tensor, y: Tensor, weights: Weights = None) -> dict[str, Tensor]:
    """The metrics of predicted numbers."""
    squared = mse(predicted, y, weights)
    return {"mse": squared, "rmse": squared.sqrt(), "mae": mae(predicted, y, weights), "r2": r2(predicted, y, weights)}


def of_several(
    of_each: dict[str, Tensor], names: Sequence[str], together: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Of metrics of m targets, (..., m) each, their means, and under `<metric>_<name>` those of each target.

    A mean leaves out targets of which a metric is NaN. `together` are metrics of all targets, (...).
    """
    measured = {name: values.nanmean(-1) for name, values in of_each.items()} | (together or {})
    for metric, values in of_each.items():
        measured |= {f"{metric}_{name}": value for name, value in zip(names, values.unbind(-1), strict=False)}
    return measured


def of_labels(predicted: Tensor, y: Tensor, weights: Weights = None) -> dict[str, Tensor]:
    """The metrics of m labels together, predicted and true ones (..., n, m) of 0 and 1, as are the weights.

    `exact_match` is the share of samples all of whose labels are right, `micro_f1` the F1 of all labels as if they were
    those of one: 2 TP / (2 TP + FP + FN), 0 where there are none.
    """
    of_samples = None if weights is None else weights.mean(-1)
    of_each = None if weights is None else weights.expand(y.shape).flatten(-2)
    true, taken = y.double().flatten(-2), predicted.double().flatten(-2)
    both, either = (mean(values, of_each) for values in (2 * true * taken, true + taken))
    return {
        "exact_match": mean((predicted == y).all(-1), of_samples),
        "micro_f1": torch.where(either > 0, both / either, 0.0),
    }


def accuracy(predicted: Tensor, y: Tensor, weights: Weights = None) -> Tensor:
    """The share of labels predicted correctly."""
    return mean(predicted == y, weights)


def confusion_matrix(predicted: Tensor, y: Tensor, classes: int, weights: Weights = None) -> Tensor:
    """Counts of shape (..., C, C): [true class, predicted class]."""
    cell = torch.add(predicted, y, alpha=classes)
    counts = torch.zeros(*cell.shape[:-1], classes * classes, dtype=torch.float64, device=cell.device)
    counts.scatter_add_(-1, cell, (counts.new_ones(()) if weights is None else weights).expand(cell.shape))
    return counts.view(*cell.shape[:-1], classes, classes)


def balanced_accuracy(confusion: Tensor) -> Tensor:
    """The mean recall over the classes that occur."""
    support = confusion.sum(-1)
    recall = confusion.diagonal(dim1=-2, dim2=-1) / support
    return recall.nanmean(-1)


def f1(confusion: Tensor) -> Tensor:
    """F1 = 2 TP / (2 TP + FP + FN) of every class, (..., C); 0 where a class neither occurs nor is predicted."""
    hits = 2 * confusion.diagonal(dim1=-2, dim2=-1)
    total = confusion.sum(-1) + confusion.sum(-2)
    return torch.where(total > 0, hits / total, 0.0)


def of_each_class(confusion: Tensor) -> dict[str, Tensor]:
    """Precision, recall and F1 of every class, and its rows, each (..., C).

    Precision is NaN for a class that is never predicted, recall for one that has no rows.
    """
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    rows = confusion.sum(-1)
    return {"precision": hits / confusion.sum(-2), "recall": hits / rows, "f1": f1(confusion), "rows": rows}


def macro_f1(confusion: Tensor) -> Tensor:
    """The mean F1 over the classes that occur or are predicted."""
    seen = (confusion.sum(-1) + confusion.sum(-2)) > 0
    return f1(confusion).sum(-1) / seen.sum(-1)


def auroc(score: Tensor, y: Tensor, weights: Weights = None) -> Tensor:
    """The area under the ROC curve of scores for binary labels, ties counted half.

    NaN with one class only, and where a score is NaN. Scores are compared as float32: the same sample twice is a tie,
    although its scores in float64 may differ by rounding.

    It is the Mann-Whitney statistic: the mean rank of the positives, shifted and scaled. With weights it is the share
    of pairs, weighted by the products of their weights, in which the positive one has the higher score.
    """
    ordered, order = score.float().sort(dim=-1)
    first = torch.searchsorted(ordered, ordered, side="left")
    last = torch.searchsorted(ordered, ordered, side="right")
    positive = y.gather(-1, order).double()
    if weights is None:
        rank = (first + last + 1).double() / 2  # of tied scores: the mean of their ranks, counted from 1
        positives = positive.sum(-1)
        negatives = y.shape[-1] - positives
        area = ((rank * positive).sum(-1) - positives * (positives + 1) / 2) / (positives * negatives)
    else:
        weight = weights.expand(score.shape).gather(-1, order)
        negative = torch.nn.functional.pad(((1 - positive) * weight).cumsum(-1), (1, 0))  # of lower ranks
        below = (negative.gather(-1, first) + negative.gather(-1, last)) / 2
        area = mean(below, positive * weight) / negative[..., -1]
    return torch.where(score.isnan().any(-1), torch.nan, area)


def mse(predicted: Tensor, y: Tensor, weights: Weights = None) -> Tensor:
    """The mean squared error."""
    return mean((predicted - y).double().square(), weights)


def mae(predicted: Tensor, y: Tensor, weights: Weights = None) -> Tensor:
    """The mean absolute error."""
    return mean((predicted - y).double().abs(), weights)


def r2(predicted: Tensor, y: Tensor, weights: Weights = None) -> Tensor:
    """R2 = 1 - sum (y - yhat)^2 / sum (y - mean y)^2; NaN where the targets do not vary."""
    y = y.double()
    squares = (y - predicted).square(), (y - mean(y, weights).unsqueeze(-1)).square()
    residual, total = (s.sum(-1) if weights is None else (s * weights).sum(-1) for s in squares)
    return torch.where(total > 0, 1 - residual / total, torch.nan)


def poisson_deviance(mu: Tensor, y: Tensor, weights: Weights = None) -> Tensor:
    """The mean of 2 (y log(y / mu) - (y - mu)), where 0 log 0 = 0."""
    mu, y = mu.double(), y.double()
    return 2 * mean(torch.xlogy(y, y / mu) - (y - mu), weights)
