"""Tables of somebody's own are read as they were meant."""

import gzip
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from nettrain.data.reading import read_table

TEXT = "x,colour,y\n" + "".join(f"{i}.25,{['red', 'green'][i % 2]},{['no', 'yes'][i % 2]}\n" for i in range(20))


def read(tmp_path, content, name="t.csv", target="y", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, target, **options)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", TEXT.encode()),
        ("t.csv", TEXT.replace(",", ";").encode()),
        ("t.tsv", TEXT.replace(",", "\t").encode()),
        ("t.txt", TEXT.replace(",", "|").encode()),
        ("t.csv", TEXT.replace(",", ", ").encode()),
        ("t.csv", TEXT.encode("utf-8-sig")),
        ("t.csv", TEXT.encode("utf-16")),
        ("t.csv", b"\xfe\xff" + TEXT.encode("utf-16-be")),
        ("t.csv", TEXT.replace("\n", "\r\n").encode()),
        ("t.csv", TEXT.replace("red", '"red"').replace("x,", '"x",').encode()),
        ("t.csv", TEXT.replace("\n", "\n\n").encode()),
        ("t.csv", TEXT.rstrip().encode()),
        ("T.CSV", TEXT.encode()),
        ("t.csv.gz", gzip.compress(TEXT.encode())),
    ],
)
def test_every_dialect_gives_the_same_table(tmp_path, name, content):
    table = read(tmp_path, content, name)
    assert list(table.columns) == ["x", "colour"]
    np.testing.assert_array_equal(table.columns["x"], np.arange(20) + 0.25)
    assert table.columns["colour"].tolist() == ["red", "green"] * 10
    assert table.columns["colour"].dtype == object
    assert table.target.tolist() == [0, 1] * 10
    assert table.target.dtype == np.int64
    assert (table.task, table.classes, table.notes) == ("binary", ["no", "yes"], [])
    assert table.source.endswith(name)


def test_quoted_cells_keep_separators_quotes_and_line_ends(tmp_path):
    cells = ['"a, b"', '"say ""hi"""', '"two\nlines"']
    table = read(tmp_path, "c,y\n" + "".join(f"{cell},{i}.5\n" for i, cell in enumerate(cells * 3)))
    assert set(table.columns["c"]) == {"a, b", 'say "hi"', "two\nlines"}


def test_missing_cells(tmp_path):
    words = ["", "NA", "N/A", "NaN", "nan", "null", "None", "?", "  "]
    rows = "".join(f"{word},{word},{i % 2}\n" for i, word in enumerate(words))
    table = read(tmp_path, "number,text,y\n" + rows + "1.5,a,0\n-2e3,b,1\n")
    np.testing.assert_array_equal(table.columns["number"], [np.nan] * 9 + [1.5, -2000])
    assert table.columns["text"].tolist() == [None] * 9 + ["a", "b"]


@pytest.mark.parametrize(
    ("values", "option", "task", "classes"),
    [
        ([0, 1] * 10, "auto", "binary", ["0", "1"]),
        ([-1, 1] * 3, "auto", "binary", ["-1", "1"]),
        (["1.0", "0.0"] * 10, "auto", "binary", ["0", "1"]),
        ([10, 9, 1] * 10, "auto", "multiclass", ["1", "9", "10"]),
        (["b", "a", "c"] * 5, "auto", "multiclass", ["a", "b", "c"]),
        (["yes", "no"] * 5, "auto", "binary", ["no", "yes"]),
        (["TRUE", "FALSE"] * 5, "auto", "binary", ["False", "True"]),
        (["1", "2", "3+", "3+"] * 5, "auto", "multiclass", ["1", "2", "3+"]),
        (list(range(30)) * 10, "auto", "regression", []),
        (list(range(10)) * 2, "auto", "regression", []),
        ([0.5, 1.5] * 10, "auto", "regression", []),
        ([0, 1] * 10, "regression", "regression", []),
        ([0, 1] * 10, "multiclass", "multiclass", ["0", "1"]),
        ([0.5, 1.5] * 10, "binary", "binary", ["0.5", "1.5"]),
        (list(range(15)) * 4, "multiclass", "multiclass", [str(i) for i in range(15)]),
    ],
)
def test_the_task_follows_from_the_target(tmp_path, values, option, task, classes):
    table = read(tmp_path, "x,y\n" + "".join(f"{i},{y}\n" for i, y in enumerate(values)), task=option)
    assert (table.task, table.classes) == (task, classes)
    if classes:
        same = {str(value).capitalize() for value in values}
        assert len(set(zip(map(str, values), table.target, strict=True))) == len(same) == len(classes)
    else:
        np.testing.assert_array_equal(table.target, np.array(values, dtype=float))


def test_whole_numbers_taken_as_classes_are_noted(tmp_path):
    table = read(tmp_path, "x,quality\n" + "".join(f"{i},{3 + i % 4}\n" for i in range(40)), target="quality")
    assert table.notes == ["target 'quality' has 4 whole numbers: taken as classes (or data.task=regression)"]


