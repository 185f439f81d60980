"""Tables of somebody's own are read as they were meant."""

import bz2
import csv
import gzip
import io
import lzma
import subprocess
import sys
import time
import zipfile

import numpy as np
import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from nettrain.data import load
from nettrain.data.read_options import ReadOptions
from nettrain.data.reading import read_table
from nettrain.data.sources import Csv
from nettrain.errors import DataError

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
        ("t.csv.gz", gzip.compress(TEXT.encode(), mtime=0)),
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
        "column 'Name' has 200 different texts in 200 rows: left out (data.categorical=[Name] keeps it, "
        "data.columns.Name=hash counts its words)",
        "column 'Cabin' has 67 different texts in 67 filled cells: left out (data.categorical=[Cabin] keeps it, "
        "data.columns.Cabin=hash counts its words)",
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
        "import sys, nettrain.data as d, nettrain.data.shipped as s; d.load(s.Digits(), 0);"
        "print('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_line_end_in_quotes_may_fall_anywhere_in_a_large_file(tmp_path):
    cell = '"a' + "\n" * 1000 + 'b"'
    table = read(tmp_path, "c,x,y\n" + f"{cell},1,0\n{cell.replace('b', 'c')},2,1\n" * 9000)
    assert len(table.target) == 18000
    assert set(table.columns["c"]) == {"a" + "\n" * 1000 + "b", "a" + "\n" * 1000 + "c"}


