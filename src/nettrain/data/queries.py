"""`Query`: what a database answers, as the columns of a table."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from nettrain.data import duckdb_query, postgresql_query, sqlite_query
from nettrain.data.remote import brief_url, is_url, require_no_password
from nettrain.data.wording import nearest, place
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "data.query"  # what messages call the table
_hashes: dict["Query", str] = {}  # of the results that this process has read last


@dataclass(frozen=True)
class Query:
    """One query that selects rows.

    `database` is a file of DuckDB or SQLite, or `postgresql://...`; None: DuckDB without a file, whose queries name
    files. Relative paths in the query start in `folder`, None: the working directory. It is opened to be read only.
    """

    query: str
    database: str | None = None
    folder: str | None = None

    def read(self) -> "pa.Table":
        """The rows, in an order that is the same each time where the data are.

        Raises `DataError` for a query that fails or does more than select, for a result without rows, and where the
        database cannot be read or what reads it is not installed.
        """
        table = self._read()
        for field in table.schema:
            if _is_binary(field.type):
                raise DataError(
                    f"{place(SOURCE, column=field.name)}: found binary data, where numbers, texts, dates or lists are "
                    "read; select the other columns."
                )
        if not table.num_rows:
            raise DataError(f"{SOURCE}: the result has no rows; a table needs rows.")
        _hashes[self] = _hash(table)
        return table

    def _read(self) -> "pa.Table":
        if self.database is None:
            return duckdb_query.select(self.query, None, self._folder, SOURCE)
        if is_url(self.database):
            require_no_password(self.database, "data.database", "the variable PGPASSWORD or the file ~/.pgpass")
            if not self.database.startswith(postgresql_query.SCHEMES):
                raise DataError(
                    f"data.database={brief_url(self.database)}: databases are files of DuckDB and SQLite, and "
                    "postgresql://<user>@<host>/<name>."
                )
            return postgresql_query.select(self.query, self.database, SOURCE)
        path, named = Path(self.database).expanduser(), f"data.database={self.database}"
        select = {b"SQLi": sqlite_query.select, b"DUCK": duckdb_query.select}.get(_kind(path, named))
        if select is None:
            raise DataError(f"{named}: this is no database of DuckDB or SQLite; data.path is for tables in files.")
        return select(self.query, path, self._folder, SOURCE)

    @property
    def _folder(self) -> Path:
        return Path(self.folder or "").expanduser()

    def hash(self) -> str | None:
        """A hash of the rows: of those that this process has read last, or else as they are now; None without any."""
        try:
            if self not in _hashes:
                self.read()
        except DataError:
            return None
        return _hashes[self]


def _kind(path: Path, named: str) -> bytes:
    """The first letters of the name that a database file has in it."""
    try:
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise DataError(f"{named}: this is no file; name that of the database.")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{named}: there is no such file{nearest(path.name, names)}; correct the path.") from None
    except OSError as error:
        raise DataError(f"{named}: the file cannot be read ({error.strerror}).") from None
    return head[:4] if head.startswith(b"SQLite") else head[8:12]


def _is_binary(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def _hash(table: "pa.Table") -> str:
    """SHA-256 of the names, types and values; what lies in memory where a value is missing does not count."""
    import pyarrow as pa
    from pyarrow import compute

    hashed = hashlib.sha256()
    for field, column in zip(table.schema, table.columns, strict=True):
        hashed.update(f"{field.name}\0{field.type}\0{len(column)}\0".encode())
        hashed.update(compute.is_null(column).cast(pa.int8()).to_numpy().tobytes())
        values = column.drop_null()
        values = values.cast(pa.int8()) if field.type == pa.bool_() else values
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        whole = pa.table({"": pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)})
        with pa.ipc.new_stream(pa.PythonFile(cast("IO[bytes]", _Hashing(hashed)), "w"), whole.schema) as stream:
            stream.write_table(whole)
    return hashed.hexdigest()


class _Hashing:
    """A file whose bytes are hashed, and not kept."""

    closed = False

    def __init__(self, hashed: "hashlib._Hash") -> None:
        self.hashed = hashed

    def write(self, data: bytes) -> int:
        self.hashed.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