def test_titanic(tmp_path):
    random = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "PassengerId": range(n),
            "Survived": random.integers(0, 2, n),
            "Name": [f'Smith, Mr. {i} "Jo"' for i in range(n)],
            "Sex": random.choice(["male", "female"], n),
            "Age": np.where(random.random(n) < 0.2, np.nan, random.integers(1, 80, n)),
            "Cabin": [f"C{i}" if i % 3 == 0 else None for i in range(n)],
            "Deck": [None] * n,
            "Alone": random.random(n) < 0.5,
        }
    )
    frame.to_csv(tmp_path / "titanic.csv")
    table = read_table(tmp_path / "titanic.csv", "Survived", drop=["PassengerId"])
    assert list(table.columns) == ["Sex", "Age", "Alone"]
    np.testing.assert_array_equal(table.columns["Age"], frame["Age"])
    assert set(table.columns["Alone"]) == {"False", "True"}
    assert table.notes == [
        "column 1 has no name: left out",
        "column 'Name' has 200 different texts in 200 rows: left out (data.categorical=[Name] keeps it)",
        "column 'Cabin' has 67 different texts in 67 filled cells: left out (data.categorical=[Cabin] keeps it)",
        "column 'Deck' is empty: left out",
    ]
    kept = read_table(tmp_path / "titanic.csv", "Survived", categorical=["Name", "PassengerId"])
    assert kept.columns["Name"][3] == 'Smith, Mr. 3 "Jo"'
    assert kept.columns["PassengerId"][3] == "3"


def test_a_text_column_of_very_many_categories_is_left_out(tmp_path):
    table = read(tmp_path, "x,city,y\n" + "".join(f"{i},city {i % 1001},{i % 2}\n" for i in range(5005)))
    assert list(table.columns) == ["x"]
    assert "1001 different texts in 5005 rows" in table.notes[0]


def test_few_numbers_with_a_text_that_repeats_are_categories(tmp_path):
    table = read(tmp_path, "n,y\n" + "".join(f"{'3+' if i % 20 == 0 else i % 3},{i % 2}\n" for i in range(100)))
    assert set(table.columns["n"]) == {"0", "1", "2", "3+"}


def test_parquet_gives_the_same_table_as_csv(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "real": np.where(random.random(50) < 0.2, np.nan, random.random(50)),
            "whole": random.integers(0, 2**60, 50),
            "text": random.choice(["a", "b", None], 50),
            "category": pd.Categorical(random.choice(["p", "q"], 50)),
            "truth": random.random(50) < 0.5,
            "day": pd.date_range("2024-01-01", periods=2).repeat(25).astype("datetime64[ms]"),
            "y": random.random(50),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    parquet, csv = (read_table(tmp_path / name, "y", drop=["day"]) for name in ("t.parquet", "t.csv"))
    assert list(parquet.columns) == list(csv.columns)
    for name in csv.columns:
        np.testing.assert_array_equal(parquet.columns[name], csv.columns[name])
    np.testing.assert_array_equal(parquet.target, csv.target)
    assert read_table(tmp_path / "t.parquet", "y").columns["day"].dtype == object


def test_a_large_table_is_read_in_seconds(tmp_path):
    random = np.random.default_rng(0)
    n = 50_000
    block = "\n".join(",".join(f"{value:.6f}" for value in row) for row in random.random((n // 50, 28)))
    rows = (block + "\n") * 50
    text = "\n".join(f"{line},{'abc'[i % 3]},{i % 2}" for i, line in enumerate(rows.splitlines()))
    (tmp_path / "t.csv").write_text(",".join(f"x{i}" for i in range(28)) + ",c,y\n" + text)
    start = time.perf_counter()
    table = read_table(tmp_path / "t.csv", "y")
    assert time.perf_counter() - start < 5
    assert len(table.columns) == 29
    assert table.target.shape == (n,)


def test_the_data_layer_starts_fast():
    code = "import sys, nettrain.data; print({'pandas', 'pyarrow', 'sklearn', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    code = (
        "import sys, nettrain.data as d, nettrain.data.sources as s; d.load(s.Digits(), 0);"
        "print('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_line_end_in_quotes_may_fall_anywhere_in_a_large_file(tmp_path):
    cell = '"a' + "\n" * 1000 + 'b"'
    table = read(tmp_path, "c,x,y\n" + f"{cell},1,0\n{cell},2,1\n" * 9000)
    assert len(table.target) == 18000
    assert set(table.columns["c"]) == {"a" + "\n" * 1000 + "b"}


def test_row_numbers_that_pandas_wrote_and_read_again_are_left_out(tmp_path):
    table = read(tmp_path, "Unnamed: 0,x,y\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(20)))
    assert list(table.columns) == ["x"]
    assert table.notes == ["column 1 has no name: left out"]
