"""`read_table`: a file of somebody's own as a `Table`."""

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.inference import infer, note_on_missing_words, notes_on_numbers, reason_to_leave_out
from nettrain.data.opening import TableLike, open_table, table_name
from nettrain.data.read_options import ReadOptions
from nettrain.data.screening import leaks, nearly_constant
from nettrain.data.table import Table
from nettrain.data.target import read_target, rows_with_target
from nettrain.data.values import normalized
from nettrain.data.weights import read_weights
from nettrain.data.wording import override, quoted
from nettrain.errors import DataError


def read_table(
    table: TableLike,
    target: str,
    task: str = "auto",
    categorical: list[str] | None = None,
    drop: list[str] | None = None,
    rows_per_class: int = 1,
    options: ReadOptions | None = None,
    weight: str | None = None,
) -> Table:
    """The table in a text file (comma, semicolon, tab, bar or blanks), a Parquet or an Excel file, or a DataFrame.

    Each column but `target` is a feature: numbers if nearly all of its cells are, else categories, and categories
    in any case if `categorical` names it. Columns in `drop`, without a name, without a value, with the same value in
    every row, with hardly any text twice (names, dates, free text), and pandas' index are left out; all but the first
    with a sentence in `notes`, which also say what was read in a way that somebody may want otherwise.
    For `task` and `rows_per_class` see `read_target`. The column `weight` says how much each row counts.
    Raises `DataError` for whatever cannot be used.
    """
    target = normalized(target)
    categorical, drop = ([normalized(name) for name in names or []] for names in (categorical, drop))
    weight = normalized(weight) if weight is not None else None
    if weight == target:
        raise DataError(
            f"{table_name(table)}: data.weight names the target {quoted(target)}; it is for another column."
        )
    for option, names in (("drop", drop), ("categorical", categorical)):
        if target in names:
            raise DataError(
                f"{table_name(table)}: data.{option} names the target {quoted(target)}; it is for the other columns."
            )
    raw = open_table(table, options).without(drop)
    raw.need(target, "which data.target names")
    if target in raw.repeated:
        raise DataError(
            f"{raw.source}: several columns are called {quoted(target)}, which data.target names; rename or delete the "
            "others."
        )
    for name in categorical:
        raw.need(name, "which data.categorical names")
    if weight is not None:
        raw.need(weight, "which data.weight names")
    if raw.options.drop_missing_target:
        raw = rows_with_target(raw, target)
    weights = read_weights(Column(raw, weight)) if weight is not None else None
    target_column = Column(raw, target)
    values, found_task, classes, notes_on_target = read_target(target_column, task, rows_per_class)
    notes = [*raw.notes, *([raw.doubt] if raw.doubt else []), *notes_on_target]
    read, columns = [target_column], dict[str, np.ndarray]()
    units = {target: target_column.numbers.unit} if found_task == "regression" else {}
    for name in raw.columns:
        if name in (target, weight):
            continue
        column, keep = Column(raw, name), override("categorical", name)
        if name in categorical:
            columns[name] = column.texts
        elif name in raw.index:
            notes.append(f"column {quoted(name)} is the index of a pandas table: left out ({keep} keeps it)")
            continue
        else:
            cells = infer(column)
            note = reason_to_leave_out(name, cells)
            if note:
                notes.append(note)
                continue
            columns[name] = cells
            if cells.dtype != object:
                units[name] = column.numbers.unit
                notes += notes_on_numbers(column, f"{keep} keeps the texts")
        read.append(column)
    if not columns:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(
            f"{raw.source}: no column is left to predict {quoted(target)} from{why}; a table needs features."
        )
    units = {name: unit for name, unit in units.items() if unit}
    read_in = Table(
        columns, values, target, found_task, classes, raw.source, notes, [], units, raw.options, raw.row_number
    )
    read_in.weights, read_in.weight_name = weights, weight or ""
    notes += [*note_on_missing_words(read), *nearly_constant(read_in), *leaks(read_in)]
    return read_in