def test_row_numbers_that_pandas_wrote_and_read_again_are_left_out(tmp_path):
    table = read(tmp_path, "Unnamed: 0,x,y\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(20)))
    assert list(table.columns) == ["x"]
    assert table.notes == ["column 1 has no name: left out"]


FIGURES = [
    (["61%", "7 %", "-3%", "0"], [61, 7, -3, 0], "'61%' is read as the number 61"),
    (["$1,234.50", "$7", "-$3.25", "12"], [1234.5, 7, -3.25, 12], "'$1,234.50' is read as the number 1234.5"),
    (["1,234", "12,345,678", "7", "0.5"], [1234, 12345678, 7, 0.5], "'1,234' is read as the number 1234"),
    (
        ["1\u00a0234.5", "7", "2'000", "3\u202f000"],
        [1234.5, 7, 2000, 3000],
        "'1\ufffd234.5' is read as the number 1234.5",
    ),
    (["7 EUR", "1,000 EUR", "3.5", "-1"], [7, 1000, 3.5, -1], "'7 EUR' is read as the number 7"),
    (["1.5", ".", "2", "-3"], [1.5, np.nan, 2, -3], "'.' in 20 of 80 values (25 %) counts as missing"),
    (["-", "n.a.", "2", "3"], [np.nan, np.nan, 2, 3], "'-', 'n.a.' in 40 of 80 values (50 %) counts as missing"),
    (["#DIV/0!", "unknown", "--", "3"], [np.nan] * 3 + [3], "'#DIV/0!', 'unknown', '--' in 60 of 80 values (75 %)"),
    (["007", "12", "0815", "5"], [7, 12, 815, 5], "'007' is read as the number 7"),
]


@pytest.mark.parametrize(("cells", "numbers", "note"), FIGURES, ids=[case[2] for case in FIGURES])
def test_numbers_that_are_written_for_people_are_read_as_such_and_noted(tmp_path, cells, numbers, note):
    rows = "".join(f'"{cells[i % 4]}",{i},{"ab"[i % 2]}\n' for i in range(80))
    table = read(tmp_path, "c,x,y\n" + rows)
    np.testing.assert_array_equal(table.columns["c"], np.array(numbers * 20, dtype=float))
    assert table.notes[0].startswith(f"column 'c': {note}")
    assert table.notes[0].endswith("(data.categorical=[c] keeps the texts)")
    kept = read(tmp_path, "c,x,y\n" + rows, categorical=["c"])
    assert set(kept.columns["c"]) == set(cells)
    if np.isnan(numbers).any():
        assert set(read(tmp_path, "c,x,y\n" + rows, options=ReadOptions(missing=[])).columns["c"]) == set(cells)


def test_a_target_of_percentages_is_one_of_numbers(tmp_path):
    text = "x,y\n" + "".join(f"{i},{50 + i % 7}%\n" for i in range(70))
    table = read(tmp_path, text)
    assert table.task == "regression"
    np.testing.assert_array_equal(table.target, 50 + np.arange(70) % 7)
    assert table.notes == [
        "column 'y': '50%' is read as the number 50 (data.task=multiclass takes each text as a class)"
    ]
    classes = read(tmp_path, text, task="multiclass")
    assert classes.classes == [f"{50 + i}%" for i in range(7)]


def test_a_decimal_comma_is_read_where_it_is_asked_for(tmp_path):
    text = "x;p;y\n" + "".join(f"{i},5;{i}.234,25;{'ab'[i % 2]}\n" for i in range(1, 41))
    table = read(tmp_path, text, options=ReadOptions(decimal="comma"))
    np.testing.assert_array_equal(table.columns["x"], np.arange(1, 41) + 0.5)
    np.testing.assert_array_equal(table.columns["p"], np.arange(1, 41) * 1000 + 234.25)
    assert table.notes == [
        "column 'p': '1.234,25' is read as the number 1234.25 (data.categorical=[p] keeps the texts)"
    ]
    with pytest.raises(DataError, match=r"row 2, column 'x': found '1,5'; .*data\.decimal=comma"):
        read(tmp_path, text)


def test_words_for_missing_values_are_said_and_can_be_chosen(tmp_path):
    words = ["None", "low", "NA", "high"]
    rows = "".join(f"{words[i % 4]},{i},{words[i % 4]}\n" for i in range(40))
    text = "f,x,y\n" + rows
    table = read(tmp_path, text, options=ReadOptions(drop_missing_target=True))
    assert table.classes == ["high", "low"]
    assert table.notes[0] == "20 of 40 rows have no 'y': left out"
    table = read(tmp_path, text.replace("None\n", "none\n").replace("NA\n", "na\n"))
    assert table.columns["f"].tolist() == [None, "low", None, "high"] * 10
    assert table.notes == ["words that count as missing: 'None' in f; 'NA' in f (data.missing=[] keeps them as texts)"]
    kept = read(tmp_path, text, options=ReadOptions(missing=[]))
    assert kept.classes == ["NA", "None", "high", "low"]
    assert kept.columns["f"].tolist() == words * 10
    assert kept.notes == []
    own = read(tmp_path, text.replace("None", "n.b.").replace("NA", "-9"), options=ReadOptions(missing=["n.b.", "-9"]),
               target="x", task="regression")  # fmt: skip
    assert own.columns["f"].tolist() == [None, "low", None, "high"] * 10


def test_a_number_can_stand_for_a_missing_one(tmp_path):
    frame = pd.DataFrame({"x": [1.5, -999, 3, -999.0] * 10, "y": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        table = read_table(tmp_path / name, "y", options=ReadOptions(missing=["-999"]))
        np.testing.assert_array_equal(table.columns["x"], [1.5, np.nan, 3, np.nan] * 10)


def test_rows_without_a_target_keep_their_numbers_in_messages(tmp_path):
    text = "x,y\n" + "".join(f"{i},{'' if i % 3 else i}\n" for i in range(60)) + "z,5\n"
    with pytest.raises(DataError, match=r"t\.csv, row 62, column 'x': found 'z'"):
        read(tmp_path, text, options=ReadOptions(drop_missing_target=True))


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("t.csv", b"sep=;\n" + TEXT.replace(",", ";").encode(), {}),
        ("t.csv", b'\xef\xbb\xbf"sep=^"\r\n' + TEXT.replace(",", "^").replace("\n", "\r\n").encode(), {}),
        ("t.csv", TEXT.replace(",", "^").encode(), {"separator": "^"}),
        ("t.csv", TEXT.replace(",", ";").encode(), {"separator": "semicolon"}),
        ("t.txt", TEXT.replace(",", "   ").replace("\n", "  \n  ").encode(), {}),
        ("t.dat", TEXT.replace(",", " \t").encode(), {}),
        ("t.txt", TEXT.replace(",", " ").replace("red", '"red"').encode(), {"separator": "space"}),
        ("t.csv", TEXT.replace("x,", "é,").encode("latin-1"), {"encoding": "latin-1"}),
        ("t.csv", TEXT.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("t.csv", TEXT.encode("cp037"), {"encoding": "cp037"}),
        ("t.data", TEXT.partition("\n")[2].encode(), {"header": False}),
        ("t.csv.bz2", bz2.compress(TEXT.encode()), {}),
        ("t.tsv.xz", lzma.compress(TEXT.replace(",", "\t").encode()), {}),
        ("t.txt.zst", pyarrow.compress(TEXT.encode(), codec="zstd", asbytes=True), {}),
        ("t.data.gz", gzip.compress(TEXT.partition("\n")[2].encode(), mtime=0), {"header": False}),
    ],
)
def test_files_are_read_as_people_have_them(tmp_path, name, content, options):
    target = "3" if options.get("header") is False else "y"
    table = read(tmp_path, content, name, target, options=ReadOptions(**options))
    first, second = table.columns.values()
    np.testing.assert_array_equal(first, np.arange(20) + 0.25)
    assert second.tolist() == ["red", "green"] * 10
    names = {"3": ["1", "2"], "latin-1": ["é", "colour"]}
    assert list(table.columns) == names.get(options.get("encoding", target), ["x", "colour"])
    assert (table.classes, table.notes) == (["no", "yes"], [])


@pytest.mark.parametrize("inner", ["t.csv", "folder/t.csv", "t.parquet", "t.xlsx"])
def test_the_one_table_in_a_zip_file_is_read(tmp_path, inner):
    frame = pd.DataFrame({"x": np.arange(20) + 0.25, "y": ["no", "yes"] * 10})
    content = io.BytesIO()
    if inner.endswith(".parquet"):
        frame.to_parquet(content)
    else:
        (frame.to_csv if inner.endswith(".csv") else frame.to_excel)(content, index=False)
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr(inner, content.getvalue())
        archive.writestr("__MACOSX/._t.csv", "x")
        archive.writestr("readme.md", "x")
    table = read_table(tmp_path / "t.zip", "y")
    np.testing.assert_array_equal(table.columns["x"], np.arange(20) + 0.25)


def test_a_long_cell_beside_an_inch_mark_is_read(tmp_path):
    cells = ["w" * 140_000, '5" pipe', '3" and 4" pipes', "plain"]
    table = read(tmp_path, "c,x,y\n" + "".join(f"{cells[i % 4]},{i},{i % 2}\n" for i in range(43)))
    assert set(table.columns["c"]) == set(cells)
    rows = "".join(f"{cells[i % 4]},{i},{i % 2}\n" for i in range(43))
    with pytest.raises(DataError, match=r"row 45: found 2 cells where the header has 3"):
        read(tmp_path, "c,x,y\n" + rows + "short,1\n")
    assert csv.field_size_limit() == 131072


def test_the_same_name_twice_is_told_apart_as_pandas_does_it(tmp_path):
    text = "x,x,x.1,x,y\n" + "".join(f"{i},{i * 2},{i * 3},{i * 4},{i % 2}\n" for i in range(20))
    table = read(tmp_path, text)
    by_pandas = pd.read_csv(tmp_path / "t.csv")
    assert [*table.columns, "y"] == list(by_pandas)
    for name in table.columns:
        np.testing.assert_array_equal(table.columns[name], by_pandas[name])
    assert table.notes == ["several columns are called 'x': the later ones are 'x.2', 'x.3' now"]


ROWS = "M,0.455,15\nF,0.5,9\nI,0.25,7\nM,0.75,7\n" * 10


@pytest.mark.parametrize(
    ("text", "target", "noted"),
    [
        (ROWS, "15", True),
        ("sex,length,rings\n" + ROWS, "rings", False),
        ("p,x,e\n" + "p,x,e\ne,y,e\np,s,p\n" * 10, "p", True),
        ("country,1990,1991,y\n" + "a,5,6,p\nb,7,8,q\n" * 10, "y", False),
        ("0,1,2,y\n" + "3,5,6,p\n2,7,8,q\n" * 10, "y", False),
    ],
)
def test_a_first_row_that_looks_like_data_is_noted(tmp_path, text, target, noted):
    notes = [note for note in read(tmp_path, text, target=target).notes if "data.header=false" in note]
    first = ", ".join(text.partition("\n")[0].split(","))
    assert notes == ([f"row 1 looks like data ({first}): data.header=false reads it as such"] if noted else [])


def test_pandas_index_is_no_feature(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=240), "y": ["yes"] * 120 + ["no"] * 120})
    shuffled = frame.sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "s.parquet")
    table = read_table(tmp_path / "s.parquet", "y")
    assert list(table.columns) == ["a"]
    keep = "data.categorical=[__index_level_0__] keeps it"
    assert table.notes == [f"column '__index_level_0__' is the index of a pandas table: left out ({keep})"]
    named = frame.set_index(pd.Index(random.integers(0, 5, 240), name="group"))
    named.to_parquet(tmp_path / "n.parquet")
    assert list(read_table(tmp_path / "n.parquet", "y").columns) == ["a"]
    assert list(read_table(tmp_path / "n.parquet", "y", categorical=["group"]).columns) == ["a", "group"]
    assert read_table(tmp_path / "n.parquet", "group").classes == list("01234")
    # Another library rewrote it, and left the index a column like any other.
    plain = parquet.read_table(tmp_path / "s.parquet").replace_schema_metadata(None)
    parquet.write_table(plain, tmp_path / "o.parquet")
    assert list(read_table(tmp_path / "o.parquet", "y").columns) == ["a"]
    broken = pyarrow.table({"a": range(240), "y": ["p", "q"] * 120}, metadata={"pandas": '{"index_columns": 5}'})
    parquet.write_table(broken, tmp_path / "b.parquet")
    assert list(read_table(tmp_path / "b.parquet", "y").columns) == ["a"]


