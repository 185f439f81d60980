"""What a prediction reaches that does not look at x: the most frequent class, or the mean."""

from collections.abc import Sequence

import numpy as np
import torch

from nettrain.data import Data
from nettrain.parts import metrics
from nettrain.parts.heads.independent import metric_suffixes
from nettrain.parts.named_metrics import NamedMetric


def baseline(data: Data, split: str, names: Sequence[str], named: Sequence[NamedMetric]) -> dict[str, float]:
    """Those of the metrics `names` and `named` of a split, for the training rows' most frequent class or their mean.

    Probabilities are the shares of the classes in training.
    """
    train, rows, encoder = data.splits["train"], data.splits[split], data.encoder
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
