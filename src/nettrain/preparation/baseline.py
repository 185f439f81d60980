"""What a prediction reaches that does not look at x: the most frequent class, or the mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nettrain.data import Data
from nettrain.data.row_sets import in_parts
from nettrain.parts import metrics
from nettrain.parts.heads.independent import metric_suffixes
from nettrain.parts.joined_metrics import JoinedMetrics
from nettrain.parts.named_metrics import NamedMetric


def baseline(data: Data, split: str, names: Sequence[str], named: Sequence[NamedMetric]) -> dict[str, float]:
    """Those of the metrics `names` and `named` of a split, for the training rows' most frequent class or their mean.

    Probabilities are the shares of the classes in training.
    """
    train, rows, encoder = data.splits["train"], data.splits[split], data.encoder
    if data.streamed and not named and not encoder.targets:
        return {name: value for name, value in _in_parts(data, rows).items() if name in names}
    of_train, of_rows = (None if data.weights is None else data.weights[r] for r in (train, rows))
    weights = None if of_rows is None else torch.as_tensor(of_rows)
    p: np.ndarray | None = None
    if encoder.targets:
        y, predicted, p, values = _of_several(data, rows, names)
    elif encoder.classes:
        y, classes = data.y[rows], len(encoder.classes)
        shares = np.bincount(data.y[train], of_train, minlength=classes) / (
            len(train) if of_train is None else of_train.sum()
        )
        predicted, p = np.full(len(rows), shares.argmax()), np.tile(shares, (len(rows), 1))
        true, constant = torch.as_tensor(y), torch.as_tensor(predicted)
        score = constant.double() if "auroc" in names else None
        values = metrics.of_classes(constant, true, classes, score, weights)
        values["mae"] = metrics.mae(constant, true, weights)
    else:
        numbers = encoder.in_units(data.y)
        y, predicted = numbers[rows], np.full(len(rows), np.average(numbers[train], weights=of_train))
        true, constant = torch.as_tensor(y), torch.as_tensor(predicted)
        values = metrics.of_numbers(constant, true, weights)
        if "deviance" in names:
            values["deviance"] = metrics.poisson_deviance(constant, true, weights)
    reached = {name: float(value) for name, value in values.items() if name in names}
    return {**reached, **{metric.name: metric(y, predicted, p, of_rows) for metric in named}}


def _in_parts(data: Data, rows: Any) -> dict[str, float]:
    """The metrics of so many rows that they are looked at in parts."""
    encoder, weights = data.encoder, data.weights
    classes = len(encoder.classes)
    sums, total = np.zeros(max(1, classes)), 0.0  # of the classes' weights, or of the numbers; and of the weights
    for some in in_parts(data.splits["train"]):
        y, of_rows = data.y[some], np.ones(len(some)) if weights is None else weights[some]
        sums += np.bincount(y, of_rows, classes) if classes else (encoder.in_units(y) * of_rows).sum()
        total += of_rows.sum()
    constant = float(sums.argmax() if classes else sums[0] / total)
    joined = JoinedMetrics()
    for some in in_parts(rows):
        true = torch.as_tensor(data.y[some] if classes else encoder.in_units(data.y[some]))
        predicted = torch.full_like(true, constant)
        of_some = None if weights is None else torch.as_tensor(weights[some])
        if classes:
            score = predicted.double() if classes == 2 else None
            values = metrics.of_classes(predicted, true, classes, score, of_some)
            values["mae"] = metrics.mae(predicted, true, of_some)
        else:
            score, values = None, metrics.of_numbers(predicted, true, of_some)
            values["deviance"] = metrics.poisson_deviance(predicted, true, of_some)
        joined = joined.added(values, predicted, true, classes, score, of_some)
    return {name: float(value) for name, value in joined.values.items()}


def _of_several(
    data: Data, rows: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, torch.Tensor]]:
    """Of several targets the true and the constant values (n, m), the latter's probabilities, and the metrics."""
    train, encoder = data.splits["train"], data.encoder
    of_train, of_rows = (None if data.weights is None else data.weights[r] for r in (train, rows))
    weights = None if of_rows is None else torch.as_tensor(of_rows)
    of_each_row = None if weights is None else weights.mT
    numbers = data.y if encoder.classes else encoder.in_units(data.y)
    y, shape = numbers[rows], (len(rows), len(encoder.targets))
    means = np.broadcast_to(np.average(numbers[train], axis=0, weights=of_train), shape)
    suffixes = metric_suffixes(encoder.targets)
    if not encoder.classes:
        true, constant = torch.as_tensor(y).mT, torch.as_tensor(means.copy()).mT
        of_each = metrics.of_numbers(constant, true, of_each_row)
        if "deviance" in names:
            of_each["deviance"] = metrics.poisson_deviance(constant, true, of_each_row)
        return y, means, None, metrics.of_several(of_each, suffixes)
    predicted = (means > 0.5).astype(np.int64)
    true, constant = torch.as_tensor(y), torch.as_tensor(predicted)
    score = constant.double().mT.contiguous() if "auroc" in names else None
    of_each = metrics.of_classes(constant.mT, true.mT, 2, score, of_each_row)
    of_each["mae"] = metrics.mae(constant.mT, true.mT, of_each_row)
    together = metrics.of_labels(constant, true, weights)
    return y, predicted, means, metrics.of_several(of_each, suffixes, together)
