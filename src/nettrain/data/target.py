"""The target column: which task it sets, and its values."""

from dataclasses import replace

import numpy as np

from nettrain.data.columns import Column, is_none
from nettrain.data.inference import check_finite, check_mistyped, check_unit, notes_on_numbers, numbers
from nettrain.data.matching import matched
from nettrain.data.raw_table import RawTable
from nettrain.data.table import Table
from nettrain.data.wording import brief, nearest, place, quoted
from nettrain.errors import ConfigError, DataError
from nettrain.wording import counted, listed

TASKS = ("auto", "binary", "multiclass", "multilabel", "regression")
# Whole numbers are classes when there are this few of them and, on average, this many rows of each.
MOST_NUMBERED_CLASSES, ROWS_PER_NUMBERED_CLASS = 20, 5


def rows_with_target(raw: RawTable, name: str) -> RawTable:
    """The rows that have a target, with a note on those that have none."""
    missing = missing_target(Column(raw, name))
    if not missing.any():
        return raw
    if missing.all():
        raise DataError(f"{place(raw.source, column=name)}: no row has a target.")
    kept = raw.take(np.flatnonzero(~missing))
    kept.notes.append(f"{missing.sum()} of {len(missing)} rows have no {quoted(name)}: left out")
    return kept


def read_target(column: Column, task: str, rows_per_class: int) -> tuple[np.ndarray, str, list[str], list[str]]:
    """The target of shape (n,), the task, the class names in index order, and notes.

    With `task` "auto", texts, truth values and few whole numbers are classes ("binary" if there are two, else
    "multiclass"), other numbers are for "regression". Classes are sorted by value if they are numbers, else by name.
    Raises `DataError` for missing and infinite values, for a target that does not vary or does not fit the `task`,
    and for a class in fewer than `rows_per_class` rows.
    """
    found, auto, where = column.numbers, task == "auto", place(column.raw.source, column=column.name)
    numeric = found.complete
    check_complete(column, missing_target(column))
    if task == "regression" or (auto and numeric and not _are_labels(column)):
        values = varying_numbers(
            column, "correct the cell; for a target of texts data.task=binary or data.task=multiclass fits"
        )
        return values, "regression", [], notes_on_numbers(column, "data.task=multiclass takes each text as a class")
    if auto:
        check_mistyped(column, "take each text as a class with data.task=multiclass")
    if numeric:
        check_finite(column, found.values)
    labels = column.texts
    classes = sorted(set(labels), key=_by_value if numeric and not found.disguises else str)
    notes = []
    if auto:
        task = "binary" if len(classes) == 2 else "multiclass"
        if numeric and task == "multiclass":
            whole = f"{len(classes)} whole numbers"
            notes = [f"target {quoted(column.name)} has {whole}: taken as classes (or data.task=regression)"]
    if numeric and len(classes) > max(MOST_NUMBERED_CLASSES, len(labels) / 2):
        raise DataError(
            f"{where}: data.task={task} needs classes, and there are {len(classes)} different "
            f"numbers in {len(labels)} rows; data.task=regression fits."
        )
    _check_classes(column, task, classes, labels, rows_per_class, numeric)
    return class_indices(column, classes), task, classes, notes


def varying_numbers(column: Column, remedy: str) -> np.ndarray:
    """The numbers of a target, (n,); `DataError` for a text, and where all are the same."""
    values = numbers(column, remedy)
    if (values == values[0]).all():
        where = place(column.raw.source, column=column.name)
        raise DataError(f"{where}: every row has {values[0]:g}; a target has to vary.")
    return values


def with_positive(table: Table, positive: str | None) -> Table:
    """The table with this class as the positive one, of index 1; None: as it is.

    Raises `ConfigError` for a target that has not two classes, and for a class that it has not.
    """
    if positive is None:
        return table
    if table.task != "binary" or table.target is None:
        raise ConfigError(
            f"data.positive={positive}: the target {quoted(table.target_name)} has {target_in_words(table)}, not two "
            "classes."
        )
    name = matched([positive], table.classes).get(positive)
    if name is None:
        near = nearest(positive, table.classes)
        raise ConfigError(
            f"data.positive={positive}: there is no such class{near}; choose from {listed(table.classes)}."
        )
    if name == table.classes[1]:
        return table
    return replace(table, classes=table.classes[::-1], target=1 - table.target)


def target_in_words(table: Table) -> str:
    """Such as `3 classes`, `numbers` or `labels`."""
    return "labels" if table.task == "multilabel" else f"{len(table.classes)} classes" if table.classes else "numbers"


