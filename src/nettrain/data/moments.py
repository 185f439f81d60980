"""Dates and times as people write them, as seconds since 1970."""

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.wording import override, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

DAY_FIRST, MONTH_FIRST = "day_first", "month_first"
_EPOCH = datetime(1970, 1, 1)
_NAMES = ["january", "february", "march", "april", "may", "june", "july", "august"]
_NAMES += ["september", "october", "november", "december"]
_CLOCK = (
    r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: ?(?P<zone>Z|UTC|[-+]\d\d(?::?\d\d)?))?"
)
_DATE = (
    r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)"
    r"|(?P<one>\d\d?)(?P<sign>[-/.])(?P<two>\d\d?)(?P=sign)(?P<last>\d{4})"
    r"|(?P<d1>\d\d?)\.?[ -](?P<m1>[A-Za-z]{3,9})\.?,?[ -](?P<y1>\d{4})"
    r"|(?P<m2>[A-Za-z]{3,9})\.? (?P<d2>\d\d?),? (?P<y2>\d{4})"
    r"|(?P<digits>\d{8})"
)
_MOMENT = re.compile(rf"(?:{_DATE})(?:(?:T|,? ){_CLOCK})?", re.ASCII)


class Moments(NamedTuple):
    """The moments of a column: seconds since 1970 in float64, (n,), NaN where a cell is missing or is no moment.

    `is_text` says where it is a text that is none; `order` is that of days and months in texts such as 3/4/2024, empty
    where there are none. A moment with an offset from UTC is taken in UTC, any other as the clock showed it.
    """

    values: np.ndarray
    is_text: np.ndarray
    order: str = ""


def find_moments(column: Column, learnt: str = "", digits: bool = False) -> Moments | None:
    """The moments of a column, most of whose cells must be some; None for any other column.

    `data.dates` decides about 3/4/2024; if it is auto the order that was `learnt`, else what a number above 12 shows.
    With dots, 3.4.2024, the day is always first, and the year may be first with any sign. With `digits` 20240131 is
    a date, too. Raises `DataError` where nothing shows the order.
    """
    texts, codes = column.distinct
    if fast := _in_iso(column):
        return fast
    matches = [_MOMENT.fullmatch(text) for text in texts]
    matches = [match if match and (digits or not match["digits"]) else None for match in matches]
    counts = np.bincount(codes, minlength=len(texts))[: len(texts)]
    there = sum(count for match, count in zip(matches, counts, strict=True) if match)
    if not there or there < 0.9 * counts.sum():
        return None
    unclear = [match for match in matches if match and match["one"] and match["sign"] != "."]
    chosen = _order(column, unclear, learnt) if unclear else ""
    seconds = [_seconds(match, chosen != MONTH_FIRST) if match else math.nan for match in matches]
    values = np.array([*seconds, math.nan])[codes]
    return Moments(values, np.isnan(values) & (codes < len(texts)), chosen)


def moments(column: Column) -> np.ndarray:
    """A column that says when, float64 of shape (n,): its numbers, or the seconds of its moments; NaN where missing.

    Raises `DataError` with row and column for a cell that says no such thing.
    """
    if column.numbers.complete:
        return column.numbers.values
    found = find_moments(column, digits=True)
    if found is None or found.is_text.any():
        is_text = column.numbers.is_text if found is None else found.is_text
        others = (Column(column.raw, name) for name in column.raw.columns if name != column.name)
        could = listed([quoted(other.name) for other in others if _says_when(other)])
        raise no_moment(
            column, is_text, f"correct the cell, or name a column that does: {could}" if could else "correct the cell"
        )
    return found.values


def _says_when(column: Column) -> bool:
    """Whether all cells of a column are numbers or moments, as far as they are there."""
    import pyarrow as pa

    if pa.types.is_nested(column.raw.columns[column.name].type):
        return False
    try:
        found = None if column.numbers.complete else find_moments(column, digits=True)
        return column.numbers.complete or (found is not None and not found.is_text.any())
    except DataError:
        return False


def no_moment(column: Column, is_text: np.ndarray, remedy: str = "correct the cell") -> DataError:
    """The error for the first text that is no moment."""
    row = int(is_text.argmax())
    return column.mistake(
        row, f"found {quoted(column.text(row))}, which is no date or time, such as 2024-01-31 14:30; {remedy}."
    )


def written(seconds: float) -> str:
    """A moment as text, a date where it is midnight."""
    time = _EPOCH + timedelta(seconds=round(seconds))
    return time.date().isoformat() if time.time().isoformat() == "00:00:00" else time.isoformat(" ")


def _in_iso(column: Column) -> Moments | None:
    """The moments of a column that is ISO 8601 throughout, without offsets; None for any other."""
    import pyarrow as pa
    from pyarrow import compute

    if column.cells.type != pa.string() or column.cells.null_count == len(column.cells):
        return None
    try:
        ticks = compute.cast(column.cells, pa.timestamp("us"))
    except pa.ArrowInvalid:
        return None
    values = compute.cast(ticks, pa.int64()).to_numpy().astype(np.float64) / 1e6
    return Moments(values, np.zeros(len(values), dtype=bool))


def _order(column: Column, unclear: Sequence[re.Match[str]], learnt: str) -> str:
    """Which of days and months come first in these texts."""
    asked = column.raw.options.dates
    if asked != "auto" or learnt:
        return asked if asked != "auto" else learnt
    if any(int(match["one"]) > 12 for match in unclear):
        return DAY_FIRST
    if any(int(match["two"]) > 12 for match in unclear):
        return MONTH_FIRST
    text = unclear[0][0]
    raise column.mistake(
        column.row_of(text),
        f"found {quoted(text)}, and nothing in the column shows whether the day or the month comes first; "
        f"data.dates=day_first or data.dates=month_first decides, {override('categorical', column.name)} keeps texts.",
    )


def _seconds(match: re.Match[str], day_first: bool) -> float:
    """The moment that a text is, in seconds since 1970; NaN for one that no calendar has."""
    day_first = day_first or match["sign"] == "."
    one, two = (match["one"], match["two"]) if day_first else (match["two"], match["one"])
    digits = match["digits"] or ""
    year = match["year"] or match["last"] or match["y1"] or match["y2"] or digits[:4]
    month = match["month"] or two or _month(match["m1"] or match["m2"] or "") or digits[4:6]
    day = match["day"] or one or match["d1"] or match["d2"] or digits[6:]
    hour = int(match["hour"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return math.nan
        hour = hour % 12 + 12 * (match["half"] in "pP")
    try:
        time = datetime(int(year), int(month), int(day), hour, int(match["minute"] or 0), int(match["second"] or 0))
    except ValueError:
        return math.nan
    offset = timedelta()
    if (zone := match["zone"]) and zone[0] in "+-":
        size = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].strip(":") or 0))
        offset = size if zone[0] == "+" else -size
    return (time - _EPOCH - offset).total_seconds() + float(f"0.{match['fraction'] or 0}")


def _month(name: str) -> int | None:
    """The number of a month's English name, whole or cut to three letters or more; None for another word."""
    found = [i for i, month in enumerate(_NAMES, 1) if len(name) >= 3 and month.startswith(name.lower())]
    if name.lower() == "sept":
        return 9
    return found[0] if found else None
