"""`fit_columns`: what each column of a table becomes, learnt from the training rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nettrain.data.encoded_columns import Categorical, Numeric
from nettrain.data.encoded_dates import Dates
from nettrain.data.encoded_ids import Embedded
from nettrain.data.encoded_numbers import Piecewise, Quantile, Robust, encoded
from nettrain.data.encoded_words import HashedWords
from nettrain.data.images import ImageFormat
from nettrain.data.number_options import ENCODINGS, NumberOptions
from nettrain.data.table import Table
from nettrain.data.tensor_columns import TensorColumn

Scalars = Numeric | Categorical | Dates | HashedWords
EncodedColumn = Scalars | TensorColumn
NUMBERS_AT_ONCE = 1 << 21  # of which a copy is made while their statistics are learnt


def fit_columns(table: Table, rows: np.ndarray, standardize: bool, options: NumberOptions) -> list[EncodedColumn]:
    """The columns as the `rows` (indices) of the table have them; see `Encoder.fit`."""
    scalars = {name: column for name, column in table.columns.items() if column.ndim == 1}
    encodings = {name: kind for name, kind in table.kinds.items() if kind in ENCODINGS}
    numeric = [n for n, c in scalars.items() if c.dtype != object and (n in encodings or n not in table.kinds)]
    columns: dict[str, EncodedColumn] = {
        name: _fit_column(table, name, column[rows], standardize)
        for name, column in scalars.items()
        if name not in numeric
    }
    fitted, size = list[Numeric](), max(1, NUMBERS_AT_ONCE // len(rows))
    for names in (numeric[start : start + size] for start in range(0, len(numeric), size)):
        values = np.stack([scalars[name][rows] for name in names]).astype(float, copy=False)
        fitted += Numeric.fit(names, values, standardize)
    if numeric:
        options.require_scaling(standardize, encodings)
        of_rows = (scalars[name][rows].astype(float) for name in numeric)
        of_all = (scalars[name].astype(float, copy=False) for name in numeric)
        target = None if table.target is None else table.target[rows]
        fitted = encoded(fitted, encodings, of_rows, of_all, options, target, table.task)
        columns |= {column.name: column for column in fitted}
    for name, column in table.columns.items():
        if column.ndim > 1:
            columns[name] = tensor = TensorColumn.fit(name, column, rows, standardize, table.vocabulary)
            tensor.image = table.images.get(name)
    return ids_last([columns[name] for name in table.columns])


def ids_last(columns: Sequence[EncodedColumn]) -> list[EncodedColumn]:
    """The columns in their order, those of ids behind the others, where a model looks for them."""
    return sorted(columns, key=lambda column: isinstance(column, Embedded))


def _fit_column(table: Table, name: str, values: np.ndarray, standardize: bool) -> EncodedColumn:
    """A column of dates or texts as its training rows have it."""
    kind = table.kinds.get(name)
    if kind == "embedding":
        return Embedded.of(name, Counter(values), len(set(table.columns[name])))
    if kind == "date":
        return Dates.fit(name, values, table.date_orders[name], standardize)
    return HashedWords.fit(name, values, table.hash_features) if kind == "hash" else Categorical.fit(name, values)


def column_of(state: dict[str, Any]) -> EncodedColumn:
    """The column whose fields these were."""
    if "shape" in state:
        return TensorColumn(**{**state, "image": state["image"] and ImageFormat(**state["image"])})
    marks = {"categories": Categorical, "parts": Dates, "buckets": HashedWords}
    marks = {"vocabulary": Embedded, **marks}
    marks |= {"edges": Piecewise, "quantiles": Quantile, "clip": Robust}
    kind: type[Any] = next((kind for mark, kind in marks.items() if mark in state), Numeric)
    column: EncodedColumn = kind(**state)
    return column
