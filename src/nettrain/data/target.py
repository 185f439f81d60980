"""The target column: which task it sets, and its values."""

import numpy as np

from nettrain.data.columns import check_finite, check_mistyped, is_none, numbers, parse, texts
from nettrain.data.files import RawTable
from nettrain.data.wording import place
from nettrain.errors import DataError
from nettrain.wording import counted, listed

TASKS = ("auto", "binary", "multiclass", "regression")
# Whole numbers are classes when there are this few of them and, on average, this many rows of each.
MOST_NUMBERED_CLASSES, ROWS_PER_NUMBERED_CLASS = 20, 5


def read_target(raw: RawTable, name: str, task: str, rows_per_class: int) -> tuple[np.ndarray, str, list[str]]:
    """The target of shape (n,), the task and the class names in index order.

    With `task` "auto", texts, truth values and few whole numbers are classes ("binary" if there are two, else
    "multiclass"), other numbers are for "regression". Classes are sorted by value if they are numbers, else by name.
    Raises `DataError` for missing and infinite values, for a target that does not vary or does not fit the `task`,
    and for a class in fewer than `rows_per_class` rows.
    """
    values, is_text = parse(raw, name)
    _check_complete(raw, name, np.isnan(values) & ~is_text)
    numeric = not is_text.any()
    auto = task == "auto"
    if auto and not numeric:
        check_mistyped(raw, name, values, is_text, "take each text as a class with data.task=multiclass")
    if task == "regression" or (auto and numeric and not _are_labels(values)):
        numbers(raw, name, "correct the cell; for a target of texts data.task=binary or data.task=multiclass fits")
        if (values == values[0]).all():
            raise DataError(f"{place(raw.source, column=name)}: every row has {values[0]:g}; a target has to vary.")
        return values, "regression", []
    if numeric:
        check_finite(raw, name, values)
    labels = texts(raw, name)
    classes = sorted(set(labels), key=float if numeric else str)
    if auto:
        task = "binary" if len(classes) == 2 else "multiclass"
    if numeric and len(classes) > max(MOST_NUMBERED_CLASSES, len(labels) / 2):
        raise DataError(
            f"{place(raw.source, column=name)}: data.task={task} needs classes, and there are {len(classes)} different "
            f"numbers in {len(labels)} rows; data.task=regression fits."
        )
    _check_classes(raw, name, task, classes, labels, rows_per_class, numeric)
    return class_indices(raw, name, classes), task, classes


def class_indices(raw: RawTable, name: str, classes: list[str]) -> np.ndarray:
    """The column's labels as int64 indices into `classes`, shape (n,); `DataError` with row for another label."""
    labels = texts(raw, name)
    index = {label: i for i, label in enumerate(classes)}
    indices = np.array([index.get(label, -1) for label in labels], dtype=np.int64)
    if (indices < 0).any():
        row = int((indices < 0).argmax())
        _check_complete(raw, name, is_none(labels))
        raise raw.mistake(row, name, f"found the label '{labels[row]}'; the model's classes are {listed(classes)}.")
    return indices


def target_numbers(raw: RawTable, name: str) -> np.ndarray:
    """The column of a regression target, float64 of shape (n,); `DataError` with row for anything but a number."""
    values = numbers(raw, name)
    _check_complete(raw, name, np.isnan(values))
    return values


def _are_labels(values: np.ndarray) -> bool:
    different = len(np.unique(values))
    whole = bool((values == np.round(values)).all())
    few = different <= min(MOST_NUMBERED_CLASSES, len(values) / ROWS_PER_NUMBERED_CLASS)
    return whole and (different == 2 or few)


def _check_complete(raw: RawTable, name: str, missing: np.ndarray) -> None:
    if missing.any():
        row = int(missing.argmax())
        sentence = f"the target is missing (in {missing.sum()} of {len(missing)} rows); fill it in or delete the row."
        raise raw.mistake(row, name, sentence)


def _check_classes(
    raw: RawTable, name: str, task: str, classes: list[str], labels: np.ndarray, rows_per_class: int, numeric: bool
) -> None:
    numbers = ", or take the target as numbers with data.task=regression" if numeric else ""
    where = place(raw.source, column=name)
    if len(classes) == 1:
        raise DataError(f"{where}: every row has the label '{classes[0]}'; a classifier needs two classes.")
    if task == "binary" and len(classes) > 2:
        raise DataError(
            f"{where}: data.task=binary needs two classes, and there are {len(classes)} ({listed(classes)}); "
            "data.task=multiclass fits."
        )
    names, counts = np.unique(labels.astype(str), return_counts=True)
    rare = counts < rows_per_class
    if rare.any():
        label, count = names[rare][0], counts[rare][0]
        sentence = (
            f"the label '{label}' stands in {counted(count, 'row')}, and {rows_per_class} are needed, one for each "
            f"split ({rare.sum()} of {len(classes)} classes have fewer); correct the label, or delete its "
            f"rows{numbers}."
        )
        raise raw.mistake(int((labels == label).argmax()), name, sentence)