def with_order(table: Table, order: list[str] | None) -> Table:
    """The table with its classes in this order; None: as it is.

    Raises `ConfigError` for a target of numbers, and for a list that does not name each class once.
    """
    if order is None:
        return table
    if not table.classes or table.targets or table.target is None:
        what = target_in_words(table)
        raise ConfigError(f"data.order={order}: the target {quoted(table.target_name)} has {what}, not classes.")
    names = matched(order, table.classes)
    ordered = [names.get(name, name) for name in order]
    if sorted(ordered) != sorted(table.classes):
        raise ConfigError(f"data.order={order}: it must name each class once: {listed(table.classes, 20)}.")
    position = np.array([ordered.index(name) for name in table.classes])
    return replace(table, classes=ordered, target=position[table.target])


def class_indices(column: Column, classes: list[str]) -> np.ndarray:
    """The column's labels as int64 indices into `classes`, shape (n,); `DataError` with row for another label."""
    labels = column.texts
    check_complete(column, is_none(labels))
    known = matched(set(labels), classes, column.raw.options.ignore_case, labels=True)
    position = {label: i for i, label in enumerate(classes)}
    indices = np.array([position[known[label]] if label in known else -1 for label in labels], dtype=np.int64)
    if (indices < 0).any():
        row = int((indices < 0).argmax())
        names = listed(map(brief, classes))
        raise column.mistake(row, f"found the label {quoted(labels[row])}; the model's classes are {names}.")
    return indices


def target_numbers(column: Column, unit: str) -> np.ndarray:
    """The column of a regression target, float64 of shape (n,); `DataError` with row for anything but a number.

    Numbers with a unit must have that of the training.
    """
    values = numbers(column)
    check_unit(column, unit)
    check_complete(column, np.isnan(values))
    return values


def _by_value(label: str) -> tuple[float, int, str]:
    # Long whole numbers that are alike in float64 differ in their digits.
    return float(label.replace(",", ".")), len(label), label


def _are_labels(column: Column) -> bool:
    """Whether the numbers of a target are names of classes: whole ones, few of them, and no quantities."""
    found = column.numbers
    most = max(2, min(MOST_NUMBERED_CLASSES, len(found.values) / ROWS_PER_NUMBERED_CLASS))
    if found.disguises or (found.values != np.round(found.values)).any() or len(np.unique(found.values)) > most:
        return False
    different = len(set(column.texts))  # two texts may be alike in float64
    return different == 2 or different <= min(MOST_NUMBERED_CLASSES, len(found.values) / ROWS_PER_NUMBERED_CLASS)


def missing_target(column: Column) -> np.ndarray:
    """Which rows have no target: no number where the column holds numbers, else no text."""
    found = column.numbers
    return np.isnan(found.values) if found.complete else is_none(column.texts)


def check_complete(column: Column, missing: np.ndarray) -> None:
    """Raise `DataError` with the first row of those, (n,), that have no target."""
    if missing.any():
        row = int(missing.argmax())
        raw = column.raw.columns[column.name][row].as_py()
        word = raw.strip() if isinstance(raw, str) else ""
        rows = f"(in {missing.sum()} of {len(missing)} rows)"
        leave_out = "leave such rows out with data.drop_missing_target=true"
        if not word:
            raise column.mistake(row, f"the target is missing {rows}; fill it in, or {leave_out}.")
        keep = "" if column.numbers.complete else ", or take the word as a class with data.missing=[]"
        raise column.mistake(
            row, f"found {quoted(word)}, which counts as missing {rows}; fill it in, {leave_out}{keep}."
        )


def _check_classes(
    column: Column, task: str, classes: list[str], labels: np.ndarray, rows_per_class: int, numeric: bool
) -> None:
    as_numbers = ", or take the target as numbers with data.task=regression" if numeric else ""
    where = place(column.raw.source, column=column.name)
    if len(classes) == 1:
        raise DataError(f"{where}: every row has the label {quoted(classes[0])}; a classifier needs two classes.")
    if task == "binary" and len(classes) > 2:
        raise DataError(
            f"{where}: data.task=binary needs two classes, and there are {len(classes)} "
            f"({listed(map(brief, classes))}); data.task=multiclass fits."
        )
    names, counts = np.unique(labels.astype(str), return_counts=True)
    rare = counts < rows_per_class
    if rare.any():
        label, count = names[rare][0], counts[rare][0]
        raise column.mistake(
            int((labels == label).argmax()),
            f"the label {quoted(label)} stands in {counted(count, 'row')}, and {rows_per_class} are needed, one for "
            f"each split ({rare.sum()} of {len(classes)} classes have fewer); correct the label, or delete its "
            f"rows{as_numbers}.",
        )
