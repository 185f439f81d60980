"""Queries on files of SQLite, by Python's own library."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from nettrain.data.duckdb_query import not_one_select, position, unknown_table
from nettrain.data.wording import nearest, place
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
_WAIT = 5  # seconds until somebody else's lock is taken for one that stays


def select(query: str, path: Path, folder: Path, source: str) -> "pa.Table":
    """The rows of one query on the database file at `path`, which is opened to be read only.

    Raises `DataError` for whatever SQLite refuses, and for statements other than one SELECT.
    """
    import pyarrow as pa

    tables: dict[str, list[str]] = {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT)) as connection:
        try:
            tables = _columns(connection)
            connection.set_authorizer(_authorize)
            cursor = connection.execute(query)
            if cursor.description is None:
                raise DataError(f"{source}: {not_one_select([])}")
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise DataError(_sentence(error, tables, path, query, source)) from None
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.Table.from_arrays(
        [column_of(list(cells), name, source) for name, cells in zip(names, columns, strict=True)], names
    )


def column_of(cells: list[Any], name: str, source: str) -> "pa.Array":
    """Cells as Arrow has them where they are of one type, whole numbers among others as floats, or else as texts."""
    import pyarrow as pa

    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds & {bytes, memoryview}:
        row = next(row for row, cell in enumerate(cells, 1) if isinstance(cell, bytes | memoryview))
        raise DataError(
            f"{place(source, row, name)}: found binary data, where numbers, texts, dates or lists are read; select "
            "the other columns."
        )
    if kinds == {int, float}:
        return pa.array([None if cell is None else float(cell) for cell in cells])
    try:
        if len(kinds) <= 1 and kinds.isdisjoint({dict, UUID}):
            return pa.array(cells)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of each table and view."""
    names = [name for (name,) in connection.execute("select name from sqlite_master where type in ('table', 'view')")]
    columns = "select name from pragma_table_info(?)"
    return {name: [column for (column,) in connection.execute(columns, (name,))] for name in names}


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    is_function = action == sqlite3.SQLITE_FUNCTION and second != "load_extension"
    return sqlite3.SQLITE_OK if action in _ALLOWED or is_function else sqlite3.SQLITE_DENY


def _sentence(error: Exception, tables: dict[str, list[str]], path: Path, query: str, source: str) -> str:
    words = str(error).rstrip(".")
    if "locked" in words or "busy" in words:
        return f"data.database={path}: another program is writing it; close it there, or try again."
    if words in ("file is not a database", "database disk image is malformed", "unable to open database file"):
        return f"data.database={path}: SQLite cannot read it: {words}."
    if words == "not authorized":
        return f"{source}: it does more than select rows; one query that selects is run, and the database is only read."
    if "one statement at a time" in words:
        return f"{source}: {not_one_select(['SELECT', 'SELECT'])}"
    if missing := re.fullmatch(r"no such table: (.*)", words):
        return f"{source}: {unknown_table(missing[1], list(tables))}."
    if missing := re.fullmatch(r"no such column: (.*)", words):
        name = missing[1].rpartition(".")[2].strip('"')
        known = nearest(name, [column for columns in tables.values() for column in columns])
        return f"{source}: there is no column {missing[1]}{known}; correct the query."
    near = re.match(r'near "(.+)": ', words, re.S)
    where = position(query, query.index(near[1])) if near and query.count(near[1]) == 1 else ""
    return f"{source}{where}: SQLite says: {' '.join(words.split())}."
