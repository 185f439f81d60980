"""`RawTable`: the columns of a file or a DataFrame as they were found, and where each row stood."""

import gzip
import hashlib
import itertools
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nettrain.data import csv_text
from nettrain.data.wording import nearest, override, place
from nettrain.errors import DataError
from nettrain.wording import listed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TableLike: TypeAlias = "str | os.PathLike[str] | pd.DataFrame"

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".parquet")


@dataclass
class RawTable:
    """Columns of whatever type, and what messages need to name a cell.

    `row_number(i)` is the row of a message for data row `i`: the line of a text file, where the header is row 1,
    or `i + 1` where there are no lines.
    """

    source: str
    columns: dict[str, "pa.ChunkedArray"]
    row_number: Callable[[int], int]
    notes: list[str] = field(default_factory=list)

    def column(self, name: str) -> "pa.ChunkedArray":
        """The column as float64 if it holds numbers, else as text; `DataError` where it can be neither."""
        import pyarrow as pa
        from pyarrow import compute, types

        column = self.columns[name]
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type):
            return compute.cast(column, pa.float64(), safe=False)
        try:
            return column.cast(pa.string())
        except pa.ArrowException:
            raise DataError(
                f"{place(self.source, column=name)}: found values of the type {column.type}, where numbers or texts "
                f"are read; {override('drop', name)} leaves the column out."
            ) from None

    def mistake(self, row: int, column: str, sentence: str) -> DataError:
        """The error for data row `row` (counted from 0) of `column`."""
        return DataError(f"{place(self.source, self.row_number(row), column)}: {sentence}")

    def need(self, column: str, why: str) -> None:
        """Raise `DataError` where there is no such column."""
        if column not in self.columns:
            names = list(self.columns)
            raise DataError(
                f"{self.source}: there is no column '{column}'{nearest(column, names)}, {why}; "
                f"the columns are {listed(names, 20)}."
            )


def open_table(table: TableLike, drop: list[str] | None = None) -> RawTable:
    """The columns of a CSV or Parquet file, or of a pandas DataFrame, but for those named in `drop`.

    Raises `DataError` where the file cannot be found, read or cut into columns.
    """
    row_number: Callable[[int], int] = _count_from_1
    if isinstance(table, str | os.PathLike):
        path = _existing(Path(table).expanduser())
        source = str(table)
        if path.name.lower().endswith(".parquet"):
            names, columns = _parquet(path, source)
        else:
            names, columns, row_number = _csv(path, source)
    else:
        source = "the DataFrame"
        names, columns = _dataframe(table)
    _check_names(names, source)
    raw = RawTable(source, dict(zip(names, columns, strict=True)), row_number)
    for name in drop or []:
        raw.need(name, "which data.drop names")
    raw.columns = {name: column for name, column in raw.columns.items() if name not in (drop or [])}
    _leave_out_unnamed(raw, names)
    return raw


def file_hash(path: str) -> str | None:
    """The SHA-256 of a file's bytes; None if it cannot be read."""
    try:
        file = Path(path).expanduser().resolve()
        status = file.stat()
        return _file_hash(file, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _file_hash(file: Path, modified: int, size: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _count_from_1(row: int) -> int:
    return row + 1


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name the file in it that holds the table.")
    if not path.exists():
        folder = path.parent
        if not folder.is_dir():
            raise DataError(f"{path}: there is no folder {folder}; correct the path.")
        names = [other.name for other in folder.iterdir()]
        raise DataError(f"{path}: there is no such file{nearest(path.name, names)}; correct the path.")
    if not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path}: tables are read from files that end in {listed(SUFFIXES)}; convert or rename it.")
    return path


def _csv(path: Path, source: str) -> tuple[list[str], list["pa.ChunkedArray"], Callable[[int], int]]:
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{source}: the file is no gzip file, or a damaged one; make it again with gzip.") from None
    except OSError as error:
        raise DataError(f"{source}: the file cannot be read ({error.strerror}).") from None
    text = csv_text.decode(data, source)
    separator = csv_text.separator_of(text)
    names, columns = csv_text.parse(text, separator, source)

    def row_number(row: int) -> int:
        # Empty lines and quoted line ends make rows and lines differ, and only a message asks for a line.
        return next(itertools.islice(csv_text.records(text, separator, source), row + 1, None))[0]

    return names, columns, row_number


def _parquet(path: Path, source: str) -> tuple[list[str], list["pa.ChunkedArray"]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError):
        raise DataError(f"{source}: the file is no Parquet file, or a damaged one; write it again.") from None
    if table.num_rows == 0:
        raise DataError(f"{source}: the table has no rows; a table needs rows.")
    return table.column_names, table.columns


def _dataframe(frame: Any) -> tuple[list[str], list["pa.ChunkedArray"]]:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a table is a path or a pandas DataFrame, found {type(frame).__name__}.")
    if not len(frame):
        raise DataError("the DataFrame: the table has no rows; a table needs rows.")

    def column(values: pd.Series) -> pa.ChunkedArray:
        try:
            array = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            array = pa.array([str(value) if known else None for value, known in zip(values, values.notna())])  # noqa: B905
        return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])

    return [str(name) for name in frame.columns], [column(frame.iloc[:, i]) for i in range(frame.shape[1])]


def _check_names(names: list[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    numbers = all(re.fullmatch(r"[-+.\d]+", name) for name in names)
    if numbers and (twice or any("." in name for name in names)):
        raise DataError(f"{source}: row 1 holds only numbers ({listed(names, 4)}); add a first row of column names.")
    if twice:
        first, second = [i + 1 for i, name in enumerate(names) if name == twice[0]][:2]
        raise DataError(
            f"{source}: columns {first} and {second} have the same name '{twice[0]}'; rename or delete one of them."
        )


def _leave_out_unnamed(raw: RawTable, names: list[str]) -> None:
    for position, name in enumerate(names, start=1):
        # pandas writes its row numbers as a column without a name, and reads that one back as "Unnamed: 0".
        if not name or re.fullmatch(r"Unnamed: \d+", name):
            raw.columns.pop(name, None)
            raw.notes.append(f"column {position} has no name: left out")
