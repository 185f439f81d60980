"""`Numeric` and `Categorical`: how a column becomes features, learnt from the training rows, and what was new in it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.findings import MISSING, Finding
from nettrain.data.inference import check_finite, check_unit, no_number, numbers
from nettrain.data.matching import matched
from nettrain.data.values import truth
from nettrain.data.wording import quoted

FAR = 1.0  # beyond the range of the training rows, in widths of that range


@dataclass
class Numeric:
    """A column of numbers: missing ones become the `median`, then `(value - mean) / scale`.

    With `indicator` a second feature is 1 where the number is missing, else 0. `low` and `high` are the least and the
    greatest number of the training rows, None where there was none or it was not recorded; `unit` stood beside them.
    With `constant` every number counts as the median: there was no other to learn from.
    """

    name: str
    median: float
    mean: float
    scale: float
    indicator: bool
    low: float | None = None
    high: float | None = None
    unit: str = ""
    constant: bool = False

    @classmethod
    def fit(cls, names: Sequence[str], values: np.ndarray, standardize: bool) -> list["Numeric"]:
        """All columns of numbers at once, values (columns, n)."""
        missing = np.isnan(values)
        medians = np.median(values, axis=1)
        for i in np.flatnonzero(missing.any(axis=1)):
            known = values[i, ~missing[i]]
            medians[i] = np.median(known) if known.size else 0.0
        means, scales = np.zeros(len(names)), np.ones(len(names))
        filled = np.where(missing, medians[:, None], values)
        if standardize:
            means, scales = means_and_scales(filled)
        fitted = [medians, means, scales, missing.any(axis=1), filled.min(axis=1), filled.max(axis=1)]
        columns = [cls(*column) for column in zip(names, *(numbers.tolist() for numbers in fitted), strict=True)]
        for i in np.flatnonzero(missing.all(axis=1)):
            columns[i].low = columns[i].high = None
        return columns

    @property
    def has_one_value(self) -> bool:
        """Whether the numbers of the training rows were all the same."""
        return self.low is not None and self.low == self.high

    @property
    def feature_names(self) -> list[str]:
        return [self.name, f"{self.name} missing"] if self.indicator else [self.name]

    def stand_in(self, rows: int) -> np.ndarray:
        """What a new table that lacks a constant column has instead."""
        return np.full(rows, self.median)

    def filled(self, values: np.ndarray) -> np.ndarray:
        """The numbers with the median for missing ones, and for all where there was no other."""
        return np.where(np.isnan(values) | self.constant, self.median, values)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """The feature of each number, (n,)."""
        return (self.filled(values) - self.mean) / self.scale

    def features(self, values: np.ndarray) -> np.ndarray:
        scaled = self.scaled(values)
        return np.stack([scaled, np.isnan(values)], axis=1) if self.indicator else scaled[:, None]

    def read(self, column: Column) -> tuple[np.ndarray, list[Finding]]:
        """The numbers of a new table's column, and what the training rows had not.

        Truth values are 1 and 0 where the training rows had these two numbers, or one of them.
        """
        if column.numbers.is_text.any():
            values = self._truth_values(column)
        else:
            values = numbers(column)
            check_unit(column, self.unit)
        return values, self._unfamiliar(column, values)

    def _truth_values(self, column: Column) -> np.ndarray:
        found, texts = column.numbers, column.texts
        meant = {text: truth(text) for text in set(texts[found.is_text])}
        if not {self.low, self.high} <= {0.0, 1.0} or None in meant.values():
            raise no_number(column, found.is_text, "correct the cell")
        values = found.values.copy()
        values[found.is_text] = [float(bool(meant[text])) for text in texts[found.is_text]]
        check_finite(column, values)
        return values

    def _unfamiliar(self, column: Column, values: np.ndarray) -> list[Finding]:
        name, missing, found = f"column {quoted(self.name)}", np.isnan(values), []
        if missing.any() and not self.indicator:
            instead = f"; {self.median:.10g} stands for them"
            found.append(Finding(name, MISSING, int(missing.sum()), len(values), instead))
        if self.unit == "%" and not column.numbers.unit and not missing.all():
            found.append(Finding(name, "the numbers have no %, as those of the training had"))
        if self.low is None or self.high is None:
            return found
        margin = FAR * (self.high - self.low)
        far = (values < self.low - margin) | (values > self.high + margin)
        if far.any():
            row = int(far.argmax())
            trained = f"{self.low:.10g} to {self.high:.10g}" if self.low < self.high else f"{self.low:.10g} alone"
            example = f", such as {values[row]:.10g} in row {column.raw.row_number(row)}"
            what = f"far outside the range of the training ({trained})"
            found.append(Finding(name, what, int(far.sum()), len(values), example))
        return found


@dataclass
class Categorical:
    """A column of categories, one 0/1 feature for each; all are 0 for a category that was not seen in training.

    None among the `categories` is the missing value. With `constant` every cell counts as the only category.
    """

    name: str
    categories: list[str | None]
    constant: bool = False

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> "Categorical":
        seen = set(values)
        return cls(name, [*sorted(seen - {None}), *(seen & {None})])

    @property
    def has_one_value(self) -> bool:
        """Whether the cells of the training rows were all the same."""
        return len(self.categories) == 1

    def stand_in(self, rows: int) -> np.ndarray:
        """What a new table that lacks a constant column has instead."""
        return np.full(rows, self.known[0], dtype=object)

    @property
    def feature_names(self) -> list[str]:
        return [f"{self.name} missing" if text is None else f"{self.name}={text}" for text in self.categories]

    @property
    def known(self) -> list[str | None]:
        """The categories of the training rows."""
        return self.categories

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The number of each category, (n,); -1 for one that was not seen in training."""
        position = {category: i for i, category in enumerate(self.categories)}
        return np.array([0 if self.constant else position.get(value, -1) for value in values], dtype=np.int64)

    def features(self, values: np.ndarray) -> np.ndarray:
        return self.features_of(self.codes(values))

    def features_of(self, codes: np.ndarray) -> np.ndarray:
        """The features (n, D) of numbers of categories (n,), -1 for one that was not seen in training."""
        return (codes[:, None] == np.arange(len(self.categories))).astype(np.float64)

    def read(self, column: Column) -> tuple[np.ndarray, list[Finding]]:
        """The categories of a new table's column, named as in training, and what training had not."""
        texts = column.texts
        known = [category for category in self.known if category is not None]
        names = matched(set(texts) - {None}, known, column.raw.options.ignore_case)
        read = np.array([names.get(text, text) for text in texts], dtype=object)
        seen = set(self.known)
        new = Counter(text for text in read.tolist() if text not in seen)
        name, found = f"column {quoted(self.name)}", []
        if missing := new.pop(None, 0):
            found.append(Finding(name, MISSING, missing, len(texts)))
        if new:
            (example, _), *_ = new.most_common(1)
            row = int((read == example).argmax())
            cased = matched([example], known, ignore_case=True).get(example)
            hint = f" (data.ignore_case=true takes it for {quoted(cased)})" if cased else ""
            where = f", such as {quoted(example)} in row {column.raw.row_number(row)}{hint}"
            found.append(Finding(name, "no category of the training", new.total(), len(texts), where))
        return read, found


def means_and_scales(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of each row of values (columns, n), or 1 where that is 0."""
    means, scales = values.mean(axis=1), values.std(axis=1)
    # A constant's rounded mean may differ from it, and its deviation from 0.
    constant = values.min(axis=1) == values.max(axis=1)
    means[constant] = values[constant, 0]
    scales[constant | (scales == 0)] = 1.0  # 0 where the squares of tiny numbers vanish
    return means, scales
