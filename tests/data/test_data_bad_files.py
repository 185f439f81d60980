"""Every bad file ends in one sentence: the file, the row, the column, what was found and what would do."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest

from nettrain.data import Encoder, load
from nettrain.data.reading import read_table
from nettrain.data.sources import Csv
from nettrain.errors import ConfigError, DataError

# Rows 2 to 21 are 0.5,0,a and 1.5,1,b and so on.
GOOD = "x,z,y\n" + "".join(f"{i}.5,{i % 2},{'ab'[i % 2]}\n" for i in range(20))


def with_row(line: int, text: str) -> str:
    lines = GOOD.splitlines(keepends=True)
    lines[line - 1] = text + "\n"
    return "".join(lines)


EMPTY = "t.csv: the file is empty; a table needs a row of column names and rows below it."
HEADER_ONLY = "t.csv: there is a row of column names and no row below it; a table needs rows."
BINARY = "t.csv: this is no text but binary data; save the table as CSV with the encoding UTF-8."
PARQUET = "t.parquet: the file is no Parquet file, or a damaged one; write it again."
QUOTE = (
    "t.csv, row 4: a quoted cell does not end where a separator follows; close the quote, "
    "and write a quote inside a quoted cell twice."
)


def ragged(row: int, found: str, separator: str = ",", path: str = "t.csv") -> str:
    return (
        f"{path}, row {row}: found {found} where the header has 3 (separator '{separator}'); "
        "give the row 3, with quotes around a text that holds a separator."
    )


def suffix(path: str) -> str:
    return (
        f"{path}: tables are read from files that end in .csv, .tsv, .txt, .tab, .dat, .data, .parquet, .xlsx, .xlsm, "
        "also packed (.gz, .bz2, .xz, .zst, .zip); convert or rename it."
    )


def damaged(path: str, kind: str) -> str:
    return f"{path}: the file is no {kind} file, or a damaged one; make it again with {kind}."


def latin(row: int) -> str:
    return (
        f"t.csv, row {row}: byte 0xe9 is no UTF-8 text; save the file with the encoding UTF-8, or name its encoding, "
        "such as data.encoding=latin-1."
    )


def no_number(row: int, column: str, found: str) -> str:
    return (
        f"t.csv, row {row}, column '{column}': found '{found}', which is no number; correct the cell, "
        f"or take the column as categories with data.categorical=[{column}], "
        f"or leave it out with data.drop=[{column}]."
    )


def decimal_comma(row: int, found: str) -> str:
    return (
        f"t.csv, row {row}, column 'x': found '{found}'; write numbers with a decimal point and without thousands "
        "separators, read decimal commas with data.decimal=comma, or take the column as categories with "
        "data.categorical=[x], or leave it out with data.drop=[x]."
    )


def not_finite(column: str, found: str) -> str:
    return f"t.csv, row 9, column '{column}': found {found}; numbers must be finite and below 1e+37; correct the cell."


def missing_target(column: str, word: str = "", as_class: str = "") -> str:
    what = f"found '{word}', which counts as missing" if word else "the target is missing"
    leave_out = "leave such rows out with data.drop_missing_target=true"
    return (
        f"t.csv, row 9, column '{column}': {what} (in 1 of 20 rows); fill it in, {'' if word else 'or '}{leave_out}"
        f"{as_class}."
    )


AS_CLASS = ", or take the word as a class with data.missing=[]"


def regression_text(row: int, column: str, found: str) -> str:
    return (
        f"t.csv, row {row}, column '{column}': found '{found}', which is no number; correct the cell; "
        "for a target of texts data.task=binary or data.task=multiclass fits."
    )


def rare(column: str, label: str) -> str:
    return (
        f"t.csv, row 9, column '{column}': the label '{label}' stands in 1 row, and 3 are needed, one for each split "
        "(1 of 3 classes have fewer); correct the label, or delete its rows"
        + (", or take the target as numbers with data.task=regression." if label[0].isdigit() else ".")
    )


def zipped(members: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


PACKED = [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("zst", "zstd"), ("zip", "zip")]


def packed(suffix: str) -> bytes:
    if suffix == "zip":
        return zipped({"t.csv": GOOD})
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}[suffix]
    return bytes(pack(GOOD.encode()))


def zstd(content: bytes) -> bytes:
    return pyarrow.compress(content, codec="zstd", asbytes=True)


# What is wrong, the file, its content, the message; and options besides path=<the file> and target=y.
BAD = [
    ("empty", "t.csv", "", EMPTY),
    ("only empty lines", "t.csv", "\n\n\n", EMPTY),
    ("only a byte order mark", "t.csv", b"\xef\xbb\xbf", EMPTY),
    ("header only", "t.csv", "x,z,y\n", HEADER_ONLY),
    ("header without a line end", "t.csv", "x,z,y", HEADER_ONLY),
    ("short row", "t.csv", with_row(4, "2.5,0"), ragged(4, "2 cells")),
    ("long row", "t.csv", with_row(4, "2.5,0,a,9"), ragged(4, "4 cells")),
    ("trailing separator in one row", "t.csv", with_row(4, "2.5,0,a,"), ragged(4, "4 cells")),
    ("ragged below empty lines", "t.csv", with_row(4, "\n\n2.5"), ragged(6, "1 cell")),
    ("ragged with semicolons", "t.csv", with_row(4, "2.5,0").replace(",", ";"), ragged(4, "2 cells", ";")),
    (
        "ragged without a header",
        "t.csv",
        "1,2,3\n4,5\n",
        "t.csv, row 2: found 2 cells where the first row has 3 (separator ','); give the row 3, with quotes around a "
        "text that holds a separator.",
        {"header": False, "target": "3"},
    ),
    ("ragged below sep=", "t.csv", "sep=;\n" + with_row(4, "2.5,0").replace(",", ";"), ragged(5, "2 cells", ";")),
    ("ragged with blanks", "t.txt", with_row(4, "2.5,0").replace(",", "  "), ragged(4, "2 cells", " ", "t.txt")),
    ("open quote", "t.csv", with_row(4, '2.5,0,"a'), QUOTE),
    ("quote inside quotes", "t.csv", with_row(4, '2.5,0,"a"b"'), QUOTE),
    (
        "the target's name twice",
        "t.csv",
        GOOD.replace("z", "y"),
        "t.csv: several columns are called 'y', which data.target names; rename or delete the others.",
    ),
    (
        "no header",
        "t.csv",
        "0.5,0,1\n1.5,1,0\n",
        "t.csv: row 1 holds only numbers (0.5, 0, 1); add a first row of column names, or read it as data with "
        "data.header=false.",
    ),
    (
        "no header, and a name that is not there",
        "t.csv",
        GOOD.partition("\n")[2],
        "t.csv: there is no column 'y', which data.target names; the columns are 0.5, 0, a; row 1 looks like data (0.5"
        ", 0, a): data.header=false reads it as such.",
    ),
    (
        "latin-1",
        "t.csv",
        with_row(7, "5.5,1,caf\xe9").encode("latin-1"),
        latin(7),
    ),
    (
        "latin-1 behind a UTF-8 mark",
        "t.csv",
        b"\xef\xbb\xbf" + with_row(7, "5.5,1,caf\xe9").encode("latin-1"),
        latin(7),
    ),
    (
        "another encoding than the one that is named",
        "t.csv",
        with_row(7, "5.5,1,caf\xe9").encode("latin-1"),
        "t.csv, row 7: this is no text in the encoding ascii (ordinal not in range(128)).",
        {"encoding": "ascii"},
    ),
    ("utf-16 without a mark", "t.csv", GOOD.encode("utf-16-le"), BINARY),
    (
        "half a utf-16 character",
        "t.csv",
        GOOD.encode("utf-16")[:-1],
        "t.csv: the UTF-16 text is damaged; save the file with the encoding UTF-8.",
    ),
    ("binary", "t.csv", b"x,y\n1,\0\0\n", BINARY),
    ("a suffix that is not read", "t.ods", GOOD, suffix("t.ods")),
    ("packed, but no table", "t.png.gz", GOOD, suffix("t.png.gz")),
    ("no suffix", "table", GOOD, suffix("table")),
    ("damaged parquet", "t.parquet", b"PAR1 nothing", PARQUET),
    ("csv called parquet", "t.parquet", GOOD, PARQUET),
    ("csv called xlsx", "t.xlsx", GOOD, "t.xlsx: the file is no Excel file, or a damaged one; save it again."),
    *((f"csv called {s}", f"t.csv.{s}", GOOD, damaged(f"t.csv.{s}", kind)) for s, kind in PACKED),
    *((f"cut {s}", f"t.csv.{s}", packed(s)[:-20], damaged(f"t.csv.{s}", kind)) for s, kind in PACKED),
    (
        "two tables in a zip",
        "t.zip",
        zipped({"a.csv": GOOD, "b.csv": GOOD, "__MACOSX/a.csv": ""}),
        "t.zip: 2 files in it (a.csv, b.csv), 2 of them a table; a zip file must hold one table.",
    ),
    (
        "no table in a zip",
        "t.csv.zip",
        zipped({"readme.md": GOOD}),
        "t.csv.zip: 1 file in it (readme.md), 0 of them a table; a zip file must hold one table.",
    ),
    (
        "no such file",
        "tt.csv",
        GOOD,
        "t.csv: there is no such file (did you mean 'tt.csv'?); correct the path.",
        {"path": "t.csv"},
    ),
    (
        "no such file, none near",
        "abc.csv",
        GOOD,
        "house_prices.csv: there is no such file; correct the path.",
        {"path": "house_prices.csv"},
    ),
    (
        "no such folder",
        "t.csv",
        GOOD,
        "nowhere/t.csv: there is no folder nowhere; correct the path.",
        {"path": "nowhere/t.csv"},
    ),
    (
        "a folder",
        "t.csv",
        GOOD,
        ".: this is a folder without Parquet files; name the file that holds the table.",
        {"path": "."},
    ),
    (
        "no such target",
        "t.csv",
        GOOD,
        "t.csv: there is no column 'Yy' (did you mean 'y'?), which data.target names; the columns are x, z, y.",
        {"target": "Yy"},
    ),
    (
        "drop an unknown column",
        "t.csv",
        GOOD,
        "t.csv: there is no column 'w', which data.drop names; the columns are x, z, y.",
        {"drop": ["w"]},
    ),
    (
        "categorical names an unknown column",
        "t.csv",
        GOOD,
        "t.csv: there is no column 'X' (did you mean 'x'?), which data.categorical names; the columns are x, z, y.",
        {"categorical": ["X"]},
    ),
    (
        "drop the target",
        "t.csv",
        GOOD,
        "t.csv: data.drop names the target 'y'; it is for the other columns.",
        {"drop": ["y"]},
    ),
    (
        "the target as a category",
        "t.csv",
        GOOD,
        "t.csv: data.categorical names the target 'y'; it is for the other columns.",
        {"categorical": ["y"]},
    ),
    ("text among numbers", "t.csv", with_row(9, "abc,1,b"), no_number(9, "x", "abc")),
    ("text among digits", "t.csv", with_row(9, "7.5,O,b"), no_number(9, "z", "O")),
    ("underscore in a number", "t.csv", with_row(9, "1_000,1,b"), no_number(9, "x", "1_000")),
    ("text below empty lines", "t.csv", with_row(9, "\n\n abc ,1,b"), no_number(11, "x", "abc")),
    (
        "text below a quoted line end",
        "t.csv",
        with_row(3, '1.5,1,"b\n"').replace("2.5", "two", 1),
        no_number(5, "x", "two"),
    ),
    ("inf", "t.csv", with_row(9, "inf,1,b"), not_finite("x", "inf")),
    ("-Infinity", "t.csv", with_row(9, "-Infinity,1,b"), not_finite("x", "-inf")),
    ("1e400", "t.csv", with_row(9, "1e400,1,b"), not_finite("x", "inf")),
    ("too large for float32", "t.csv", with_row(9, "1e38,1,b"), not_finite("x", "1e+38")),
    ("decimal comma", "t.csv", GOOD.replace(",", ";").replace(".", ","), decimal_comma(2, "0,5")),
    (
        "a decimal point among commas",
        "t.csv",
        with_row(9, "7.5,1,b").replace(",", ";").replace(".", ",").replace("7,5", "7.5"),
        no_number(9, "x", "7.5"),
        {"decimal": "comma"},
    ),
    ("another currency", "t.csv", with_row(9, "€7,1,b").replace(".5,", "$,"), no_number(9, "x", "€7")),
    ("one percentage among numbers", "t.csv", with_row(9, "7%,1,b"), no_number(9, "x", "7%")),
    ("a word among percentages", "t.csv", with_row(9, "few,1,b").replace(".5,", "%,"), no_number(9, "x", "few")),
    ("a long text among numbers", "t.csv", with_row(9, "w" * 10**6 + ",1,b"), no_number(9, "x", "w" * 59 + "…")),
    ("a text that moves the cursor", "t.csv", with_row(9, "\x1b[2J,1,b"), no_number(9, "x", "\ufffd[2J")),
    (
        "a column name that moves the cursor",
        "t.csv",
        GOOD.replace("x", "\x1b[31m"),
        "t.csv: there is no column 'w', which data.drop names; the columns are \ufffd[31m, z, y.",
        {"drop": ["w"]},
    ),
    ("thousands separator", "t.csv", with_row(9, '"1,234",1,b'), decimal_comma(9, "1,234")),
    ("missing target", "t.csv", with_row(9, "7.5,1,"), missing_target("y")),
    ("target NaN", "t.csv", with_row(9, "7.5,1,NaN"), missing_target("y", "NaN", AS_CLASS)),
    ("target None", "t.csv", with_row(9, "7.5,1,None"), missing_target("y", "None", AS_CLASS)),
    ("missing number as target", "t.csv", with_row(9, "?,1,b"), missing_target("x", "?"), {"target": "x"}),
    ("sign for a missing number as target", "t.csv", with_row(9, "-,1,b"), missing_target("x", "-"), {"target": "x"}),
    (
        "a word of one's own for a missing target",
        "t.csv",
        with_row(9, "7.5,1,tba"),
        missing_target("y", "tba", AS_CLASS),
        {"missing": ["tba"]},
    ),
    ("inf as target", "t.csv", with_row(9, "inf,1,b"), not_finite("x", "inf"), {"target": "x"}),
    ("inf as class", "t.csv", with_row(9, "1.5,inf,b"), not_finite("z", "inf"), {"target": "z", "task": "binary"}),
    (
        "text in a target of numbers",
        "t.csv",
        with_row(9, "abc,1,b"),
        "t.csv, row 9, column 'x': found 'abc', which is no number; correct the cell, "
        "or take each text as a class with data.task=multiclass.",
        {"target": "x"},
    ),
    (
        "text in a regression target",
        "t.csv",
        with_row(9, "abc,1,b"),
        regression_text(9, "x", "abc"),
        {"target": "x", "task": "regression"},
    ),
    ("regression on texts", "t.csv", GOOD, regression_text(2, "y", "a"), {"task": "regression"}),
    (
        "binary with three classes",
        "t.csv",
        with_row(9, "7.5,1,c"),
        "t.csv, column 'y': data.task=binary needs two classes, and there are 3 (a, b, c); data.task=multiclass fits.",
        {"task": "binary"},
    ),
    (
        "classes of a continuous target",
        "t.csv",
        "x,z\n" + "".join(f"{i}.5,{i}\n" for i in range(40)),
        "t.csv, column 'x': data.task=multiclass needs classes, and there are 40 different numbers in 40 rows; "
        "data.task=regression fits.",
        {"target": "x", "task": "multiclass"},
    ),
    ("label seen once", "t.csv", with_row(9, "7.5,1,c"), rare("y", "c")),
    ("label 1.5", "t.csv", with_row(9, "7.5,1.5,b"), rare("z", "1.5"), {"target": "z", "task": "multiclass"}),
    (
        "one class",
        "t.csv",
        GOOD.replace(",a", ",b"),
        "t.csv, column 'y': every row has the label 'b'; a classifier needs two classes.",
    ),
    (
        "one value",
        "t.csv",
        GOOD.replace(",a", ",3").replace(",b", ",3"),
        "t.csv, column 'y': every row has 3; a target has to vary.",
        {"task": "regression"},
    ),
    (
        "one row",
        "t.csv",
        "x,y\n1,a\n",
        "t.csv, column 'y': every row has the label 'a'; a classifier needs two classes.",
    ),
    (
        "no row has a target",
        "t.csv",
        GOOD.replace(",a", ",").replace(",b", ",NA"),
        "t.csv, column 'y': no row has a target.",
        {"drop_missing_target": True},
    ),
    (
        "constant features only",
        "t.csv",
        "x,c,y\n" + "5,k,a\n5,k,b\n" * 5,
        "t.csv: no column is left to predict 'y' from (column 'x' is 5 in every row: left out; column 'c' is 'k' in "
        "every row: left out); a table needs features.",
    ),
    (
        "target only",
        "t.csv",
        "y\n" + "a\nb\n" * 5,
        "t.csv: no column is left to predict 'y' from; a table needs features.",
    ),
    (
        "empty features only",
        "t.csv",
        "x,y\n" + ",a\n,b\n" * 5,
        "t.csv: no column is left to predict 'y' from (column 'x' is empty: left out); a table needs features.",
    ),
]


@pytest.mark.parametrize("case", BAD, ids=[case[0] for case in BAD])
def test_a_bad_file_is_refused_with_one_sentence(case, tmp_path, monkeypatch):
    _, name, content, message, *options = case
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        Csv(**{"path": name, "target": "y", **(options[0] if options else {})}).load()
    assert str(error.value) == message


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def nowhere(path: Path) -> None:
    path.symlink_to("gone.csv")


def long_line(path: Path) -> None:
    path.write_text("x,y\n1,a\n" + "w" * 2**25 + "\n1,b\n")


def packed_long_line(path: Path) -> None:
    path.write_bytes(gzip.compress(b"x,y\n" + bytes(2**26)))


def endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**42)


# What stands at the path, and what is said; nothing of it may wait, or take more memory than a table.
STRANGE = [
    ("t.csv", os.mkfifo, "t.csv: this is no file but a pipe or a device; write the table to a file."),
    ("t.csv", device, "t.csv: this is no file but a pipe or a device; write the table to a file."),
    ("t.csv", nowhere, "t.csv: this is a link that leads nowhere; correct the path."),
    ("t.csv", long_line, "t.csv, row 3: the line is longer than 16 MiB; this is no table."),
    ("t.csv.gz", packed_long_line, "t.csv.gz, row 2: the line is longer than 16 MiB; this is no table."),
    ("n" * 300 + ".csv", None, "n" * 59 + "…: the file cannot be read (File name too long)."),
    ("~nobody_at_all/t.csv", None, "~nobody_at_all/t.csv: there is no folder ~nobody_at_all; correct the path."),
]


@pytest.mark.parametrize("case", STRANGE, ids=[str(case[1] and case[1].__name__) + case[0][:5] for case in STRANGE])
def test_what_is_no_table_at_a_path_is_said_at_once(case, tmp_path, monkeypatch):
    name, make, message = case
    monkeypatch.chdir(tmp_path)
    if make:
        make(Path(name))
    with pytest.raises(DataError) as error:
        Csv(path=name, target="y").load()
    assert str(error.value) == message
    if make in (os.mkfifo, device, nowhere):
        assert Csv(path=name, target="y").file_hash() is None


def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    endless(Path("t.csv"))
    with pytest.raises(DataError, match=r"t\.csv: the table is larger than .* GiB, half of the memory that is free"):
        Csv(path="t.csv", target="y").load()


def test_a_table_for_which_the_memory_is_too_small_is_a_mistake_in_the_data():
    """In a process that may not have more, where a lower bs would not help."""
    code = """
