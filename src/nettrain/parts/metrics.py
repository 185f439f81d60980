"""What is measured of predictions. Shapes: labels (..., n), scores (..., n), confusion (..., C, C); one value a row.

Metrics stay on the device and reduce over the last axes only, so K runs are measured at once.
"""

import torch
from torch import Tensor


def accuracy(predicted: Tensor, y: Tensor) -> Tensor:
    """The share of labels predicted correctly."""
    return (predicted == y).double().mean(-1)


def confusion_matrix(predicted: Tensor, y: Tensor, classes: int) -> Tensor:
    """Counts of shape (..., C, C): [true class, predicted class]."""
    cell = torch.add(predicted, y, alpha=classes)
    counts = torch.zeros(*cell.shape[:-1], classes * classes, dtype=torch.float64, device=cell.device)
    counts.scatter_add_(-1, cell, counts.new_ones(()).expand(cell.shape))
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
    return hits / total.clamp(min=1)


def macro_f1(confusion: Tensor) -> Tensor:
    """The mean F1 over the classes that occur or are predicted."""
    seen = (confusion.sum(-1) + confusion.sum(-2)) > 0
    return f1(confusion).sum(-1) / seen.sum(-1)


def auroc(score: Tensor, y: Tensor) -> Tensor:
    """The area under the ROC curve of scores for binary labels, ties counted half.

    NaN with one class only, and where a score is NaN. Scores are compared as float32: the same sample twice is a tie,
    although its scores in float64 may differ by rounding.

    It is the Mann-Whitney statistic: the mean rank of the positives, shifted and scaled.
    """
    ordered, order = score.float().sort(dim=-1)
    first = torch.searchsorted(ordered, ordered, side="left")
    last = torch.searchsorted(ordered, ordered, side="right")
    rank = (first + last + 1).double() / 2  # of tied scores: the mean of their ranks, counted from 1
    positive = y.gather(-1, order).double()
    positives = positive.sum(-1)
    negatives = y.shape[-1] - positives
    area = ((rank * positive).sum(-1) - positives * (positives + 1) / 2) / (positives * negatives)
    return torch.where(score.isnan().any(-1), torch.nan, area)


def mse(predicted: Tensor, y: Tensor) -> Tensor:
    """The mean squared error."""
    return (predicted - y).double().square().mean(-1)


def mae(predicted: Tensor, y: Tensor) -> Tensor:
    """The mean absolute error."""
    return (predicted - y).double().abs().mean(-1)


def r2(predicted: Tensor, y: Tensor) -> Tensor:
    """R2 = 1 - sum (y - yhat)^2 / sum (y - mean y)^2; NaN where the targets do not vary."""
    y = y.double()
    residual = (y - predicted).square().sum(-1)
    total = (y - y.mean(-1, keepdim=True)).square().sum(-1)
    return torch.where(total > 0, 1 - residual / total, torch.nan)
