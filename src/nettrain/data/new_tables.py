"""`new_tables`: new rows for a model, in parts where they are many."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from nettrain.data.encoding import Encoder
from nettrain.data.parquet_files import ParquetFiles, bytes_as_numbers
from nettrain.data.read_options import ReadOptions
from nettrain.data.remote import is_url
from nettrain.data.table import Table
from nettrain.data.values import normalized

LARGE = 1 << 26  # bytes, of a table that is read in parts
NUMBERS = 1 << 21  # of the features of a part


def new_tables(encoder: Encoder, table: Any, options: ReadOptions, copied: Sequence[str]) -> Iterator[Table]:
    """What `Encoder.read` gives without a target; of large Parquet files some rows after others."""
    columns = {normalized(name) for name in [*(column.name for column in encoder.columns), *copied]}
    files = _large_files(encoder, table, options, columns)
    if files is None:
        yield encoder.read(table, options=options, copied=copied)
        return
    size = max(1, NUMBERS // len(encoder.feature_names))
    for group in files.groups:
        for part in files.read(group, list(files.names), size):
            yield encoder.read(part, copied=copied)


def _large_files(encoder: Encoder, table: Any, options: ReadOptions, columns: set[str]) -> ParquetFiles | None:
    """The Parquet files that are read in parts; None for another table, and for one that lacks columns."""
    if not isinstance(table, str | os.PathLike) or is_url(str(table)) or encoder.tensors:
        return None
    if bytes_as_numbers(str(table)) <= LARGE:
        return None
    files = ParquetFiles(str(table), options, columns)
    dispensable = {normalized(column.name) for column in encoder.scalars if column.constant}
    return files if files.names.keys() >= columns - dispensable else None
