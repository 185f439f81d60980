"""Queries that DuckDB answers, on its own files, on CSV, Parquet and JSON."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nettrain.data.wording import nearest, quoted
from nettrain.errors import DataError
from nettrain.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa

# One thread, so that rows come in one order, and sums with the same bits. Nothing is downloaded, no extension loaded,
# and a name is a table, never one of Python's variables.
_SETTINGS = {
    "threads": "1",
    "preserve_insertion_order": "true",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}


def select(query: str, path: Path | None, folder: Path, source: str) -> "pa.Table":
    """The rows of one query on the database file at `path`, which is opened to be read only; None: on files alone.

    Relative paths in the query start in `folder`. Raises `DataError` for whatever DuckDB refuses, and for statements
    other than one SELECT.
    """
    try:
        import duckdb
    except ImportError:
        raise DataError(
            f"{source}: queries are answered by DuckDB, which is not installed; pip install 'nettrain[sql]' installs "
            "it."
        ) from None
    database = str(path) if path else ":memory:"
    settings: Any = {**_SETTINGS, "file_search_path": str(folder.absolute())}
    try:
        connection = duckdb.connect(database, read_only=path is not None, config=settings)
    except duckdb.Error as error:
        if "Conflicting lock" in str(error):
            sentence = "another program is writing it; close it there"
        else:
            sentence = f"it cannot be opened; {_words(error)}"
        raise DataError(f"data.database={path}: {sentence}.") from None
    with connection:
        try:
            connection.execute("set timezone = 'UTC'")
            statements = connection.extract_statements(query)
            kinds = [statement.type.name for statement in statements]
            if kinds != ["SELECT"]:
                raise DataError(f"{source}: {not_one_select(kinds)}")
            return connection.sql(query).to_arrow_table()
        except duckdb.Error as first:
            wrong = _with_position(connection, query, first)
            tables = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
            views = "select view_name from duckdb_views() where not internal"
            tables += [name for (name,) in connection.execute(views).fetchall()]
            raise DataError(f"{source}{_position(wrong)}: {_sentence(wrong, tables)}.") from None


def not_one_select(kinds: list[str]) -> str:
    """What is wrong with statements of these kinds."""
    if not kinds:
        return "it is empty; write one query, such as select * from 'table.csv'."
    other = next((kind for kind in kinds if kind != "SELECT"), "")
    what = f"{other} does more than select rows" if other else "there are several queries"
    return f"{what}; one query that selects is run, and the database is only read."


def _with_position(connection: Any, query: str, error: Exception) -> Exception:
    """The same error with the place in the query, which DuckDB leaves out for names and types in relations."""
    import duckdb

    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        try:
            connection.execute(query)
        except duckdb.Error as again:
            return again
    return error


def _position(error: Exception) -> str:
    """`, line 1, column 8`, where DuckDB shows it with a mark below the line."""
    shown = re.search(r"^LINE (\d+): (.*)\n( *)\^", str(error), re.M)
    if not shown:
        return ""
    column = len(shown[3]) - len(f"LINE {shown[1]}: ") + 1
    return f", line {shown[1]}" + ("" if shown[2].startswith("...") else f", column {column}")


def _sentence(error: Exception, tables: list[str]) -> str:
    if missing := re.search(r"Table with name (\S+) does not exist", str(error)):
        return unknown_table(missing[1], tables)
    if extension := re.search(r"requires the extension (\w+)|exists in the (\w+) extension", str(error)):
        return (
            f"it needs DuckDB's extension {extension[1] or extension[2]}, and extensions are not loaded; SQLite and "
            "PostgreSQL are named by data.database, a file in another place by data=csv data.path=<URL>"
        )
    return _words(error)


def position(query: str, before: int) -> str:
    """`, line 1, column 8`: where the text of a query stands that has so many letters before it."""
    start = query[:before]
    return f", line {start.count(chr(10)) + 1}, column {len(start) - start.rfind(chr(10))}"


def unknown_table(name: str, tables: list[str]) -> str:
    """That there is no such table among these."""
    known = f"the tables are {listed(map(quoted, tables), 10)}" if tables else "files are named in quotes, 'table.csv'"
    return f"there is no table {quoted(name)}{nearest(name, tables)}; {known}"


def _words(error: Exception) -> str:
    """What DuckDB says, on one line and without the query."""
    words = re.sub(r"\n\s*(LINE \d+:|Candidate functions:).*\Z", "", str(error), flags=re.S)
    return "DuckDB says: " + " ".join(re.sub(r"^[\w ]+ Error: ", "", words).split()).rstrip(".")
