"""Every bad file ends in one sentence: the file, the row, the column, what was found and what would do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nettrain.data import Encoder, load
from nettrain.data.reading import read_table
from nettrain.data.sources import Csv
from nettrain.errors import DataError

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
GZIP = "t.csv.gz: the file is no gzip file, or a damaged one; make it again with gzip."
QUOTE = (
    "t.csv, row 4: a quoted cell does not end where a separator follows; close the quote, "
    "and write a quote inside a quoted cell twice."
)


def ragged(row: int, found: str, separator: str = ",") -> str:
    return (
        f"t.csv, row {row}: found {found} where the header has 3 (separator '{separator}'); "
        "give the row 3, with quotes around a text that holds a separator."
    )


def suffix(path: str) -> str:
    return f"{path}: tables are read from files that end in .csv, .tsv, .txt, .csv.gz, .parquet; convert or rename it."


def no_number(row: int, column: str, found: str) -> str:
    return (
        f"t.csv, row {row}, column '{column}': found '{found}', which is no number; correct the cell, "
        f"or take the column as categories with data.categorical=[{column}], "
        f"or leave it out with data.drop=[{column}]."
    )


def decimal_comma(row: int, found: str) -> str:
    return (
        f"t.csv, row {row}, column 'x': found '{found}'; write numbers with a decimal point and without thousands "
        "separators, or take the column as categories with data.categorical=[x], "
        "or leave it out with data.drop=[x]."
    )


def not_finite(column: str, found: str) -> str:
    return f"t.csv, row 9, column '{column}': found {found}; numbers must be finite and below 1e+37; correct the cell."


def missing_target(column: str) -> str:
    return f"t.csv, row 9, column '{column}': the target is missing (in 1 of 20 rows); fill it in or delete the row."


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
    ("open quote", "t.csv", with_row(4, '2.5,0,"a'), QUOTE),
    ("quote inside quotes", "t.csv", with_row(4, '2.5,0,"a"b"'), QUOTE),
    (
        "same name twice",
        "t.csv",
        GOOD.replace("z", "x"),
        "t.csv: columns 1 and 2 have the same name 'x'; rename or delete one of them.",
    ),
    (
        "no header",
        "t.csv",
        "0.5,0,1\n1.5,1,0\n",
        "t.csv: row 1 holds only numbers (0.5, 0, 1); add a first row of column names.",
    ),
    (
        "latin-1",
        "t.csv",
        with_row(7, "5.5,1,caf\xe9").encode("latin-1"),
        "t.csv, row 7: byte 0xe9 is no UTF-8 text; save the file with the encoding UTF-8.",
    ),
    (
        "latin-1 behind a UTF-8 mark",
        "t.csv",
        b"\xef\xbb\xbf" + with_row(7, "5.5,1,caf\xe9").encode("latin-1"),
        "t.csv, row 7: byte 0xe9 is no UTF-8 text; save the file with the encoding UTF-8.",
    ),
    ("utf-16 without a mark", "t.csv", GOOD.encode("utf-16-le"), BINARY),
    (
        "half a utf-16 character",
        "t.csv",
        GOOD.encode("utf-16")[:-1],
        "t.csv: the UTF-16 text is damaged; save the file with the encoding UTF-8.",
    ),
    ("binary", "t.csv", b"x,y\n1,\0\0\n", BINARY),
    ("a suffix that is not read", "t.xlsx", GOOD, suffix("t.xlsx")),
    ("no suffix", "table", GOOD, suffix("table")),
    ("damaged parquet", "t.parquet", b"PAR1 nothing", PARQUET),
    ("csv called parquet", "t.parquet", GOOD, PARQUET),
    ("csv called gz", "t.csv.gz", GOOD, GZIP),
    ("cut gz", "t.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03abc", GZIP),
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
    ("a folder", "t.csv", GOOD, ".: this is a folder; name the file in it that holds the table.", {"path": "."}),
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
    ("thousands separator", "t.csv", with_row(9, '"1,234",1,b'), decimal_comma(9, "1,234")),
    ("missing target", "t.csv", with_row(9, "7.5,1,"), missing_target("y")),
    ("target NaN", "t.csv", with_row(9, "7.5,1,NaN"), missing_target("y")),
    ("missing number as target", "t.csv", with_row(9, "?,1,b"), missing_target("x"), {"target": "x"}),
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
        "the DataFrame, row 2, column 'y': the target is missing (in 1 of 2 rows); fill it in or delete the row.",
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
