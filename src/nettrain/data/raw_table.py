"""`RawTable`: the columns of a file or a DataFrame as they were found, and where each row stood."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import brief, nearest, place, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa


SPLITS = ("train", "val", "test")


def count_from_1(row: int) -> int:
    """The row of a message where there are no lines."""
    return row + 1


@dataclass
class RawTable:
    """Columns of whatever type, and what messages need to name a cell.

    `row_number(i)` is the row of a message for data row `i`: the line of a text file, where the header is row 1,
    or `i + 1` where there are no lines, with the file's name where there are several. Columns in `index` are pandas'
    index: no features unless somebody names them. `repeated` are names that stood above several columns, which are told
    apart by a number now. `doubt` says why the row of column names may be a row of data; it is empty where there is no
    doubt. Paths in cells start in `folder`.
    """

    source: str
    columns: dict[str, "pa.ChunkedArray"]
    row_number: Callable[[int], int | str] = count_from_1
    options: ReadOptions = field(default_factory=ReadOptions)
    index: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    doubt: str = ""
    notes: list[str] = field(default_factory=list)
    folder: Path = Path()

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def mistake(self, row: int, column: str, sentence: str) -> DataError:
        """The error for data row `row` (counted from 0) of `column`."""
        return DataError(f"{place(self.source, self.row_number(row), column)}: {sentence}")

    def need(self, column: str, why: str) -> None:
        """Raise `DataError` where there is no such column."""
        if column not in self.columns:
            names = [name for name in self.columns if name not in self.index]
            doubt = f"; {self.doubt}" if self.doubt else ""
            raise DataError(
                f"{self.source}: there is no column {quoted(column)}{nearest(column, names)}, {why}; "
                f"the columns are {listed(map(brief, names), 20)}{doubt}."
            )

    def without(self, names: list[str]) -> "RawTable":
        """The table without some columns."""
        return replace(self, columns={name: column for name, column in self.columns.items() if name not in names})

    def take(self, rows: np.ndarray) -> "RawTable":
        """The table of some rows (indices), which keep their numbers in messages."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        number = self.row_number  # not `self`, which would keep its columns
        return replace(self, columns=columns, row_number=lambda row: number(int(rows[row])))
