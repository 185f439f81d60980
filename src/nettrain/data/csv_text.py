"""Text with separators: its encoding, its separator, its cells."""

import codecs
import collections
import contextlib
import csv
import io
import itertools
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nettrain.data.wording import place
from nettrain.errors import DataError
from nettrain.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = ",;\t|"
# Excel's hint, a first line such as `sep=;`.
_HINT = re.compile(r'"?sep=([^"\r\n])"?(\r\n|\r|\n)', re.IGNORECASE)


def decode(data: bytes, source: str, encoding: str | None = None) -> str:
    """The text of a file in an `encoding`; without one: UTF-8 with or without byte order mark, or UTF-16 with one.

    Raises `DataError` for anything else.
    """
    marked = encoding is None and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    used = encoding or ("utf-16" if marked else "utf-8")
    try:
        text = data.decode("utf-8-sig" if used == "utf-8" else used)
    except UnicodeDecodeError as error:
        if marked:
            raise DataError(f"{source}: the UTF-16 text is damaged; save the file with the encoding UTF-8.") from None
        where = place(source, error.object[: error.start].count(b"\n") + 1)
        if encoding:
            raise DataError(f"{where}: this is no text in the encoding {encoding} ({error.reason}).") from None
        raise DataError(
            f"{where}: byte 0x{error.object[error.start]:02x} is no UTF-8 text; save the file with the encoding UTF-8, "
            "or name its encoding, such as data.encoding=latin-1."
        ) from None
    if "\0" in text:
        raise DataError(f"{source}: this is no text but binary data; save the table as CSV with the encoding UTF-8.")
    return text


@dataclass(frozen=True)
class CsvText:
    """A text, what separates its cells, how many lines stood before it, and the path as messages give it."""

    text: str
    separator: str
    lines_before: int
    source: str

    @classmethod
    def of(cls, text: str, separator: str | None, source: str) -> "CsvText":
        """With the `separator`, or without one the sign that a first line `sep=;` names, or that cuts the lines."""
        hint = _HINT.match(text)
        if hint:
            text, separator = text[hint.end() :], separator or hint[1]
        separator = separator or _separator_of(text)
        return cls(_blanks_to_tabs(text) if separator == " " else text, separator, 1 if hint else 0, source)

    @property
    def delimiter(self) -> str:
        """The sign that stands between cells in `text`: runs of blanks have become tabs."""
        return "\t" if self.separator == " " else self.separator

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record that is not an empty line, with the number of the line where it starts, counted from 1.

        Raises `DataError` where a quote is left open.
        """
        reader = csv.reader(_lines(self.text), delimiter=self.delimiter, strict=True)
        start = 1 + self.lines_before
        while True:
            limit = csv.field_size_limit(len(self.text) + 1)  # of the whole process, so it is set back at once
            try:
                cells = next(reader, None)
            except csv.Error:
                raise DataError(
                    f"{place(self.source, start)}: a quoted cell does not end where a separator follows; close the "
                    "quote, and write a quote inside a quoted cell twice."
                ) from None
            finally:
                csv.field_size_limit(limit)
            if cells is None:
                return
            if cells:
                yield start, cells
            start = reader.line_num + 1 + self.lines_before

    def numbering(self, rows: int, header: bool) -> Callable[[int], int]:
        """The function that gives the line, counted from 1, at which each of the rows starts, counted from 0.

        It keeps the text only where empty lines and quoted line ends make rows and lines differ.
        """
        ends, returns = self.text.count("\n"), self.text.count("\r")
        lines = ends + (not self.text.endswith("\n"))
        if lines == rows + header and returns in (0, self.text.count("\r\n")):
            return partial(operator.add, 1 + self.lines_before + header)
        return lambda row: next(itertools.islice(self.records(), row + header, None))[0]

    def columns(self, header: bool) -> tuple[list[str], list["pa.ChunkedArray"]]:
        """The stripped cells of the header, or else 1, 2, ..., and below each the column of its cells as text.

        Raises `DataError` for a text without rows and for a row that is longer or shorter than the first.
        """
        import pyarrow as pa
        from pyarrow import csv as pa_csv

        if self.text.count('"') % 2:
            # An open quote would swallow the rows that follow; reading every record is how it is found.
            collections.deque(self.records(), maxlen=0)
        first = next((cells for _, cells in self.records()), [])
        if not first:
            needs = "a row of column names and rows below it" if header else "rows"
            raise DataError(f"{self.source}: the file is empty; a table needs {needs}.")
        numbers = [str(i + 1) for i in range(len(first))]
        data, table = self.text.encode(), None
        for block in (1 << 24, min(len(data) + 1, 2**31 - 1)):  # no row may be longer than a block
            with contextlib.suppress(pa.ArrowInvalid):
                table = pa_csv.read_csv(
                    io.BytesIO(data),
                    pa_csv.ReadOptions(column_names=numbers, block_size=block),
                    pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                    pa_csv.ConvertOptions(column_types=dict.fromkeys(numbers, pa.string()), strings_can_be_null=False),
                )
                break
        if table is None:
            raise self._ragged(len(first), header)
        if not header:
            return numbers, table.columns
        if table.num_rows == 1:
            raise DataError(f"{self.source}: there is a row of column names and no row below it; a table needs rows.")
        return [cell.strip() for cell in first], table.slice(1).columns

    def _ragged(self, expected: int, header: bool) -> DataError:
        first = "the header" if header else "the first row"
        for line, cells in self.records():
            if len(cells) != expected:
                return DataError(
                    f"{place(self.source, line)}: found {counted(len(cells), 'cell')} where {first} has {expected} "
                    f"(separator {self.separator!r}); give the row {expected}, with quotes around a text "
                    "that holds a separator."
                )
        return DataError(f"{self.source}: the rows cannot be cut into cells; save the table as CSV again.")


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends, one by one: a copy of a large text would cost four times its memory."""
    return (match[0] for match in re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text))


def _separator_of(text: str) -> str:
    """The separator that cuts the first lines into equally many cells, the more the better; a comma if none does.

    Blanks do where no other sign does, and instead of a tab where they make more cells, equally many in every line.
    """
    head = text[:100_000].splitlines(keepends=True)[:50]

    def score(separator: str) -> tuple[float, int]:
        return _score([len(cells) for cells in csv.reader(head, delimiter=separator) if cells])

    best = max(SEPARATORS, key=score)
    words = [len(_words(line)) for line in head if line.strip()]
    by_blanks = _score(words[:-1] if len(text) > 100_000 else words)
    if score(best)[1] == 0:
        return " " if by_blanks[0] > 0.5 else best
    return " " if best == "\t" and by_blanks[0] == 1 and by_blanks > score(best) else best


def _score(widths: list[int]) -> tuple[float, int]:
    if not widths or widths[0] == 1:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


_WORD = re.compile(r'"(?:[^"]|"")*"|\S+')


def _words(line: str) -> list[str]:
    return _WORD.findall(line)


def _blanks_to_tabs(text: str) -> str:
    """The text with one tab for each run of blanks between cells, line by line."""
    return "\n".join("\t".join(_words(line)) for line in re.split(r"\r\n|\r|\n", text))
