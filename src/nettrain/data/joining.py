"""`open_tables`: the tables of several files, one for each split, as one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nettrain.data.opening import open_table, table_name
from nettrain.data.raw_table import RawTable
from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import brief, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "\0split"  # the name of a column that no text file has: to which split a row belongs


def open_tables(paths: Mapping[str, str], options: ReadOptions | None = None) -> RawTable:
    """The rows of all files, and in the column `FILE` the name of the split whose file it was.

    Raises `DataError` where the files do not have the same columns, beside what `open_table` raises.
    """
    import pyarrow as pa

    tables = {name: open_table(path, options) for name, path in paths.items()}
    first, *others = tables.values()
    for other in others:
        _require_columns(first, other)
    columns = {name: _joined(name, list(tables.values())) for name in first.columns}
    columns[FILE] = pa.chunked_array([pa.array([name] * table.rows) for name, table in tables.items()])
    ends = np.cumsum([table.rows for table in tables.values()])

    def row_number(row: int) -> str:
        which = int(np.searchsorted(ends, row, side="right"))
        table = list(tables.values())[which]
        return f"{table.row_number(row - (int(ends[which - 1]) if which else 0))} of {table.source}"

    joined = RawTable(
        table_name(dict(paths)), columns, row_number, first.options, first.index, first.repeated, first.doubt
    )
    joined.notes += dict.fromkeys(note for table in tables.values() for note in table.notes)
    return joined


def _require_columns(first: RawTable, other: RawTable) -> None:
    for one, two in ((first, other), (other, first)):
        if lacking := [name for name in one.columns if name not in two.columns]:
            raise DataError(
                f"{two.source}: there is no column {quoted(lacking[0])}, which {one.source} has; the files of a split "
                f"must have the same columns, and those of {two.source} are {listed(map(brief, two.columns), 20)}."
            )


def _joined(name: str, tables: list[RawTable]) -> "pa.ChunkedArray":
    """The cells of a column in all files; numbers of any kind are joined, and so are texts."""
    import pyarrow as pa

    parts = [pa.table({name: table.columns[name]}) for table in tables]
    try:
        return pa.concat_tables(parts, promote_options="permissive").column(name)
    except pa.ArrowException:
        kinds = listed(f"{table.columns[name].type} in {table.source}" for table in tables)
        raise DataError(
            f"{tables[0].source}: the column {quoted(name)} holds {kinds}; it must hold one kind of values."
        ) from None
