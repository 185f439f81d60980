"""Comma-separated text: its encoding, its separator, its cells."""

import codecs
import collections
import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nettrain.data.wording import place
from nettrain.errors import DataError
from nettrain.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = ",;\t|"


def decode(data: bytes, source: str) -> str:
    """The text of a file: UTF-8 with or without byte order mark, or UTF-16 with one.

    Raises `DataError` for anything else.
    """
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if utf16:
            raise DataError(f"{source}: the UTF-16 text is damaged; save the file with the encoding UTF-8.") from None
        row = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{place(source, row)}: byte 0x{error.object[error.start]:02x} is no UTF-8 text; "
            "save the file with the encoding UTF-8."
        ) from None
    if "\0" in text:
        raise DataError(f"{source}: this is no text but binary data; save the table as CSV with the encoding UTF-8.")
    return text


def separator_of(text: str) -> str:
    """The separator that cuts the first lines into equally many cells, the more the better; a comma if none does."""
    head = text[:100_000].splitlines(keepends=True)[:50]

    def score(separator: str) -> tuple[float, int]:
        widths = [len(cells) for cells in csv.reader(head, delimiter=separator) if cells]
        if not widths or widths[0] == 1:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(SEPARATORS, key=score)


def records(text: str, separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not an empty line, with the number of the line where it starts, counted from 1.

    Raises `DataError` where a quote is left open.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error:
        raise DataError(
            f"{place(source, start)}: a quoted cell does not end where a separator follows; close the quote, "
            "and write a quote inside a quoted cell twice."
        ) from None


def parse(text: str, separator: str, source: str) -> tuple[list[str], list["pa.ChunkedArray"]]:
    """The stripped cells of the header, and below each the column of its cells as text.

    Raises `DataError` for a text without rows and for a row that is longer or shorter than the header.
    """
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    if text.count('"') % 2:
        # An open quote would swallow the rows that follow; reading every record is how it is found.
        collections.deque(records(text, separator, source), maxlen=0)
    header = next((cells for _, cells in records(text, separator, source)), [])
    if not header:
        raise DataError(f"{source}: the file is empty; a table needs a row of column names and rows below it.")
    names = [str(i) for i in range(len(header))]
    try:
        table = pa_csv.read_csv(
            io.BytesIO(text.encode()),
            pa_csv.ReadOptions(column_names=names, block_size=1 << 24),
            pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise _ragged(text, separator, source, len(header)) from error
    if table.num_rows == 1:
        raise DataError(f"{source}: there is a row of column names and no row below it; a table needs rows.")
    return [cell.strip() for cell in header], table.slice(1).columns


def _ragged(text: str, separator: str, source: str, expected: int) -> DataError:
    for line, cells in records(text, separator, source):
        if len(cells) != expected:
            return DataError(
                f"{place(source, line)}: found {counted(len(cells), 'cell')} where the header has {expected} "
                f"(separator {separator!r}); give the row {expected}, with quotes around a text that holds a separator."
            )
    return DataError(f"{source}: the rows cannot be cut into cells; save the table as CSV again.")
