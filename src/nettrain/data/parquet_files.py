"""`ParquetFiles`: a table in Parquet files that are read in parts, never as a whole."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nettrain.data.files import PARQUET, file_hash, tables_at
from nettrain.data.joining import require_columns
from nettrain.data.partition_folders import cells, folder_columns
from nettrain.data.raw_table import RawTable
from nettrain.data.read_options import ReadOptions
from nettrain.data.values import normalized
from nettrain.data.wording import place
from nettrain.errors import DataError

if TYPE_CHECKING:
    from pyarrow import parquet

BUFFER = 1 << 16  # bytes of a column that are read at a time


@dataclass(frozen=True)
class RowGroup:
    """Row group `number` of the file `path`: rows `first`, `first` + 1, ... of that file, `start`, ... of the table."""

    path: str
    number: int
    first: int
    start: int
    rows: int


class ParquetFiles:
    """The row groups of all files that a path names (see `tables_at`), one after another.

    Folders such as `year=2024` are columns, too.

    Raises `DataError` for a file that is no Parquet file, and for one that has not the columns of the first, or holds
    texts where that has numbers. With `columns`, the others are not looked at.
    """

    def __init__(self, path: str, options: ReadOptions, columns: Collection[str] | None = None) -> None:
        self.source, self.options, self.paths = path, options, tables_at(path)
        self.metadata = {file: _metadata(file) for file in self.paths}
        schemas = {file: metadata.schema.to_arrow_schema() for file, metadata in self.metadata.items()}
        self.in_folders = {
            file: folder_columns(path, file, list(map(normalized, schema.names))) for file, schema in schemas.items()
        }
        first, *others = self.paths
        there = [name for name in schemas[first].names if normalized(name)]
        there = there if columns is None else [name for name in there if normalized(name) in columns]
        self.names = {normalized(name): name for name in there}
        if len(self.names) < len(there):
            raise DataError(f"{first}: several columns have the same name; rename them.")
        for other in others:
            names = ([*schemas[file].names, *self.in_folders[file]] for file in (first, other))
            require_columns(first, next(names), other, next(names), path)
            for name in there:
                types = [schemas[file].field(name).type for file in (first, other)]
                if len({_kind(type) for type in types} - {"missing"}) > 1:
                    raise DataError(
                        f"{place(other, column=name)}: it holds {types[1]}, and {types[0]} in {first}; it must hold "
                        "one kind of values."
                    )
        for name, raw in self.names.items():
            kinds = [schemas[file].field(raw).type for file in self.paths]
            if wrong := next((kind for kind in kinds if _kind(kind) == "nested"), None):
                raise DataError(
                    f"{place(path, column=name)}: found values of the type {wrong}; a table that is read in parts has "
                    f"numbers, texts and dates; data.drop=[{name}] leaves the column out, data.stream=false reads it."
                )
        self.is_number = {
            name: any(_kind(schemas[file].field(raw).type) == "number" for file in self.paths)
            for name, raw in self.names.items()
        }
        in_folders = [name for name in self.in_folders[first] if columns is None or name in columns]
        self.names |= {name: name for name in in_folders}
        self.is_number |= dict.fromkeys(in_folders, False)
        self.groups = list(self._groups())
        self.rows = sum(group.rows for group in self.groups)
        if not self.rows:
            raise DataError(f"{path}: the table has no rows; a table needs rows.")

    def _groups(self) -> Iterator[RowGroup]:
        start = 0
        for path, metadata in self.metadata.items():
            first = 0
            for number in range(metadata.num_row_groups):
                rows = metadata.row_group(number).num_rows
                if rows:
                    yield RowGroup(path, number, first, start, rows)
                first, start = first + rows, start + rows

    def read(self, group: RowGroup, columns: Sequence[str], size: int) -> Iterator[RawTable]:
        """The columns of a row group, `size` rows at a time."""
        import pyarrow as pa
        from pyarrow import parquet

        values, first = self.in_folders[group.path], group.first
        raw = [self.names[name] for name in columns if name not in values]
        try:
            with parquet.ParquetFile(
                group.path, metadata=self.metadata[group.path], buffer_size=BUFFER, pre_buffer=False
            ) as file:
                for part in _of_size(file.iter_batches(size, [group.number], raw), size):
                    read = {
                        name: cells(values[name], part.num_rows) if name in values else part.column(self.names[name])
                        for name in columns
                    }
                    yield RawTable(group.path, read, _Numbers(first), self.options)
                    first += part.num_rows
        except (pa.ArrowException, OSError):
            raise _damaged(group.path) from None

    def row_number(self, row: int) -> str:
        """The row of a message for a row of the table."""
        starts = [group.start for group in self.groups]
        group = self.groups[int(np.searchsorted(starts, row, side="right")) - 1]
        return f"{group.first + row - group.start + 1} of {group.path}"

    @cached_property
    def hash(self) -> str:
        """A hash of the files' bytes."""
        return "+".join(str(file_hash(path)) for path in self.paths)


@dataclass(frozen=True)
class _Numbers:
    """The number of a row of a part that begins at row `first` of its file."""

    first: int

    def __call__(self, row: int) -> int:
        return self.first + row + 1


def bytes_as_numbers(path: str) -> int:
    """What a table in Parquet files takes with 8 bytes for each cell; 0 for any other."""
    paths = tables_at(path)
    if any(Path(file).suffix.lower() not in PARQUET or not os.path.isfile(os.path.expanduser(file)) for file in paths):
        return 0
    metadata = [_metadata(file) for file in paths]
    return sum(8 * part.num_rows * part.num_columns for part in metadata)


def _metadata(path: str) -> "parquet.FileMetaData":
    import pyarrow as pa
    from pyarrow import parquet

    if not os.path.isfile(os.path.expanduser(path)):
        raise DataError(f"{path}: there is no such file; correct the path.")
    if Path(path).suffix.lower() not in PARQUET:
        raise DataError(f"{path}: a table that is read in parts must lie in Parquet files; use data.stream=false.")
    try:
        return parquet.read_metadata(os.path.expanduser(path))
    except (pa.ArrowException, OSError):
        raise _damaged(path) from None


def _damaged(path: str) -> DataError:
    return DataError(f"{path}: the file is no Parquet file, or a damaged one; write it again.")


def _kind(type: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(type):
        type = type.value_type
    if types.is_null(type):
        return "missing"
    if types.is_nested(type):
        return "nested"
    return "number" if types.is_integer(type) or types.is_floating(type) or types.is_decimal(type) else "text"


def _of_size(batches: Iterator[Any], size: int) -> Iterator[Any]:
    """Record batches as tables of `size` rows and, at the end, of what is left."""
    import pyarrow as pa

    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        while sum(b.num_rows for b in waiting) >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size)
            waiting = table.slice(size).to_batches()
    if any(batch.num_rows for batch in waiting):
        yield pa.Table.from_batches(waiting)
