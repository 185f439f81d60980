"""`read_table`: a file of somebody's own as a `Table`."""

import os

import numpy as np

from nettrain.data.columns import infer, parse, reason_to_leave_out, texts
from nettrain.data.files import open_table
from nettrain.data.table import Table
from nettrain.data.target import read_target
from nettrain.errors import DataError


def read_table(
    path: str | os.PathLike[str],
    target: str,
    task: str = "auto",
    categorical: list[str] | None = None,
    drop: list[str] | None = None,
    rows_per_class: int = 1,
) -> Table:
    """The table in a CSV file (comma, semicolon, tab or bar) or a Parquet file, with a row of column names.

    Each column but `target` is a feature: numbers if nearly all of its cells are, else categories, and categories
    in any case if `categorical` names it. Columns in `drop`, without a name, without a value, or with hardly
    any text twice (names, dates, free text) are left out; the last three kinds with a sentence in `notes`.
    For `task` and `rows_per_class` see `read_target`. Raises `DataError` for whatever cannot be used.
    """
    categorical = categorical or []
    for option, names in (("drop", drop or []), ("categorical", categorical)):
        if target in names:
            raise DataError(f"{path}: data.{option} names the target '{target}'; it is for the other columns.")
    raw = open_table(path, drop)
    raw.need(target, "which data.target names")
    for name in categorical:
        raw.need(name, "which data.categorical names")
    values, found_task, classes = read_target(raw, target, task, rows_per_class)
    columns: dict[str, np.ndarray] = {}
    notes = list(raw.notes)
    if task == "auto" and found_task == "multiclass" and not parse(raw, target)[1].any():
        notes.append(f"target '{target}' has {len(classes)} whole numbers: taken as classes (or data.task=regression)")
    for name in raw.columns:
        if name == target:
            continue
        if name in categorical:
            columns[name] = texts(raw, name)
            continue
        column = infer(raw, name)
        note = reason_to_leave_out(name, column)
        if note is None:
            columns[name] = column
        else:
            notes.append(note)
    if not columns:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(f"{raw.source}: no column is left to predict '{target}' from{why}; a table needs features.")
    return Table(columns, values, target, found_task, classes, raw.source, notes)
