"""What the cells of one column are: numbers or categories."""

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from nettrain.data.files import RawTable
from nettrain.data.wording import override
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "NULL", "null", "None")
# float32, in which networks are trained, ends at 3.4e38.
LARGEST = 1e37
# A text column is left out when hardly any text comes twice, or when one-hot columns would fill the memory.
FEW_CATEGORIES, MANY_CATEGORIES = 50, 1000


def parse(raw: RawTable, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The column's numbers (float64, NaN where there is none), and which cells hold a text that is no number."""
    import pyarrow as pa
    from pyarrow import compute

    column = raw.column(name)
    if column.type != pa.string():
        return _array(column), np.zeros(len(column), dtype=bool)
    cells = _cells(column)
    try:
        return _array(compute.cast(cells, pa.float64())), np.zeros(len(cells), dtype=bool)
    except pa.ArrowInvalid:
        texts, codes = _distinct(cells)
        numbers = np.array([*map(_number, texts), math.nan])
        is_text = np.isnan(numbers)
        is_text[-1] = False
        return numbers[codes], is_text[codes]


def numbers(raw: RawTable, name: str, remedy: str = "correct the cell") -> np.ndarray:
    """The column as float64 of shape (n,), NaN where a cell is missing.

    Raises `DataError` with row and column for a text, an infinite number and one too large for float32.
    """
    values, is_text = parse(raw, name)
    if is_text.any():
        raise _no_number(raw, name, is_text, remedy)
    check_finite(raw, name, values)
    return values


def check_finite(raw: RawTable, name: str, values: np.ndarray) -> None:
    """Raise `DataError` for the first infinite number, and for one too large for float32."""
    with np.errstate(invalid="ignore"):
        wrong = np.abs(values) > LARGEST
    if wrong.any():
        row = int(wrong.argmax())
        raise raw.mistake(
            row, name, f"found {values[row]:g}; numbers must be finite and below {LARGEST:g}; correct the cell."
        )


def texts(raw: RawTable, name: str) -> np.ndarray:
    """The column as trimmed texts, object of shape (n,), None where a cell is missing.

    A number has its shortest form ("1" for 1.0 and "01"), a truth value is "True" or "False": the same value
    is then the same text, whatever kind of table it comes from.
    """
    import pyarrow as pa

    column = raw.column(name)
    if column.type != pa.string():
        values, inverse = np.unique(_array(column), return_inverse=True)
        shortest = [None if math.isnan(value) else _shortest(value) for value in values.tolist()]
        return np.array(shortest, dtype=object)[inverse]
    distinct, codes = _distinct(_cells(column))
    return np.array([*map(_canonical, distinct), None], dtype=object)[codes]


def is_none(values: np.ndarray) -> np.ndarray:
    """Which elements of an object array are None."""
    return np.array([value is None for value in values], dtype=bool)


def infer(raw: RawTable, name: str) -> np.ndarray:
    """The column as numbers (see `numbers`) where nearly all of its cells are, else as categories (see `texts`).

    Raises `DataError` with row and column where a text among numbers looks like a mistake.
    """
    values, is_text = parse(raw, name)
    if not is_text.any():
        check_finite(raw, name, values)
        return values
    keep, drop = override("categorical", name), override("drop", name)
    check_mistyped(
        raw, name, values, is_text, f"take the column as categories with {keep}, or leave it out with {drop}"
    )
    return texts(raw, name)


def check_mistyped(raw: RawTable, name: str, values: np.ndarray, is_text: np.ndarray, or_else: str) -> None:
    """Raise `DataError` for texts that stand among numbers (`parse`) by mistake; its text ends with `or_else`.

    These are numbers with a decimal comma, and a text in a column of at least 90 % numbers, unless the column looks
    like a few categories such as "3+": 20 different numbers or fewer, and no text that comes once only.
    """
    text = texts(raw, name)
    wrong = Counter(text[is_text])
    known = ~np.isnan(values)
    most = 0.9 * (wrong.total() + known.sum())
    with_comma = [value for value in wrong if re.fullmatch(r"[-+]?\d+(,\d+)+", value)]
    if with_comma and sum(wrong[value] for value in with_comma) + known.sum() >= most:
        row = int((text == with_comma[0]).argmax())
        sentence = f"found '{with_comma[0]}'; write numbers with a decimal point and without thousands separators"
        raise raw.mistake(row, name, f"{sentence}, or {or_else}.")
    few_categories = len(np.unique(values[known])) <= 20 and min(wrong.values()) > 1
    if known.sum() >= most and not few_categories:
        raise _no_number(raw, name, is_text, f"correct the cell, or {or_else}")


def reason_to_leave_out(name: str, values: np.ndarray) -> str | None:
    """The note on a column that cannot teach a network anything; None for a column of use."""
    if values.dtype != object:
        return f"column '{name}' is empty: left out" if np.isnan(values).all() else None
    known = values[~is_none(values)]
    different = len(set(known))
    if different > MANY_CATEGORIES or (different > FEW_CATEGORIES and different > len(known) / 2):
        cells = f"{len(known)} rows" if len(known) == len(values) else f"{len(known)} filled cells"
        keep = override("categorical", name)
        return f"column '{name}' has {different} different texts in {cells}: left out ({keep} keeps it)"
    return None


def _no_number(raw: RawTable, name: str, is_text: np.ndarray, remedy: str) -> DataError:
    row = int(is_text.argmax())
    return raw.mistake(row, name, f"found {raw.column(name)[row].as_py().strip()!r}, which is no number; {remedy}.")


def _cells(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    from pyarrow import compute

    cells = compute.utf8_trim_whitespace(column)
    missing = compute.is_in(cells, value_set=pa.array(MISSING))
    return compute.if_else(missing, pa.scalar(None, pa.string()), cells)


def _distinct(cells: "pa.ChunkedArray") -> tuple[list[str], np.ndarray]:
    """The different texts, and for each cell the position of its own; the number of texts where it is missing."""
    import pyarrow as pa

    encoded = pa.chunked_array(cells, pa.string()).combine_chunks().dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    return distinct, encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)


def _array(column: "pa.ChunkedArray") -> np.ndarray:
    # A copy, since arrow's memory is read-only.
    return np.array(column.to_numpy(), dtype=np.float64)


def _number(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _shortest(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _canonical(text: str) -> str:
    if text.lower() in ("true", "false"):
        return text.capitalize()
    value = _number(text)
    return _shortest(value) if math.isfinite(value) else text