def test_an_index_that_a_run_needs_is_found_in_a_dataframe(tmp_path):
    frame = pd.DataFrame({"id": np.arange(60), "a": np.arange(60) % 7, "y": ["p", "q"] * 30})
    frame.to_csv(tmp_path / "t.csv", index=False)
    encoder = load(Csv(path=str(tmp_path / "t.csv"), target="y"), seed=0).encoder
    expected = encoder.features(encoder.read(frame))
    np.testing.assert_array_equal(encoder.features(encoder.read(frame.set_index("id"))), expected)
    frame.set_index(["id", "a"]).to_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(encoder.features(encoder.read(tmp_path / "t.parquet")), expected)
    np.testing.assert_array_equal(encoder.features(encoder.read(pd.read_parquet(tmp_path / "t.parquet"))), expected)


def test_letter_case_makes_no_difference_where_that_is_asked_for(tmp_path):
    towns, labels = ["Bern", "BERN", "Bern", "graz"], ["p", "P", "Q"]
    text = "c,x,y\n" + "".join(f"{towns[i % 4]},{i},{labels[i % 3]}\n" for i in range(60))
    table = read(tmp_path, text, options=ReadOptions(ignore_case=True))
    assert table.columns["c"].tolist() == ["Bern", "Bern", "Bern", "graz"] * 15
    assert len(table.classes) == 2
    assert set(read(tmp_path, text).columns["c"]) == {"Bern", "BERN", "graz"}


