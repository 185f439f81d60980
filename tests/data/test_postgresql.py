"""data.database=postgresql://...: a real server, started here, without a network."""

import datetime
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from sklearn.datasets import load_iris

from nettrain.data import Sql, load
from nettrain.data.queries import Query
from nettrain.data.sources import Csv
from nettrain.errors import DataError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("initdb") and shutil.which("postgres")), reason="there is no PostgreSQL"),
]


def as_server(words, **how):
    """A process that is not root's, which the server refuses to be."""
    user = {"user": "postgres"} if os.getuid() == 0 else {}
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **user, **how)


@pytest.fixture(scope="module")
def server():
    """The URL of a server that listens at a socket in a folder of its own, whose path is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        folder = Path(name)
        if os.getuid() == 0:
            os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        made = as_server(["initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "tester", "--no-sync"])
        assert made.wait() == 0
        words = ["postgres", "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses=", "-F"]
        process = as_server(words)
        url = f"postgresql://tester@/postgres?host={folder}"
        try:
            _fill(url)
            yield url
        finally:
            process.terminate()
            process.wait()


def _fill(url):
    iris = load_iris(as_frame=True)
    table = iris.data.assign(species=iris.target_names[iris.target])
    for _ in range(100):
        try:
            connection = psycopg.connect(url, autocommit=True)
            break
        except psycopg.OperationalError:
            time.sleep(0.1)
    with connection:
        connection.execute("create table flowers (sl float8, sw float8, pl float8, pw float8, species text)")
        rows = connection.cursor()
        rows.executemany("insert into flowers values (%s, %s, %s, %s, %s)", table.to_numpy().tolist())
        connection.execute(
            """create table typed as select 9007199254740993::bigint as whole, 1.10::numeric(10, 2) as price, true as
            paid, date '2024-02-29' as day, timestamptz '2024-02-29 12:30:00+02' as moment, array[1.5, 2]::float8[] as
            pair, null::text as nothing, '\\x00'::bytea as photo"""
        )


def test_a_query_gives_the_bits_of_the_same_table_in_a_file(server, here):
    iris = load_iris(as_frame=True)
    table = iris.data.assign(species=iris.target_names[iris.target])
    table.columns = ["sl", "sw", "pl", "pw", "species"]
    table.to_csv("flowers.csv", index=False)
    read = load(Sql(query="select * from flowers", database=server, target="species"), seed=0)
    assert read.digest == load(Csv(path="flowers.csv", target="species"), seed=0).digest


def test_values_come_as_they_are(server):
    (row,) = Query("select whole, price, paid, day, moment, pair, nothing from typed", server).read().to_pylist()
    assert row == {
        "whole": 9007199254740993,
        "price": Decimal("1.10"),
        "paid": True,
        "day": datetime.date(2024, 2, 29),
        "moment": datetime.datetime(2024, 2, 29, 10, 30, tzinfo=datetime.UTC),
        "pair": [1.5, 2.0],
        "nothing": None,
    }


ONE = "one query that selects is run, and the database is only read."
MISTAKES = {
    " ;": "data.query: it is empty; write one query, such as select * from 'table.csv'.",
    "select * frm flowers": 'data.query, line 1, column 10: PostgreSQL says: syntax error at or near "frm".',
    "select *\nfrom flowrs": "data.query, line 2, column 6: there is no table 'flowrs' (did you mean 'flowers'?); the "
    "tables are 'flowers', 'typed'.",
    "select slx from flowers": 'data.query, line 1, column 8: PostgreSQL says: column "slx" does not exist (Perhaps '
    'you meant to reference the column "flowers.sl").',
    "select * from flowers where 1 = 0": "data.query: the result has no rows; a table needs rows.",
    "select photo from typed": "data.query, row 1, column 'photo': found binary data, where numbers, texts, dates or "
    "lists are read; select the other columns.",
    "delete from flowers": f"data.query: DELETE does more than select rows; {ONE}",
    "copy (select 1) to program 'true'": f"data.query: COPY does more than select rows; {ONE}",
    "select 1; delete from flowers": f"data.query: there are several queries; {ONE}",
    "with a as (delete from flowers returning 1) select * from a": "data.query: DECLARE CURSOR must not contain "
    f"data-modifying statements in WITH; {ONE}",
    "select setval('flowers_seq', 5)": "data.query, line 1, column 15: there is no table 'flowers_seq' (did you mean "
    "'flowers'?); the tables are 'flowers', 'typed'.",
}


@pytest.mark.parametrize("query", MISTAKES)
def test_a_query_that_cannot_be_used(server, query):
    with pytest.raises(DataError) as raised:
        Query(query, server).read()
    assert str(raised.value) == MISTAKES[query]
    assert Query("select count(*) as n from flowers", server).read()["n"].to_pylist() == [150]


def test_what_a_function_does_is_taken_back(server):
    Query("select lo_create(4711) as made", server).read()
    count = "select count(*) as n from pg_largeobject_metadata"
    assert Query(count, server).read()["n"].to_pylist() == [0]


def test_a_server_that_does_not_answer(server):
    url = server.replace("/postgres?", "/nowhere?")
    with pytest.raises(
        DataError, match=r'^data.database=.*: it cannot be opened: .*database "nowhere" does not exist\.$'
    ):
        Query("select 1", url).read()
