"""Queries on a server of PostgreSQL, by psycopg."""

from typing import TYPE_CHECKING, Any

from nettrain.data.duckdb_query import not_one_select, position, unknown_table
from nettrain.data.sqlite_query import column_of
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMES = ("postgresql://", "postgres://")
_CURSOR = "declare nettrain no scroll cursor for "  # which PostgreSQL allows for what selects alone
# One process reads each table from its beginning, so that rows come as they lie there.
_SETTINGS = ("max_parallel_workers_per_gather = 0", "synchronize_seqscans = off", "timezone = 'UTC'")


def select(query: str, url: str, source: str) -> "pa.Table":
    """The rows of one query in a transaction that only reads.

    Raises `DataError` where the server cannot be reached, for whatever it refuses, and for statements other than one
    SELECT.
    """
    try:
        import psycopg
    except ImportError:
        raise DataError(
            f"{source}: PostgreSQL is read by psycopg, which is not installed; pip install 'nettrain[postgresql]' "
            "installs it."
        ) from None
    import pyarrow as pa

    try:
        connection = psycopg.connect(url, connect_timeout=10, application_name="nettrain")
    except psycopg.Error as error:
        raise DataError(f"data.database={url}: it cannot be opened: {_line(error)}.") from None
    with connection:
        if not query.strip().strip(";"):
            raise DataError(f"{source}: {not_one_select([])}")
        connection.read_only = True
        try:
            for setting in _SETTINGS:
                connection.execute(f"set {setting}".encode())
            # A prepared statement is a single one, whatever the text holds.
            connection.execute((_CURSOR + query).encode(), prepare=True)
            cursor = connection.execute("fetch all from nettrain")
            rows, names = cursor.fetchall(), [column.name for column in cursor.description or []]
            connection.rollback()  # whatever a function may have done
        except psycopg.Error as error:
            connection.rollback()
            raise DataError(_sentence(connection, error, query, source)) from None
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.Table.from_arrays(
        [column_of(list(cells), name, source) for name, cells in zip(names, columns, strict=True)], names
    )


def _sentence(connection: Any, error: Any, query: str, source: str) -> str:
    state, words = error.sqlstate or "", error.diag.message_primary or _line(error)
    before = int(error.diag.statement_position or 0) - len(_CURSOR) - 1
    where = source + (position(query, before) if before >= 0 else "")
    begins_otherwise = state == "42601" and 0 <= before <= len(query) - len(query.lstrip())
    if begins_otherwise and query.split()[0].lower() in _OTHERS:
        return f"{source}: {not_one_select([query.split()[0].upper()])}"
    if state == "42601" and "multiple commands" in words:
        return f"{source}: {not_one_select(['SELECT', 'SELECT'])}"
    if state in ("25006", "0A000", "42P11"):  # it writes
        return f"{source}: {words}; one query that selects is run, and the database is only read."
    if state == "42P01":
        tables = "select table_name from information_schema.tables where table_schema not in (%s, %s)"
        names = connection.execute(tables, ["pg_catalog", "information_schema"]).fetchall()
        name = words.partition('"')[2].partition('"')[0]
        return f"{where}: {unknown_table(name, [name for (name,) in names])}."
    hint = f" ({error.diag.message_hint.rstrip('.')})" if error.diag.message_hint else ""
    return f"{where}: PostgreSQL says: {' '.join(words.split()).rstrip('.')}{hint}."


_OTHERS = (
    *("insert", "update", "delete", "merge", "create", "drop", "alter", "truncate", "copy", "set", "call", "do"),
    *("grant", "revoke", "begin", "commit", "vacuum", "explain", "show", "lock", "listen", "notify", "refresh"),
)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".?")
