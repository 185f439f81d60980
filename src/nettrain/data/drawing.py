"""Rows drawn for the splits of a table: by chance, of every class its share, and by the values of a column."""

import numpy as np

from nettrain.data.columns import is_none
from nettrain.data.label_splits import split_labels
from nettrain.data.splits import check_fractions, split
from nettrain.data.table import Table
from nettrain.data.wording import place, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

NAMES = ("train", "val", "test")

Fractions = dict[str, float]
"""The shares of the rows that the validation and the test split are to have, by their names "val" and "test"."""

Rows = dict[str, np.ndarray]
"""The rows of each split, ascending int64 indices by its name."""


def stratified(target: np.ndarray, task: str, fractions: Fractions, seed: int) -> Rows:
    """The rows of each split, which has its share of every class or label."""
    if task == "multilabel":
        return split_labels(target, fractions["val"], fractions["test"], seed)
    return split(target, task, fractions["val"], fractions["test"], seed)


def target_of(table: Table) -> np.ndarray:
    """The target of a table that has one, (n,) or (n, m)."""
    assert table.target is not None
    return table.target


def values_of(table: Table, column: str) -> np.ndarray:
    """The values of the column that decides, (n,), none of which may be missing."""
    values = table.columns.get(column) if table.split_values is None else table.split_values
    if values is None:
        raise DataError(
            f"{table.source}: there is no column {quoted(column)}, which split.column names; the columns are "
            f"{listed(table.columns, 20)}."
        )
    missing = is_none(values) if values.dtype == object else np.isnan(values)
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"{place(table.source, table.row_number(row), column)}: the cell is missing (in {missing.sum()} of "
            f"{len(values)} rows), and split.column needs it; fill it in."
        )
    return values


def groups_of(table: Table, column: str) -> np.ndarray:
    """The number of each row's group, from 0, (n,)."""
    values = values_of(table, column)
    if values.dtype != object:
        return np.unique(values, return_inverse=True)[1]
    numbers = {name: i for i, name in enumerate(sorted(set(values)))}
    return np.array([numbers[name] for name in values])


def completed(rows: Rows, name: str, table: Table, fractions: Fractions, seed: int) -> tuple[Rows, tuple[str, ...]]:
    """With the splits that have no rows drawn from the training rows, as the fractions say; and those that had some.

    Raises `DataError` where the split of this name leaves nothing to train on.
    """
    train = rows["train"]
    if not len(train):
        raise DataError(f"{table.source}: split={name} leaves no row for training.")
    given = tuple(name for name in fractions if len(rows[name]))
    left = {name: 0.0 if name in given else fraction for name, fraction in fractions.items()}
    check_fractions(left["val"], left["test"], len(train))
    drawn = stratified(target_of(table)[train], table.task, left, seed)
    return {name: rows[name] if name in given else train[drawn[name]] for name in NAMES}, given
