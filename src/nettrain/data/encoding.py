"""`Encoder`: what turns a table into the numbers that a network sees, learnt from the training rows alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nettrain.data.columns import numbers, texts
from nettrain.data.files import TableLike, open_table
from nettrain.data.table import Table
from nettrain.data.target import class_indices, target_numbers
from nettrain.data.wording import place
from nettrain.errors import DataError


@dataclass
class Numeric:
    """A column of numbers: missing ones become the `median`, then `(value - mean) / scale`.

    With `indicator` a second feature is 1 where the number is missing, else 0.
    """

    name: str
    median: float
    mean: float
    scale: float
    indicator: bool

    @classmethod
    def fit(cls, names: Sequence[str], values: np.ndarray, standardize: bool) -> list["Numeric"]:
        """All columns of numbers at once, values (columns, n)."""
        missing = np.isnan(values)
        medians = np.median(values, axis=1)
        for i in np.flatnonzero(missing.any(axis=1)):
            known = values[i, ~missing[i]]
            medians[i] = np.median(known) if known.size else 0.0
        means, scales = np.zeros(len(names)), np.ones(len(names))
        if standardize:
            means, scales = _means_and_scales(np.where(missing, medians[:, None], values))
        fitted = [medians, means, scales, missing.any(axis=1)]
        return [cls(*column) for column in zip(names, *(numbers.tolist() for numbers in fitted), strict=True)]

    @property
    def feature_names(self) -> list[str]:
        return [self.name, f"{self.name} missing"] if self.indicator else [self.name]

    def features(self, values: np.ndarray) -> np.ndarray:
        missing = np.isnan(values)
        scaled = (np.where(missing, self.median, values) - self.mean) / self.scale
        return np.stack([scaled, missing], axis=1) if self.indicator else scaled[:, None]


@dataclass
class Categorical:
    """A column of categories, one 0/1 feature for each; all are 0 for a category that was not seen in training.

    None among the `categories` is the missing value.
    """

    name: str
    categories: list[str | None]

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> "Categorical":
        seen = set(values)
        return cls(name, [*sorted(seen - {None}), *(seen & {None})])

    @property
    def feature_names(self) -> list[str]:
        return [f"{self.name} missing" if text is None else f"{self.name}={text}" for text in self.categories]

    def features(self, values: np.ndarray) -> np.ndarray:
        position = {category: i for i, category in enumerate(self.categories)}
        codes = np.array([position.get(value, -1) for value in values], dtype=np.int64)
        one_hot = np.zeros((len(values), len(self.categories)))
        known = np.flatnonzero(codes >= 0)
        one_hot[known, codes[known]] = 1.0
        return one_hot


@dataclass
class Encoder:
    """Features and target of a table, as `fit` learnt them from its training rows.

    `task`, `target_name` and `classes` are the table's. A regression target is `(y - target_mean) / target_scale`
    (0 and 1 for the other tasks).
    """

    columns: list[Numeric | Categorical]
    task: str
    target_name: str
    classes: list[str]
    target_mean: float
    target_scale: float

    @classmethod
    def fit(cls, table: Table, rows: np.ndarray, standardize: bool) -> "Encoder":
        """Learn from the `rows` (indices) of `table`; without `standardize` numbers keep their scale."""
        values = {name: column[rows] for name, column in table.columns.items()}
        numeric = [name for name, column in values.items() if column.dtype != object]
        columns: dict[str, Numeric | Categorical] = {
            name: Categorical.fit(name, column) for name, column in values.items() if column.dtype == object
        }
        if numeric:
            fitted = Numeric.fit(numeric, np.stack([values[name] for name in numeric]).astype(float), standardize)
            columns |= {column.name: column for column in fitted}
        mean, scale = 0.0, 1.0
        if table.task == "regression" and standardize and table.target is not None:
            means, scales = _means_and_scales(table.target[None, rows])
            mean, scale = float(means[0]), float(scales[0])
        ordered = [columns[name] for name in values]
        return cls(ordered, table.task, table.target_name, table.classes, mean, scale)

    @property
    def feature_names(self) -> list[str]:
        """The names of the D features: the column's, `column=category` and `column missing`."""
        return [name for column in self.columns for name in column.feature_names]

    def features(self, table: Table) -> np.ndarray:
        """The features of each row, float64 of shape (n, D); `DataError` where a column is not in `table`."""
        for column in self.columns:
            if column.name not in table.columns:
                raise DataError(f"{place(table.source, column=column.name)}: the model needs it, and it is not there.")
        return np.concatenate([column.features(table.columns[column.name]) for column in self.columns], axis=1)

    def encode_target(self, target: np.ndarray) -> np.ndarray:
        """A `Table.target` of shape (n,) as the network sees it: class indices, or standardised numbers."""
        return (target - self.target_mean) / self.target_scale if self.task == "regression" else target

    def read(self, table: TableLike, with_target: bool = False) -> Table:
        """A new table (a path or a pandas DataFrame) as the kind of table that the model was trained on.

        Columns are found by name; others are ignored. The target is read only `with_target`, and must be there
        then. Raises `DataError` with row and column for a missing column, a text where a number is needed,
        and a missing or unknown label.
        """
        raw = open_table(table)
        columns = {}
        for column in self.columns:
            raw.need(column.name, "which the model was trained with")
            columns[column.name] = (numbers if isinstance(column, Numeric) else texts)(raw, column.name)
        target = None
        if with_target:
            raw.need(self.target_name, "which is the target")
            regression = self.task == "regression"
            target = (
                target_numbers(raw, self.target_name)
                if regression
                else class_indices(raw, self.target_name, self.classes)
            )
        return Table(columns, target, self.target_name, self.task, self.classes, raw.source, raw.notes)

    @cached_property
    def state(self) -> str:
        """Everything, as JSON, which keeps it exactly."""
        return json.dumps({**vars(self), "columns": [vars(column) for column in self.columns]})

    @classmethod
    def from_state(cls, state: str) -> "Encoder":
        """The encoder whose `state` this was."""
        content = json.loads(state)
        columns = [(Categorical if "categories" in column else Numeric)(**column) for column in content["columns"]]
        return cls(**{**content, "columns": columns})


def _means_and_scales(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of each row of values (columns, n), or 1 where that is 0."""
    means, scales = values.mean(axis=1), values.std(axis=1)
    # A constant's rounded mean may differ from it, and its deviation from 0.
    constant = values.min(axis=1) == values.max(axis=1)
    means[constant] = values[constant, 0]
    scales[constant | (scales == 0)] = 1.0  # 0 where the squares of tiny numbers vanish
    return means, scales