def test_an_excel_file_gives_the_same_table_as_csv(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "real": np.where(random.random(50) < 0.2, np.nan, random.integers(0, 2**20, 50) / 64),
            "whole": random.integers(0, 2**40, 50),
            "text": random.choice(["a", "b", None], 50),
            "truth": random.random(50) < 0.5,
            "day": pd.to_datetime(random.choice(["2024-01-01", "2024-02-29"], 50)),
            "mixed": random.choice(np.array([1, "2+", "x"], dtype=object), 50),
            "y": random.choice(["p", "q"], 50),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        frame.to_excel(book, sheet_name="cases", index=False, startrow=2)
        frame.to_excel(book, sheet_name="other", index=False)
    excel, text = (read_table(tmp_path / name, "y") for name in ("t.xlsx", "t.csv"))
    assert list(excel.columns) == list(text.columns) == ["real", "whole", "text", "truth", "day", "mixed"]
    for name in text.columns:
        np.testing.assert_array_equal(excel.columns[name], text.columns[name])
    np.testing.assert_array_equal(excel.target, text.target)
    assert excel.notes == ["sheet 'cases' is read, and not 'other'"]
    bad = frame.astype(object).assign(real=["oops", *frame.real[1:]])
    bad.to_excel(tmp_path / "bad.xlsx", index=False, startrow=3)
    with pytest.raises(DataError, match=r"bad\.xlsx, row 5, column 'real': found 'oops', which is no number"):
        read_table(tmp_path / "bad.xlsx", "y")


def test_a_missing_library_for_excel_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"t\.xlsx: Excel files are read by openpyxl.*pip install 'nettrain\[excel\]'"):
        read(tmp_path, b"PK", "t.xlsx")


MEMORY = """
import resource, sys
import pyarrow, pyarrow.parquet, pandas, torch
from nettrain.data import load
from nettrain.data.sources import Csv

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

load(Csv(path="small.parquet", target="c0"), 0)
before = peak()
load(Csv(path="large.parquet", target="c0"), 0)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource module")
def test_a_table_takes_no_more_than_three_times_its_bytes_while_it_is_read(here):
    numbers = np.random.default_rng(0).normal(size=(20, 400_000))
    for name, rows in (("large", 400_000), ("small", 1000)):
        columns = {f"c{i}": column[:rows] for i, column in enumerate(numbers)}
        parquet.write_table(pyarrow.table(columns), f"{name}.parquet")
    ended = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 3 * numbers.nbytes
