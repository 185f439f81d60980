"""What a column of a new table is: numbers, categories, of no use, or a mistake; and the notes on what was decided."""

import re
from collections import Counter

import numpy as np

from nettrain.data.columns import Column, is_none
from nettrain.data.moments import DAY_FIRST, Moments, find_moments, no_moment, written
from nettrain.data.number_options import ENCODINGS
from nettrain.data.table import ColumnSummary
from nettrain.data.wording import as_kind, brief, override, quoted, share
from nettrain.errors import DataError
from nettrain.wording import counted, listed

# float32, in which networks are trained, ends at 3.4e38.
LARGEST = 1e37
# Dates are categories when there are this few of them and, on average, this many rows of each.
FEW_DATES, ROWS_PER_DATE = 10, 5
EXACT = 2**53  # to which float64 has all whole numbers
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


def infer(column: Column) -> tuple[str, np.ndarray, str]:
    """What a column is, its values, and the order of days and months in it.

    A number (see `numbers`) or a date (see `Moments`) where nearly all of its cells are, unless there are few dates,
    else a category (`Column.texts`). Raises `DataError` with row and column where a text among numbers or dates looks
    like a mistake.
    """
    found = column.numbers
    if found.complete:
        check_finite(column, found.values)
        return ("category", column.texts, "") if _are_long(column) else ("number", found.values, "")
    if not found.is_text.any() and not found.markers:
        return "number", found.values, ""  # nothing but missing values
    if np.isnan(found.values).all() and not _are_few(column) and (dates := find_moments(column)):
        return "date", _without_texts(column, dates), dates.order
    keep, drop = override("categorical", column.name), override("drop", column.name)
    check_mistyped(column, f"take the column as categories with {keep}, or leave it out with {drop}")
    return "category", column.texts, ""


def _are_few(column: Column) -> bool:
    """Whether the texts of a column are few, and come often: as dates, too, they are rather names, such as of waves."""
    texts, codes = column.distinct
    return len(texts) <= min(FEW_DATES, (codes < len(texts)).sum() / ROWS_PER_DATE)


def _are_long(column: Column) -> bool:
    """Whether a column holds whole numbers so long that float64 takes several of them for the same."""
    values = column.numbers.values
    known = values[~np.isnan(values)]
    if not (np.abs(known) > EXACT).any() or (known != np.round(known)).any() or not column.is_plain:
        return False
    return len(set(column.texts.tolist()) - {None}) > len(np.unique(known))


def read_as(column: Column, kind: str) -> tuple[str, np.ndarray, str]:
    """The same for a column whose kind somebody has named; `DataError` with row and column where it is no such one."""
    if kind == "number" or kind in ENCODINGS:
        return "number", numbers(column), ""
    if kind != "date":
        return kind, column.texts, ""
    dates = find_moments(column, digits=True)
    if dates is None:
        raise no_moment(column, np.array([cell is not None for cell in column.cells.to_pylist()]))
    return kind, _without_texts(column, dates), dates.order


def _without_texts(column: Column, dates: Moments) -> np.ndarray:
    """The moments of a column; `DataError` for a text among them."""
    if dates.is_text.any():
        keep, drop = override("categorical", column.name), override("drop", column.name)
        remedy = f"correct the cell, or take the column as categories with {keep}, or leave it out with {drop}"
        raise no_moment(column, dates.is_text, remedy)
    return dates.values


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


def reason_to_leave_out(name: str, values: np.ndarray, kind: str) -> str | None:
    """The note on a column that cannot teach a network anything; None for a column of use."""
    missing = is_none(values) if values.dtype == object else np.isnan(values)
    known = values[~missing]
    if not len(known):
        return f"column {quoted(name)} is empty: left out"
    if len(known) == len(values) and (values == values[0]).all():
        value = quoted(values[0]) if values.dtype == object else f"{values[0]:.15g}"
        value = written(values[0]) if kind == "date" else value
        return f"column {quoted(name)} is {value} in every row: left out"
    if kind not in ("category", "embedding"):
        return None
    different = len(set(known))
    if (different > MANY_CATEGORIES and kind == "category") or (
        different > FEW_CATEGORIES and different > len(known) / 2
    ):
        cells = f"{len(known)} rows" if len(known) == len(values) else f"{len(known)} filled cells"
        keep, hashed = override("categorical", name), as_kind(name, "hash")
        return (
            f"column {quoted(name)} has {different} different texts in {cells}: left out ({keep} keeps it, {hashed} "
            "counts its words)"
        )
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


def notes_on_category(column: Column) -> list[str]:
    """That whole numbers are categories, because they are too long to be told apart as numbers."""
    if not column.numbers.complete:
        return []
    name, number = column.name, as_kind(column.name, "number")
    return [f"column {quoted(name)}: whole numbers too long for float64 are categories ({number} rounds them)"]


def notes_on_dates(name: str, order: str) -> list[str]:
    """How days and months were told apart."""
    if not order:
        return []
    first, other = ("day", "month") if order == DAY_FIRST else ("month", "day")
    return [f"column {quoted(name)}: dates with the {first} first (data.dates={other}_first reads them otherwise)"]


def summary(name: str, kind: str, values: np.ndarray) -> ColumnSummary:
    """What a column was taken for, in a line."""
    missing = is_none(values) if values.dtype == object else np.isnan(values)
    known = values[~missing]
    if not len(known):
        about = ""
    elif values.dtype == object:
        about = counted(len(set(known)), "value") if kind != "hash" else counted(len(set(known)), "text")
    else:
        low, high = known.min(), known.max()
        about = f"{written(low)} to {written(high)}" if kind == "date" else f"{low:.6g} to {high:.6g}"
    return ColumnSummary(name, kind, int(missing.sum()), about)


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
