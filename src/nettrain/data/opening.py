"""`open_table`: from a file or a DataFrame to a `RawTable`."""

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nettrain.data import csv_text, excel, files
from nettrain.data.list_cells import arrays_of_cells, tensor_cells
from nettrain.data.queries import SOURCE, Query
from nettrain.data.raw_table import RawTable, count_from_1
from nettrain.data.read_options import ReadOptions
from nettrain.data.remote import brief_url, is_url
from nettrain.data.values import exact_number, normalized
from nettrain.data.wording import brief, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

TableLike: TypeAlias = "str | os.PathLike[str] | pd.DataFrame | RawTable | Query"


def table_name(table: "TableLike | dict[str, str]") -> str:
    """What messages call a table, or the tables of several files."""
    if isinstance(table, dict) and all(isinstance(path, str) for path in table.values()):
        return ", ".join(dict.fromkeys(table.values()))
    if isinstance(table, RawTable):
        return table.source
    if isinstance(table, Query):
        return SOURCE
    if isinstance(table, str | os.PathLike):
        return brief_url(str(table)) if is_url(str(table)) else str(table)
    return "the DataFrame"


def open_table(table: TableLike, options: ReadOptions | None = None) -> RawTable:
    """The columns of a file, a pandas DataFrame or a query; a table that has been opened already as it is.

    Raises `DataError` where the file cannot be found, read or cut into columns, `ConfigError` for an option that cannot
    be.
    """
    if isinstance(table, RawTable):
        return table
    options = options or ReadOptions()
    separator, codec = options.separator_mark, options.codec
    row_number: Callable[[int], int] = count_from_1
    notes: list[str] = []
    index: Sequence[str] = ()
    typed_names = True  # by whoever made the table: they are no row of a file
    source = table_name(table)
    if isinstance(table, str | os.PathLike):
        on_disk = files.parquet_on_disk(table, source)
        suffix, data = (on_disk.suffix, b"") if on_disk else files.read_file(table, source)
        if on_disk or suffix in files.PARQUET:
            names, columns, index = _parquet(on_disk or data, source)
        elif suffix in files.EXCEL:
            names, columns, rows, notes = excel.parse(data, options.header, source)
            row_number, typed_names = rows.__getitem__, not options.header
        else:
            text = csv_text.CsvText.of(csv_text.decode(data, source, codec), separator, source)
            del data  # a table may fill the memory
            names, columns = text.columns(options.header)
            row_number, typed_names = text.numbering(len(columns[0]), options.header), not options.header
    elif isinstance(table, Query):
        result = table.read()
        names, columns = result.column_names, result.columns
    else:
        names, columns, index = _dataframe(table)
    if not options.header and names == [str(i) for i in range(len(names))]:
        names = [str(i + 1) for i in range(len(names))]  # pandas counts from 0 what has no names
    names = [normalized(name) for name in names]
    _check_names(names, source)
    told_apart = _told_apart(names)
    kept = {name: column for name, column in zip(told_apart, columns, strict=True) if not _unnamed(name)}
    notes += [f"column {i} has no name: left out" for i, name in enumerate(told_apart, 1) if _unnamed(name)]
    repeated = frozenset(name for name, count in Counter(names).items() if count > 1 and not _unnamed(name))
    if repeated:
        renamed = [f"{quoted(new)}" for old, new in zip(names, told_apart, strict=True) if old != new]
        notes.append(
            f"several columns are called {listed(map(quoted, repeated))}: the later ones are {listed(renamed)} now"
        )
    doubt = "" if typed_names else _doubt(kept)
    index_names = frozenset(index) | {name for name in kept if re.fullmatch(r"__index_level_\d+__", name)}
    folder = Path(os.path.expanduser(table)).parent if isinstance(table, str | os.PathLike) else Path()
    return RawTable(source, kept, row_number, options, index_names, repeated, doubt, notes, folder)


