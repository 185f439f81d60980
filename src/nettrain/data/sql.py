"""The data set of a query."""

from dataclasses import dataclass
from typing import Optional

from omegaconf import MISSING

from nettrain.data.queries import SOURCE, Query
from nettrain.data.sources import Tabular
from nettrain.data.splitting import Split, Stratified
from nettrain.data.table import Table
from nettrain.registry import option


@dataclass
class Sql(Tabular):
    """What a database answers: DuckDB, by default on files that the query names, SQLite or PostgreSQL."""

    name: str = "sql"
    query: str = option(MISSING, "one query that selects rows, such as select * from 'logs/*.parquet'")
    database: Optional[str] = option(  # noqa: UP045
        None,
        "file of DuckDB or SQLite, or postgresql://<user>@<host>/<name>; null: DuckDB on files that the query names",
        is_path=True,
    )
    folder: str = option(".", "folder in which relative paths in the query start", "launch", is_path=True)

    def load(self) -> Table:
        return self.load_for(Stratified())

    def load_for(self, split: Split) -> Table:
        return self.read(self._query, split)

    @property
    def source(self) -> str:
        return SOURCE

    def file_hash(self, split: Split | None = None) -> str | None:
        return self._query.hash()

    @property
    def _query(self) -> Query:
        return Query(self.query, self.database, self.folder)
