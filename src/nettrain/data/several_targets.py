"""Several target columns: numbers, or labels each of which is there (1) or not (0)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.inference import notes_on_numbers
from nettrain.data.target import check_complete, missing_target, target_numbers, varying_numbers
from nettrain.data.values import normalized, truth
from nettrain.data.wording import brief, place, quoted
from nettrain.errors import ConfigError, DataError
from nettrain.wording import listed

LABEL = ["0", "1"]  # the classes of each label
MULTILABEL = "multilabel"  # the task of several labels


def target_names(asked: Any) -> list[str]:
    """The columns that `data.target` names, one by its name or several in a list; `ConfigError` for anything else."""
    several = [asked] if not isinstance(asked, list | tuple) else list(asked)
    names = [normalized(str(name)) for name in several]
    if not names or not all(isinstance(name, str | int | float) for name in several):
        raise ConfigError(f"data.target={asked}: it must be the name of a column, or a list of such, [a,b].")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ConfigError(f"data.target=[{listed(names)}]: it names {quoted(twice)} twice; name it once.")
    return names


def read_targets(columns: Sequence[Column], task: str) -> tuple[np.ndarray, str, list[str], list[str]]:
    """As `read_target` of several columns: targets of shape (n, m), the task, the classes of each and notes.

    With `task` "auto" columns of 0 and 1, or of truth values, are labels ("multilabel"), and other numbers are for
    "regression". Raises `DataError` for a missing cell, for one that does not vary, and for columns of both kinds;
    `ConfigError` for a `task` of one target alone.
    """
    source, names = columns[0].raw.source, [column.name for column in columns]
    for column in columns:
        check_complete(column, missing_target(column))
    if task == "auto":
        task = _task(columns)
        if task == MULTILABEL and (np.stack([labels(column) for column in columns]).sum(0) == 1).all():
            raise DataError(
                f"{source}: in every row exactly one of the targets {listed(names, 5)} is 1, as where they are the "
                "classes of one target; make one column of classes (argmax(1) does of an array), or take them as "
                "labels with data.task=multilabel."
            )
    if task == "regression":
        numbers = [varying_numbers(column, "correct the cell") for column in columns]
        notes = [note for column in columns for note in notes_on_numbers(column, "correct it where it is none")]
        return np.stack(numbers, axis=1), task, [], notes
    if task != MULTILABEL:
        raise ConfigError(
            f"data.task={task}: there are {len(names)} targets, {listed(names, 5)}; several are labels of 0 and 1, "
            "data.task=multilabel, or numbers, data.task=regression."
        )
    of_each = [labels(column) for column in columns]
    for name, there in zip(names, of_each, strict=True):
        if (there == there[0]).all():
            raise DataError(
                f"{place(source, column=name)}: every row has {there[0]}, so that nothing can be learnt of this label; "
                "leave it out of data.target."
            )
    return np.stack(of_each, axis=1), MULTILABEL, LABEL, []


def labels(column: Column) -> np.ndarray:
    """A column of a label as int64 of shape (n,), 1 where it is there; `DataError` with row for anything else."""
    texts, codes = column.distinct
    check_complete(column, codes == len(texts))
    there = [truth(text) for text in texts]
    if None in there:
        wrong = there.index(None)
        raise column.mistake(
            int((codes == wrong).argmax()),
            f"found {quoted(texts[wrong])}; a label is 1 in the rows that have it, and 0 in the others.",
        )
    return np.array(there, dtype=np.int64)[codes]


def read_label_sets(column: Column, separator: str) -> tuple[np.ndarray, list[str]]:
    """A column whose cells list labels, as targets (n, m) of 0 and 1, and the m labels, sorted by name.

    A cell is a list of texts, or a text in which a `separator` stands between labels; an empty one has none. Raises
    `DataError` for a column without labels, and for a label in every row.
    """
    if not separator:
        raise ConfigError("data.label_separator=: it must be a sign, such as data.label_separator=';'.")
    if not _holds_lists(column) and column.cells.null_count < column.raw.rows and column.numbers.complete:
        raise ConfigError(
            f"data.task=multilabel: the one target, {quoted(column.name)}, has numbers; name a column of 0 and 1 for "
            "each label, data.target=[a,b], or one of texts such as a;b."
        )
    sets = _sets(column, separator)
    found = sorted({label for labels_of_row in sets for label in labels_of_row})
    where = place(column.raw.source, column=column.name)
    if not found:
        raise DataError(f"{where}: no row has a label; data.task=multilabel needs cells such as a{separator}b.")
    values = label_sets(column, separator, found)
    if always := [name for name, there in zip(found, values.T, strict=True) if there.all()]:
        raise DataError(f"{where}: every row has the label {quoted(always[0])}, so that nothing can be learnt of it.")
    return values, found


def label_sets(column: Column, separator: str, known: Sequence[str]) -> np.ndarray:
    """Which of the `known` labels each cell lists, int64 (n, m); `DataError` with row for another one."""
    position = {label: i for i, label in enumerate(known)}
    values = np.zeros((column.raw.rows, len(known)), dtype=np.int64)
    for row, labels_of_row in enumerate(_sets(column, separator)):
        for label in labels_of_row:
            if label not in position:
                raise column.mistake(
                    row, f"found the label {quoted(label)}; the model's labels are {listed(map(brief, known))}."
                )
            values[row, position[label]] = 1
    return values


def _sets(column: Column, separator: str) -> list[list[str]]:
    """The labels in each cell."""
    cells = column.raw.columns[column.name]
    if _holds_lists(column):
        lists = [
            [] if cell is None else [str(label) for label in cell if label is not None] for cell in cells.to_pylist()
        ]
    else:
        lists = [[] if cell is None else cell.split(separator) for cell in column.cells.cast("string").to_pylist()]
    return [[name for label in cell if (name := normalized(label.strip()))] for cell in lists]


def _holds_lists(column: Column) -> bool:
    from pyarrow import types

    kind = column.raw.columns[column.name].type
    return types.is_list(kind) or types.is_large_list(kind)


def new_targets(columns: Sequence[Column], task: str, units: Sequence[str]) -> np.ndarray:
    """The targets (n, m) of a new table; `DataError` with row for a cell that is none."""
    if task == MULTILABEL:
        return np.stack([labels(column) for column in columns], axis=1)
    return np.stack([target_numbers(column, unit) for column, unit in zip(columns, units, strict=True)], axis=1)


def _task(columns: Sequence[Column]) -> str:
    """What several columns are: labels or numbers."""
    are_labels = [None not in map(truth, column.distinct[0]) for column in columns]
    if all(are_labels):
        return MULTILABEL
    for column, is_label in zip(columns, are_labels, strict=True):
        if not is_label and not column.numbers.complete:
            row = int(column.numbers.is_text.argmax())
            raise column.mistake(
                row,
                f"found {quoted(column.text(row))}; several targets are all numbers, or all labels of 0 and 1; a "
                "column of classes is a target by itself.",
            )
    if any(are_labels):
        label, number = (columns[are_labels.index(value)].name for value in (True, False))
        raise DataError(
            f"{columns[0].raw.source}: the target {quoted(label)} is a label, with two truth values alone, and "
            f"{quoted(number)} has numbers; train labels and numbers in two runs, or take all as numbers with "
            "data.task=regression."
        )
    return "regression"
