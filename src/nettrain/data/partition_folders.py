"""Columns of a table that stand in the names of its folders, `year=2024/country=CH/0.parquet`, as Hive writes them."""

import glob
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from nettrain.data.remote import is_url
from nettrain.data.values import normalized

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = "__HIVE_DEFAULT_PARTITION__"  # the value of rows that have none


def folder_columns(path: str, file: str, columns: Collection[str]) -> dict[str, str | None]:
    """What the folders between `path`, a folder or a pattern, and a file of it say: a text for each name, or None.

    They say nothing of `columns`, those that the file has itself.
    """
    if is_url(path) or path == file:
        return {}
    first = Path(os.path.expanduser(path))
    while glob.has_magic(str(first)) and not first.exists():
        first = first.parent
    pairs = [part.split("=", 1) for part in Path(file).parent.relative_to(first).parts if "=" in part]
    values = {normalized(name): None if value == MISSING else unquote(value) for name, value in pairs}
    return {name: value for name, value in values.items() if name and name not in columns}


def cells(value: str | None, rows: int) -> "pa.ChunkedArray":
    """The column of a value of all rows."""
    import pyarrow as pa

    column: pa.ChunkedArray = pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), rows)])
    return column