def _parquet(data: bytes | Path, source: str) -> tuple[list[str], list["pa.ChunkedArray"], list[str]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(pa.BufferReader(data) if isinstance(data, bytes) else data) as file:
            files.check_size(8 * file.metadata.num_rows * file.metadata.num_columns, source)
            table = _column_by_column(file) if len(set(names := file.schema_arrow.names)) == len(names) else file.read()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise DataError(f"{source}: the file cannot be read ({error.strerror}).") from None
        raise DataError(f"{source}: the file is no Parquet file, or a damaged one; write it again.") from None
    if table.num_rows == 0:
        raise DataError(f"{source}: the table has no rows; a table needs rows.")
    return table.column_names, table.columns, _pandas_index(table.schema.metadata or {})


def _column_by_column(file: "parquet.ParquetFile") -> "pa.Table":
    """What `file.read` gives, in half of the memory; for columns with different names."""
    import pyarrow as pa

    columns = [file.read([name]).column(name) for name in file.schema_arrow.names]
    return pa.Table.from_arrays(columns, schema=file.schema_arrow)


def _pandas_index(metadata: dict[bytes, bytes]) -> list[str]:
    """The columns that were the index of the DataFrame that was written, by the metadata that pandas leaves."""
    try:
        names = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _dataframe(frame: Any) -> tuple[list[str], list["pa.ChunkedArray"], list[str]]:
    import pandas as pd
    import pyarrow as pa

    if hasattr(frame, "to_pandas"):  # polars, Hugging Face's datasets, pyarrow
        frame = frame.to_pandas()
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a table is a path or a pandas DataFrame, found {type(frame).__name__}.")
    if not len(frame):
        raise DataError("the DataFrame: the table has no rows; a table needs rows.")

    def column(values: Any) -> pa.ChunkedArray:
        try:
            array = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            if (arrays := arrays_of_cells(values)) is not None:
                return tensor_cells(arrays)
            known = pd.notna(values)
            array = pa.array([str(value) if there else None for value, there in zip(values, known, strict=True)])
        return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])

    names = [str(name) for name in frame.columns]
    index = {str(level.name): level for level in _levels(frame.index) if level.name is not None}
    index = {name: level for name, level in index.items() if name not in names}
    columns = [column(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return [*names, *index], [*columns, *(column(level.to_series()) for level in index.values())], list(index)


def _levels(index: "pd.Index") -> list[Any]:
    return [index.get_level_values(i) for i in range(index.nlevels)]


def _unnamed(name: str) -> bool:
    # pandas writes its row numbers as a column without a name, and reads that one back as "Unnamed: 0".
    return not name or re.fullmatch(r"Unnamed: \d+(\.\d+)?", name) is not None


def _check_names(names: list[str], source: str) -> None:
    """Raise `DataError` for names that are a row of numbers."""
    twice = any(count > 1 and name for name, count in Counter(names).items())
    numbers = all(re.fullmatch(r"[-+.\d]+", name) for name in names)
    if numbers and (twice or any("." in name for name in names)):
        raise DataError(
            f"{source}: row 1 holds only numbers ({listed(map(brief, names), 4)}); add a first row of column names, or "
            "read it as data with data.header=false."
        )


def _told_apart(names: list[str]) -> list[str]:
    """The names, a number behind those that were there before, as pandas does it: `x`, `x.1`, `x.2`."""
    taken, result, counts = set(names), list[str](), Counter[str]()
    for name in names:
        new = name
        if name and counts[name]:
            while new in taken or new in result:
                new = f"{name}.{counts[name]}"
                counts[name] += 1
        else:
            counts[name] += 1
        result.append(new)
    return result


def _doubt(columns: dict[str, "pa.ChunkedArray"]) -> str:
    """Why the column names of a file may be a row of data: many are numbers, or come again as cells below them."""
    numbers = [float(name) for name in columns if exact_number(name)]
    counting = all(a < b for a, b in itertools.pairwise(numbers)) and all(number.is_integer() for number in numbers)
    suspects = [
        name for name in columns if (not counting if exact_number(name) else _stands_below(columns[name], name))
    ]
    if len(suspects) < 2 or len(suspects) < len(columns) / 2:
        return ""
    return f"row 1 looks like data ({listed(map(brief, columns), 4)}): data.header=false reads it as such"


def _stands_below(cells: "pa.ChunkedArray", name: str) -> bool:
    """Whether a column's name is one of its texts, too."""
    import pyarrow as pa
    from pyarrow import compute

    if cells.type != pa.string():
        return False
    return bool(compute.any(compute.equal(compute.utf8_trim_whitespace(cells), name)).as_py())
