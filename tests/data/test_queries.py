"""data=sql: what DuckDB and SQLite answer is a table like any other, in one order, and nothing is written."""

import datetime
import shlex
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import nettrain
from nettrain.data import Sql, load
from nettrain.data.queries import Query
from nettrain.data.sources import Csv
from nettrain.errors import DataError, Mistake

TYPED = """
create table typed as select
    9007199254740993::bigint as whole, 12345678901234567890123456789::hugeint as huge, 1.10::decimal(10, 2) as price,
    true as paid, date '2024-02-29' as day, timestamp '2024-02-29 12:30:00' as moment,
    timestamptz '2024-02-29 12:30:00+02' as zoned, 'x'::enum('x', 'y') as letter, [1.5, 2.5] as pair,
    null::double as nothing
"""


@pytest.fixture
def flowers(here):
    """The irises as CSV, as two Parquet files, in a file of DuckDB and in one of SQLite."""
    iris = load_iris(as_frame=True)
    table = iris.data.assign(species=iris.target_names[iris.target])
    table.columns = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    table.to_csv("flowers.csv", index=False)
    table[:80].to_parquet("part1.parquet", index=False)
    table[80:].to_parquet("part2.parquet", index=False)
    with duckdb.connect("flowers.duckdb") as database:
        database.execute("create table flowers as from 'flowers.csv'")
        database.execute(TYPED)
    with sqlite3.connect("flowers.sqlite") as old:
        table.to_sql("flowers", old, index=False)
        old.execute("create table mixed (whole integer, note text, photo blob)")
        old.executemany(
            "insert into mixed values (?, ?, ?)", [(2**53 + 1, "a", None), (None, None, b"\0"), (3, "b", None)]
        )
    return here


