"""What a column of a new table is: numbers, categories, of no use, or a mistake; and the notes on what was decided."""

import re
from collections import Counter

import numpy as np

from nettrain.data.columns import Column, is_none
from nettrain.data.wording import brief, override, quoted, share
from nettrain.errors import DataError
from nettrain.wording import listed

# float32, in which networks are trained, ends at 3.4e38.
LARGEST = 1e37
# A text column is left out when hardly any text comes twice, or when one-hot columns would fill the memory.
FEW_CATEGORIES, MANY_CATEGORIES = 50, 1000


def numbers(column: Column, remedy: str = "correct the cell") -> np.ndarray:
    """The column as float64 of shape (n,), NaN where a cell is missing.

    Raises `DataError` with row and column for a text, an infinite number and one too large for float32.
    """
    found = column.numbers
    if found.is_text.any():
        raise no_number(column, found.is_text, remedy)
    check_finite(column, found.values)
    return found.values


def check_finite(column: Column, values: np.ndarray) -> None:
    """Raise `DataError` for the first infinite number, and for one too large for float32."""
    with np.errstate(invalid="ignore"):
        wrong = np.abs(values) > LARGEST
    if wrong.any():
        row = int(wrong.argmax())
        raise column.mistake(
            row, f"found {values[row]:g}; numbers must be finite and below {LARGEST:g}; correct the cell."
        )


def check_unit(column: Column, unit: str) -> None:
    """Raise `DataError` for numbers that stand beside another unit (`%`, a currency) than those of the training."""
    found = column.numbers
    if found.unit and found.unit != unit:
        text = next(text for text, number in found.disguises.items() if number.unit)
        had = f"the unit {quoted(unit)}" if unit else "no unit"
        raise column.mistake(
            column.row_of(text), f"found {quoted(text)}, where training had {had}; convert the column."
        )


def infer(column: Column) -> np.ndarray:
    """The column as numbers (see `numbers`) where nearly all of its cells are, else as categories (`Column.texts`).

    Raises `DataError` with row and column where a text among numbers looks like a mistake.
    """
    found = column.numbers
    if found.complete:
        check_finite(column, found.values)
        return found.values
    if not found.is_text.any() and not found.markers:
        return found.values  # nothing but missing values
    keep, drop = override("categorical", column.name), override("drop", column.name)
    check_mistyped(column, f"take the column as categories with {keep}, or leave it out with {drop}")
    return column.texts


def check_mistyped(column: Column, or_else: str) -> None:
    """Raise `DataError` for texts that stand among numbers by mistake; its text ends with `or_else`.

    These are numbers with a decimal comma, and a text in a column of at least 90 % numbers, unless the column looks
    like a few categories such as "3+": 20 different numbers or fewer, and no text that comes once only.
    """
    found = column.numbers
    if not found.is_text.any():
        return
    text = column.texts
    wrong = Counter(text[found.is_text])
    known = ~np.isnan(found.values)
    most = 0.9 * (wrong.total() + known.sum())
    with_comma = [value for value in wrong if column.decimal == "." and re.fullmatch(r"[-+]?\d+(,\d+)+", value)]
    if with_comma and sum(wrong[value] for value in with_comma) + known.sum() >= most:
        row = int((text == with_comma[0]).argmax())
        raise column.mistake(
            row,
            f"found {quoted(with_comma[0])}; write numbers with a decimal point and without thousands separators, read "
            f"decimal commas with data.decimal=comma, or {or_else}.",
        )
    few_categories = len(np.unique(found.values[known])) <= 20 and min(wrong.values()) > 1
    if known.sum() >= most and not few_categories:
        raise no_number(column, found.is_text, f"correct the cell, or {or_else}")


def no_number(column: Column, is_text: np.ndarray, remedy: str) -> DataError:
    """The error for the first text."""
    row = int(is_text.argmax())
    text = column.text(row)
    if column.decimal == "." and re.fullmatch(r"[-+]?\d+,\d+", text):
        remedy += ", or read decimal commas with data.decimal=comma"
    return column.mistake(row, f"found {quoted(text)}, which is no number; {remedy}.")


def reason_to_leave_out(name: str, values: np.ndarray) -> str | None:
    """The note on a column that cannot teach a network anything; None for a column of use."""
    missing = is_none(values) if values.dtype == object else np.isnan(values)
    known = values[~missing]
    if not len(known):
        return f"column {quoted(name)} is empty: left out"
    if len(known) == len(values) and (values == values[0]).all():
        value = f"{values[0]:.15g}" if values.dtype != object else quoted(values[0])
        return f"column {quoted(name)} is {value} in every row: left out"
    if values.dtype != object:
        return None
    different = len(set(known))
    if different > MANY_CATEGORIES or (different > FEW_CATEGORIES and different > len(known) / 2):
        cells = f"{len(known)} rows" if len(known) == len(values) else f"{len(known)} filled cells"
        keep = override("categorical", name)
        return f"column {quoted(name)} has {different} different texts in {cells}: left out ({keep} keeps it)"
    return None


def notes_on_numbers(column: Column, opposite: str) -> list[str]:
    """What was read as a number, or as a missing one, although it is not written so; `opposite` keeps the texts."""
    found, name = column.numbers, f"column {quoted(column.name)}"
    as_numbers = {text: number.value for text, number in list(found.disguises.items())[:1]}
    if column.padded:
        as_numbers[column.padded] = int(column.padded)
    notes = [f"{name}: {quoted(t)} is read as the number {value:.15g} ({opposite})" for t, value in as_numbers.items()]
    if found.markers:
        cells = share(sum(found.markers.values()), len(found.values))
        notes.append(f"{name}: {listed(map(quoted, found.markers), 5)} in {cells} counts as missing ({opposite})")
    return notes


def note_on_missing_words(columns: list[Column]) -> list[str]:
    """Which words were taken for missing, and in which columns."""
    where: dict[str, list[str]] = {}
    for column in columns:
        for word in column.words_for_missing:
            where.setdefault(word, []).append(brief(column.name))
    if not where:
        return []
    words = "; ".join(f"{quoted(word)} in {listed(names, 3)}" for word, names in where.items())
    return [f"words that count as missing: {words} (data.missing=[] keeps them as texts)"]