import resource, sys
import numpy as np, pandas as pd, pyarrow.parquet
from nettrain.data import load
from nettrain.data.sources import Csv
from nettrain.errors import ConfigError, DataError
pd.DataFrame({"x": np.arange(10**6) % 900, "y": np.arange(10**6) % 2}).to_parquet("t.parquet")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
try:
    load(Csv(path="t.parquet", target="y", categorical=["x"]), 0)
except DataError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == (
        "t.parquet: the table does not fit into memory; make one with fewer rows, columns or categories.\n"
    ), ended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"separator": "ab"},
            "data.separator=ab: it must be one sign, auto, or one of comma, semicolon, tab, bar, space.",
        ),
        (
            {"encoding": "latin1x"},
            "data.encoding=latin1x: there is no such encoding; common ones are utf-8, utf-16, latin-1, cp1252, cp1250, "
            "shift_jis, gbk.",
        ),
        ({"encoding": "hex"}, "data.encoding=hex: there is no such encoding; common ones are utf-8, utf-16, latin-1, "
            "cp1252, cp1250, shift_jis, gbk."),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_is_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(GOOD)
    with pytest.raises(ConfigError) as error:
        Csv(path="t.csv", target="y", **options).load()
    assert str(error.value) == message


def test_the_good_file_is_read(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    table = Csv(path=str(tmp_path / "t.csv"), target="y").load()
    assert list(table.columns) == ["x", "z"]
    np.testing.assert_array_equal(table.columns["x"], np.arange(20) + 0.5)
    assert (table.task, table.classes, table.notes) == ("binary", ["a", "b"], [])


@pytest.fixture
def encoder(tmp_path) -> Encoder:
    (tmp_path / "train.csv").write_text(GOOD)
    return load(Csv(path=str(tmp_path / "train.csv"), target="y"), seed=0).encoder


NEW = [
    (
        "column gone",
        {"x": [1.0], "y": ["a"]},
        "the DataFrame: there is no column 'z', which the model was trained with; the columns are x, y.",
    ),
    (
        "text in a column of numbers",
        {"x": ["1", "one"], "z": [0, 1], "y": ["a", "b"]},
        "the DataFrame, row 2, column 'x': found 'one', which is no number; correct the cell.",
    ),
    (
        "unknown label",
        {"x": [1, 2], "z": [0, 1], "y": ["a", "c"]},
        "the DataFrame, row 2, column 'y': found the label 'c'; the model's classes are a, b.",
    ),
    (
        "missing label",
        {"x": [1, 2], "z": [0, 1], "y": ["a", None]},
        "the DataFrame, row 2, column 'y': the target is missing (in 1 of 2 rows); fill it in, or leave such "
        "rows out with data.drop_missing_target=true.",
    ),
    (
        "no target",
        {"x": [1], "z": [0]},
        "the DataFrame: there is no column 'y', which is the target; the columns are x, z.",
    ),
    ("no rows", {"x": [], "z": [], "y": []}, "the DataFrame: the table has no rows; a table needs rows."),
    (
        "nested values",
        {"x": [[1]], "z": [0], "y": ["a"]},
        "the DataFrame, column 'x': found values of the type list<item: int64>, where numbers or texts are read; "
        "data.drop=[x] leaves the column out.",
    ),
]


@pytest.mark.parametrize(("frame", "message"), [case[1:] for case in NEW], ids=[case[0] for case in NEW])
def test_a_bad_new_table_is_refused_with_one_sentence(frame, message, encoder):
    with pytest.raises(DataError) as error:
        encoder.read(pd.DataFrame(frame), with_target=True)
    assert str(error.value) == message


def test_what_is_no_table_at_all_is_refused(encoder):
    with pytest.raises(DataError, match="a table is a path or a pandas DataFrame, found list"):
        encoder.read([1, 2, 3])


def test_a_parquet_file_names_rows_from_1(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"x": [0.0, 1.0, np.inf], "y": [0, 1, 0]}).to_parquet(path)
    with pytest.raises(DataError, match=r"t\.parquet, row 3, column 'x': found inf"):
        read_table(path, "y")


def test_a_column_name_with_a_space_is_quoted_for_the_shell(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(with_row(9, "abc,1,b").replace("x", "my x"))
    with pytest.raises(DataError) as error:
        read_table(path, "y")
    assert str(error.value).endswith("""with 'data.categorical=["my x"]', or leave it out with 'data.drop=["my x"]'.""")
