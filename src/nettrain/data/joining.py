"""`open_files`, `open_tables`: the tables of several files, of a folder or one for each split, as one."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nettrain.data.files import tables_at
from nettrain.data.opening import TableLike, open_table, table_name
from nettrain.data.partition_folders import cells, folder_columns
from nettrain.data.raw_table import RawTable
from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import brief, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "\0split"  # the name of a column that no text file has: to which split a row belongs


def open_files(table: TableLike, options: ReadOptions | None = None) -> RawTable:
    """As `open_table`; a folder of Parquet files or a pattern of names (see `tables_at`) is one table, too.

    Names of folders such as `year=2024` are columns of it.

    Raises `DataError` where the files do not have the same columns.
    """
    if not isinstance(table, str | os.PathLike):
        return open_table(table, options)
    files = tables_at(str(table))
    tables = [_with_folder_columns(str(table), file, open_table(file, options)) for file in files]
    if len(files) == 1:
        return tables[0]
    joined = _join(tables, str(table), str(table))
    joined.folder = Path(os.path.commonpath(files))
    return joined


def _with_folder_columns(path: str, file: str, table: RawTable) -> RawTable:
    for name, value in folder_columns(path, file, table.columns).items():
        table.columns[name] = cells(value, table.rows)
    return table


def open_tables(paths: Mapping[str, str], options: ReadOptions | None = None) -> RawTable:
    """The rows of all files, and in the column `FILE` the name of the split whose file it was.

    Raises `DataError` where the files do not have the same columns, beside what `open_table` raises.
    """
    import pyarrow as pa

    tables = {name: open_files(path, options) for name, path in paths.items()}
    joined = _join(list(tables.values()), table_name(dict(paths)), "a split")
    joined.columns[FILE] = pa.chunked_array([pa.array([name] * table.rows) for name, table in tables.items()])
    return joined


def _join(tables: list[RawTable], source: str, whole: str) -> RawTable:
    """Tables with the same columns, one after another, of which messages say that they are the files of `whole`."""
    first, *others = tables
    for other in others:
        require_columns(first.source, list(first.columns), other.source, list(other.columns), whole)
    columns = {name: _joined(name, tables) for name in first.columns}
    ends = np.cumsum([table.rows for table in tables])
    places = [(table.row_number, table.source) for table in tables]  # without their columns

    def row_number(row: int) -> str:
        which = int(np.searchsorted(ends, row, side="right"))
        (number, source), before = places[which], int(ends[which - 1]) if which else 0
        numbered = str(number(row - before))
        return numbered if " of " in numbered else f"{numbered} of {source}"

    joined = RawTable(source, columns, row_number, first.options, first.index, first.repeated, first.doubt)
    joined.notes += dict.fromkeys(note for table in tables for note in table.notes)
    return joined


def require_columns(first: str, columns: list[str], other: str, others: list[str], whole: str) -> None:
    """Raise `DataError` where the file `other` has not the columns of the file `first`, or has more."""
    for one, two, names, there in ((first, other, columns, others), (other, first, others, columns)):
        if lacking := [name for name in names if name not in there]:
            raise DataError(
                f"{two}: there is no column {quoted(lacking[0])}, which {one} has; the files of {whole} "
                f"must have the same columns, and those of {two} are {listed(map(brief, there), 20)}."
            )


def _joined(name: str, tables: list[RawTable]) -> "pa.ChunkedArray":
    """The cells of a column in all files; numbers of any kind are joined, and so are texts."""
    import pyarrow as pa

    parts = [pa.table({name: table.columns[name]}) for table in tables]
    try:
        return pa.concat_tables(parts, promote_options="permissive").column(name)
    except pa.ArrowException:
        first = tables[0].columns[name].type
        differs = next(table for table in tables if table.columns[name].type != first)
        kinds = listed(f"{table.columns[name].type} in {table.source}" for table in (tables[0], differs))
        raise DataError(
            f"{tables[0].source}: the column {quoted(name)} holds {kinds}; it must hold one kind of values."
        ) from None
