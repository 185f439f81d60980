"""How much each row counts: a column of weights, and weights of classes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.inference import numbers
from nettrain.data.matching import matched
from nettrain.data.row_sets import in_parts
from nettrain.data.wording import nearest
from nettrain.errors import ConfigError, DataError
from nettrain.wording import listed


def read_weights(column: Column) -> np.ndarray:
    """A column of weights, float64 of shape (n,); `DataError` with row for one that is missing or negative."""
    weights = numbers(column)
    for wrong, found in ((np.isnan(weights), "the weight is missing"), (weights < 0, "found {:g}")):
        if wrong.any():
            row = int(wrong.argmax())
            raise column.mistake(row, f"{found.format(weights[row])}; a weight is a number of at least 0.")
    return weights


def read_exposure(column: Column) -> np.ndarray:
    """A column that says for how long or how much each row was exposed, float64 of shape (n,), greater than 0.

    Raises `DataError` with row for one that is missing, 0 or negative.
    """
    exposure = numbers(column)
    for wrong, found in ((np.isnan(exposure), "the exposure is missing"), (exposure <= 0, "found {:g}")):
        if wrong.any():
            row = int(wrong.argmax())
            raise column.mistake(row, f"{found.format(exposure[row])}; an exposure is a number greater than 0.")
    return exposure


def rates(target: np.ndarray, weights: np.ndarray | None, exposure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A target per unit of exposure, (n,) or (n, m), and what its rows count, times the exposure, (n,).

    Counts y with exposures e have the Poisson log-likelihood y log(e mu) - e mu = e ((y / e) log mu - mu) + constant:
    that of the rates y / e, weighted with e.
    """
    per_unit = (target.T / exposure).T
    return per_unit, exposure if weights is None else weights * exposure


def require_weight(weights: Any, splits: dict[str, np.ndarray], source: str) -> None:
    """Raise `DataError` for a split in which no row counts."""
    for name, rows in splits.items():
        if len(rows) and not any(weights[some].any() for some in in_parts(rows)):
            raise DataError(f"{source}: all rows of the {name} split have the weight 0; at least one must count.")


def class_weights(asked: Any, classes: list[str], totals: Callable[[], np.ndarray]) -> list[float]:
    """The weight of each class: as `asked`, or "balanced", with which all classes weigh the same in training.

    `totals()` are the training rows n_c of each class, or the sums of their weights. Balanced is n / (C n_c).
    Raises `ConfigError` for anything else, an unknown class and a negative weight.
    """
    key = f"class_weight={asked}"
    if not classes:
        raise ConfigError(f"{key}: the target has numbers, not classes; data.weight=<column> weighs rows.")
    if asked == "balanced":
        return _balanced(totals())
    return list(_asked_weights(asked, key, "class", classes).values())


def label_weights(
    asked: Any, labels: list[str], target: np.ndarray, weights: np.ndarray | None
) -> list[tuple[float, float]]:
    """For each label the weights of rows without it and with it; see `class_weights`, each label has two classes.

    `asked` by name is the weight of rows with a label; without it they have the weight 1. `target` is (n, m).
    """
    if asked == "balanced":
        return [tuple(_balanced(np.bincount(label, weights, 2))) for label in target.T]  # type: ignore[misc]
    return [(1.0, weight) for weight in _asked_weights(asked, f"class_weight={asked}", "label", labels).values()]


def _balanced(totals: np.ndarray) -> list[float]:
    classes = len(totals)
    of_each: list[float] = np.divide(totals.sum(), classes * totals, out=np.zeros(classes), where=totals > 0).tolist()
    return of_each


def _asked_weights(asked: Any, key: str, noun: str, classes: list[str]) -> dict[str, float]:
    """The weights of all classes, or labels, of which somebody has asked for some; the others have 1."""
    if not isinstance(asked, dict):
        raise ConfigError(f"{key}: it must be balanced, or a weight for each {noun}, such as {{{classes[0]}: 2}}.")
    given = {str(name): weight for name, weight in asked.items()}
    known = matched(given, classes)
    result = dict.fromkeys(classes, 1.0)
    for name, weight in given.items():
        if name not in known:
            near = nearest(name, classes)
            plural = "classes" if noun == "class" else "labels"
            raise ConfigError(f"{key}: there is no {noun} {name}{near}; the {plural} are {listed(classes, 20)}.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < np.inf:
            raise ConfigError(f"{key}: the weight of {name} must be a number of at least 0.")
        result[known[name]] = float(weight)
    return result