SOURCES = {
    "csv": ("select * from 'flowers.csv'", None),
    "a glob": ("select * from 'part*.parquet'", None),
    "duckdb": ("select * from flowers", "flowers.duckdb"),
    "sqlite": ("select * from flowers", "flowers.sqlite"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_query_gives_the_bits_of_the_same_table_in_a_file(flowers, source):
    query, database = SOURCES[source]
    read = load(Sql(query=query, database=database, target="species"), seed=0)
    assert read.digest == load(Csv(path="flowers.csv", target="species"), seed=0).digest


def test_rows_and_sums_are_the_same_each_time(here):
    query = "select i % 97 as g, sum(sin(i)) as s from range(300000) t(i) group by g"
    first, second = (Query(query).read() for _ in range(2))
    assert first.equals(second)


def test_values_come_as_they_are(flowers):
    table = Query("select * from typed", "flowers.duckdb").read()
    (row,) = table.to_pylist()
    assert row.pop("zoned").astimezone(datetime.UTC) == datetime.datetime(2024, 2, 29, 10, 30, tzinfo=datetime.UTC)
    assert row == {
        "whole": 9007199254740993,
        "huge": Decimal(12345678901234567890123456789),
        "price": Decimal("1.10"),
        "paid": True,
        "day": datetime.date(2024, 2, 29),
        "moment": datetime.datetime(2024, 2, 29, 12, 30),
        "letter": "x",
        "pair": [Decimal("1.5"), Decimal("2.5")],
        "nothing": None,
    }


def test_types_become_features(flowers):
    query = """select i, (i * 7) % 5 / 10.0 as price, i % 3 = 0 as paid, date '2024-01-01' + i::int as day,
        [i * 0.5, 1.5] as pair, case when i % 4 = 0 then null else i end as gap, i % 2 as y from range(60) t(i)"""
    table = load(Sql(query=query, target="y"), seed=0).table
    assert table.columns["day"][1] - table.columns["day"][0] == 86400
    np.testing.assert_array_equal(table.columns["pair"][7], [3.5, 1.5])
    np.testing.assert_allclose(table.columns["price"][:3], [0, 0.2, 0.4])
    assert list(table.columns["paid"][:2]) == ["True", "False"]
    assert np.isnan(table.columns["gap"][4])


def test_whole_numbers_of_sqlite_are_exact_beside_missing_ones(flowers):
    column = Query("select whole, note from mixed", "flowers.sqlite").read()["whole"]
    assert column.to_pylist() == [2**53 + 1, None, 3]


ONE = "one query that selects is run, and the database is only read."
MISTAKES = {
    ("", None): "data.query: it is empty; write one query, such as select * from 'table.csv'.",
    ("-- all", "flowers.sqlite"): "data.query: it is empty; write one query, such as select * from 'table.csv'.",
    ("select * frm flowers", "flowers.duckdb"): "data.query, line 1, column 14: DuckDB says: syntax error at or near "
    '"flowers".',
    ("select *\nfrom flowrs", "flowers.duckdb"): "data.query, line 2, column 6: there is no table 'flowrs' (did you "
    "mean 'flowers'?); the tables are 'flowers', 'typed'.",
    ("select specie from flowers", "flowers.duckdb"): "data.query, line 1, column 8: DuckDB says: Referenced column "
    '"specie" not found in FROM clause! Candidate bindings: "species", "sepal_width", "petal_width", "petal_length", '
    '"sepal_length".',
    ("select cast('a' as int) as k", None): "data.query, line 1, column 8: DuckDB says: Could not convert string 'a' "
    "to INT32.",
    ("select * from 'nix.csv'", None): 'data.query: DuckDB says: No files found that match the pattern "nix.csv".',
    ("select * from 's3://a/b.csv'", None): "data.query: it needs DuckDB's extension httpfs, and extensions are not "
    "loaded; SQLite and PostgreSQL are named by data.database, a file in another place by data=csv data.path=<URL>.",
    ("select * from flowers where 1 = 0", "flowers.duckdb"): "data.query: the result has no rows; a table needs rows.",
    ("select 'a'::blob as b", None): "data.query, column 'b': found binary data, where numbers, texts, dates or lists "
    "are read; select the other columns.",
    ("delete from flowers", "flowers.duckdb"): f"data.query: DELETE does more than select rows; {ONE}",
    ("copy (select 1) to 'stolen.csv'", None): f"data.query: COPY does more than select rows; {ONE}",
    ("select 1 as a; drop table flowers", "flowers.duckdb"): f"data.query: DROP does more than select rows; {ONE}",
    ("select 1 as a; select 2 as b", None): f"data.query: there are several queries; {ONE}",
    ("attach 'stolen.db' as s", None): f"data.query: ATTACH does more than select rows; {ONE}",
    ("load httpfs", None): f"data.query: LOAD does more than select rows; {ONE}",
    ("select * frm flowers", "flowers.sqlite"): 'data.query, line 1, column 10: SQLite says: near "frm": syntax error.',
    ("select * from flowrs", "flowers.sqlite"): "data.query: there is no table 'flowrs' (did you mean 'flowers'?); the "
    "tables are 'flowers', 'mixed'.",
    ("select specie from flowers", "flowers.sqlite"): "data.query: there is no column specie (did you mean "
    "'species'?); correct the query.",
    ("select photo from mixed", "flowers.sqlite"): "data.query, row 2, column 'photo': found binary data, where "
    "numbers, texts, dates or lists are read; select the other columns.",
    ("delete from flowers", "flowers.sqlite"): f"data.query: it does more than select rows; {ONE}",
    ("attach 'stolen.db' as s", "flowers.sqlite"): f"data.query: it does more than select rows; {ONE}",
    ("select 1; delete from flowers", "flowers.sqlite"): f"data.query: there are several queries; {ONE}",
    ("select load_extension('x')", "flowers.sqlite"): "data.query: SQLite says: not authorized to use function: "
    "load_extension.",
    ("select 1", "flowers.duckd"): "data.database=flowers.duckd: there is no such file (did you mean "
    "'flowers.duckdb'?); correct the path.",
    ("select 1", "flowers.csv"): "data.database=flowers.csv: this is no database of DuckDB or SQLite; data.path is for "
    "tables in files.",
    ("select 1", "."): "data.database=.: this is no file; name that of the database.",
    ("select 1", "mysql://a/b"): "data.database=mysql://a/b: databases are files of DuckDB and SQLite, and "
    "postgresql://<user>@<host>/<name>.",
    ("select 1", "postgresql://me:secret@host/b"): "data.database=postgresql://me@host/b: the password would be "
    "written into the run's folder; leave it out and use the variable PGPASSWORD or the file ~/.pgpass.",
}


@pytest.mark.parametrize(("query", "database"), MISTAKES)
def test_a_query_that_cannot_be_used(flowers, query, database):
    before = {path.name: path.read_bytes() for path in flowers.iterdir()}
    with pytest.raises(Mistake) as raised:
        Query(query, database).read()
    assert str(raised.value) == MISTAKES[query, database]
    assert {path.name: path.read_bytes() for path in flowers.iterdir()} == before


def test_a_damaged_database(flowers):
    whole = Path("flowers.sqlite").read_bytes()
    Path("flowers.sqlite").write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(DataError, match=r"^data.database=flowers.sqlite: SQLite cannot read it: database disk image"):
        Query("select * from flowers", "flowers.sqlite").read()
    Path("flowers.duckdb").write_bytes(Path("flowers.duckdb").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"^data.database=flowers.duckdb: it cannot be opened; DuckDB says: [^\n]*\.$"):
        Query("select * from flowers", "flowers.duckdb").read()


def test_a_database_that_somebody_writes(flowers):
    code = "import duckdb; c = duckdb.connect('flowers.duckdb'); print(flush=True); input()"
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer.stdout.readline()
    try:
        with pytest.raises(DataError) as raised:
            Query("select * from flowers", "flowers.duckdb").read()
    finally:
        writer.communicate(b"\n")
    assert str(raised.value) == "data.database=flowers.duckdb: another program is writing it; close it there."


def test_a_locked_file_of_sqlite(flowers, monkeypatch):
    monkeypatch.setattr("nettrain.data.sqlite_query._WAIT", 0.1)
    writer = sqlite3.connect("flowers.sqlite", isolation_level=None)
    writer.execute("begin exclusive")
    with pytest.raises(
        DataError, match=r"^data.database=flowers.sqlite: another program is writing it; close it there"
    ):
        Query("select * from flowers", "flowers.sqlite").read()
    writer.close()


def test_variables_of_python_are_no_tables(here):
    secret = pd.DataFrame({"a": [1]})
    with pytest.raises(DataError, match="there is no table 'secret'"):
        Query("select * from secret").read()
    assert len(secret) == 1


def test_what_is_not_installed_is_named(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        DataError, match=r"DuckDB, which is not installed; pip install 'nettrain\[sql\]' installs it\.$"
    ):
        Query("select 1").read()
    with pytest.raises(DataError, match=r"psycopg, which is not installed; pip install 'nettrain\[postgresql\]'"):
        Query("select 1", "postgresql:///x").read()


RUN = [
    "data=sql",
    "recipe=plain",
    "data.query=select * from flowers",
    "data.database=flowers.duckdb",
    "data.target=species",
]
QUICK = ["epochs=1", "quiet=true", "tensorboard=false"]


def test_a_run_predicts_for_a_query(flowers):
    run = nettrain.train([*RUN, *QUICK], folder="run")
    by_path = run.predict("flowers.csv")
    pd.testing.assert_frame_equal(run.predict(query="from 'part*.parquet'"), by_path)
    pd.testing.assert_frame_equal(run.predict(query="select * from flowers", database="flowers.sqlite"), by_path)
    assert run.evaluate(query="from 'flowers.csv'") == run.evaluate("flowers.csv")
    with pytest.raises(Mistake, match="a table and a query were given"):
        run.predict("flowers.csv", query="from 'flowers.csv'")
    with pytest.raises(Mistake, match="neither a table nor a query"):
        run.predict()


@pytest.mark.slow
def test_the_commands_of_the_page_on_queries(flowers):
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
    block = page.split("## Queries")[1].split("```sh\n")[1].split("```")[0]
    Path("logs").mkdir()
    for name in ("part1.parquet", "part2.parquet"):
        Path(name).rename(Path("logs", name))
    with duckdb.connect("my.duckdb") as database:
        database.execute("create table flowers as select *, row_number() over () as id from 'flowers.csv'")
    Path("flowers.sqlite").rename("my.sqlite")
    nettrain.train(
        ["data=csv", "recipe=plain", "data.path=flowers.csv", "data.target=species", *QUICK], folder="outputs/flowers"
    )
    for line in block.splitlines():
        name, *words = shlex.split(line.removeprefix("python "))
        module = {"train.py": "nettrain.app.main:main", "nettrain-predict": "nettrain.app.tools:predict"}[name]
        code = f"from {module.replace(':', ' import ')} as start; start()"
        ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_resumed_run_refuses_other_rows(flowers):
    nettrain.train([*RUN, *QUICK], folder="run")
    with duckdb.connect("flowers.duckdb") as database:
        database.execute("create table other as select 1")  # which is none of the run's business
    nettrain.train(["resume=run", RUN[2], "epochs=2", "quiet=true"])
    with duckdb.connect("flowers.duckdb") as database:
        database.execute("update flowers set sepal_width = 3.25 where sepal_width = 3.2")
    with pytest.raises(DataError, match="the data have changed since the run in run was trained"):
        nettrain.train(["resume=run", RUN[2], "epochs=3", "quiet=true"])


def test_files_of_a_query_are_found_from_another_folder(flowers, monkeypatch):
    query = "data.query=from 'part*.parquet'"
    nettrain.train(["data=sql", "recipe=plain", query, "data.target=species", *QUICK], folder="run")
    (flowers / "elsewhere").mkdir()
    monkeypatch.chdir(flowers / "elsewhere")
    assert nettrain.train(["resume=../run", query, "epochs=2", "quiet=true"]).summary["epochs"] == 2
