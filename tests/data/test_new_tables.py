"""New tables: what means the same is the same, and what the training rows had not is said, with its count."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nettrain.data import Encoder, load
from nettrain.data.shipped import Digits
from nettrain.data.sources import Csv
from nettrain.errors import DataError

N = 60
CELLS = {
    "truth": [True, False],
    "zero_one": [0, 1],
    "whole": [-3, 0, 12, 400],
    "long": [2**53, 2**53 + 1, 2**63 - 1],
    "real": [0.5, -1e-05, 1e22, 0.1],
    "text": ["a", "b c", "1e2", "007", "é"],
    "number_or_text": ["1", "2", "3+"],
    "day": pd.to_datetime(["2024-01-01", "2024-02-29"]).to_list(),
    "time": pd.to_datetime(["2024-01-01 10:00:00", "2024-02-29 11:30:00.5"], format="ISO8601").to_list(),
}


def column(kind: str) -> pd.Series:
    return pd.Series([CELLS[kind][i * 7 % len(CELLS[kind])] for i in range(N)], name="c")


def frame(kind: str) -> pd.DataFrame:
    return pd.DataFrame({"c": column(kind), "x": np.arange(N) / 8, "y": ["p", "q", "q"] * (N // 3)})


def as_csv(table, path):
    table.to_csv(path / "new.csv", index=False)
    return path / "new.csv"


def as_parquet(table, path):
    table.to_parquet(path / "new.parquet")
    return path / "new.parquet"


def as_category(table, path):
    return table.assign(c=pd.Categorical(table.c))


WAYS = {
    "csv": as_csv,
    "parquet": as_parquet,
    "frame": lambda table, path: table,
    "texts": lambda table, path: table.assign(c=table.c.map(str)),
    "objects": lambda table, path: table.astype(object),
    "category": as_category,
    "excel": lambda table, path: (table.to_excel(path / "new.xlsx", index=False), path / "new.xlsx")[1],
}


def trained(path, table, way=as_csv, **options) -> Encoder:
    (path / "trained").mkdir(exist_ok=True)
    return load(Csv(path=str(way(table, path / "trained")), target="y", **options), seed=0).encoder


@pytest.mark.parametrize("categorical", [[], ["c"]], ids=["as it is", "categorical"])
@pytest.mark.parametrize("from_parquet", [False, True], ids=["from csv", "from parquet"])
@pytest.mark.parametrize("kind", CELLS)
def test_a_table_means_the_same_in_every_format(kind, from_parquet, categorical, tmp_path):
    table = frame(kind)
    encoder = trained(tmp_path, table, as_parquet if from_parquet else as_csv, categorical=categorical)
    read = encoder.read(table)
    expected = encoder.features(read)
    assert read.unfamiliar == []
    for way, write in WAYS.items():
        if way == "excel" and kind == "long":  # it keeps 15 digits
            continue
        new = encoder.read(write(table, tmp_path))
        np.testing.assert_array_equal(encoder.features(new), expected, err_msg=way)
        assert new.unfamiliar == [], way


@pytest.mark.parametrize("kind", ["truth", "zero_one"])
@pytest.mark.parametrize("words", [("yes", "no"), ("Y", "N"), ("TRUE", "FALSE"), ("t", "f"), (1.0, 0.0), ("1", "0")])
def test_a_truth_value_is_one_by_any_of_its_names(kind, words, tmp_path):
    table = frame(kind)
    encoder = trained(tmp_path, table)
    for new in (table.assign(c=[words[0] if cell else words[1] for cell in table.c]),):
        for way in (as_csv, WAYS["frame"], as_parquet):
            read = encoder.read(way(new, tmp_path))
            np.testing.assert_array_equal(encoder.features(read), encoder.features(encoder.read(table)))
            assert read.unfamiliar == []
    back = trained(tmp_path, new)
    np.testing.assert_array_equal(back.features(back.read(table)), back.features(back.read(new)))


def test_a_truth_value_is_no_number_where_training_had_others(tmp_path):
    encoder = trained(tmp_path, frame("whole"))
    with pytest.raises(DataError, match=r"new\.csv, row 2, column 'c': found 'True', which is no number"):
        encoder.read(as_csv(frame("truth"), tmp_path))


@pytest.mark.parametrize("way", ["csv", "parquet", "frame"])
@pytest.mark.parametrize(
    "labels",
    [[2**53, 2**53 + 1], [2**63, 2**63 + 1], [-(2**53), -(2**53) - 1], ["1e2", "100", "0100", "2a7"], ["007", "7"]],
)
def test_labels_are_exact_to_the_last_digit(labels, way, tmp_path):
    table = pd.DataFrame({"x": np.arange(40.0), "y": [labels[i % len(labels)] for i in range(40)]})
    data = load(Csv(path=str(as_csv(table, tmp_path)), target="y"), seed=0)
    assert sorted(data.encoder.classes) == sorted(map(str, labels))
    assert [data.encoder.classes[i] for i in data.y] == table.y.astype(str).tolist()
    read = data.encoder.read(WAYS[way](table, tmp_path), with_target=True)
    np.testing.assert_array_equal(read.target, data.y)
    if way == "parquet":
        np.testing.assert_array_equal(load(Csv(path=str(tmp_path / "new.parquet"), target="y"), seed=0).y, data.y)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=6, unique=True), st.booleans())
def test_long_whole_numbers_as_categories_are_never_merged(tmp_path, numbers, parquet):
    table = pd.DataFrame(
        {"c": [numbers[i % len(numbers)] for i in range(N)], "x": np.arange(N), "y": ["p", "q"] * (N // 2)}
    )
    encoder = trained(tmp_path, table, as_parquet if parquet else as_csv, categorical=["c"])
    assert set(encoder.columns[0].categories) == {str(number) for number in numbers}
    for way in ("csv", "parquet", "frame", "texts"):
        read = encoder.read(WAYS[way](table, tmp_path))
        assert read.columns["c"].tolist() == table.c.astype(str).tolist()


def test_what_training_had_not_is_said_a_line_for_each_column(tmp_path):
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "town": random.choice(["Bern", "Graz"], N),
            "size": random.integers(100, 200, N).astype(float),
            "age": random.uniform(20, 60, N),
            "kind": random.choice(["a", "b", None], N),
            "y": ["p", "q"] * (N // 2),
        }
    )
    encoder = trained(tmp_path, table)
    assert encoder.read(table).unfamiliar == []
    low, high = encoder.columns[1].low, encoder.columns[1].high
    new = table.copy()
    new.loc[[3, 4, 5], "town"] = ["Lyon", "Lyon", "graz"]
    new.loc[[7, 9], "size"] = [high + (high - low) + 1, -1e6]
    new.loc[[0], "age"] = np.nan
    new.loc[[1], "kind"] = None
    assert encoder.read(as_csv(new, tmp_path)).unfamiliar == [
        "column 'town': no category of the training: 3 of 60 values (5 %), such as 'Lyon' in row 5",
        f"column 'size': far outside the range of the training ({low:g} to {high:g}): 2 of 60 values (3.3 %), such as "
        f"{high + (high - low) + 1:g} in row 9",
        "column 'age': missing, as none was in training: 1 of 60 values (1.7 %); "
        f"{encoder.columns[2].median:.10g} stands for them",
    ]
    assert encoder.read(table.assign(size=high + (high - low))).unfamiliar == []
    assert encoder.read(table.assign(town="GRAZ")).unfamiliar == [
        "column 'town': no category of the training: 60 of 60 values, such as 'GRAZ' in row 1 (data.ignore_case=true "
        "takes it for 'Graz')"
    ]
    assert encoder.read(table.assign(town=None)).unfamiliar == [
        "column 'town': missing, as none was in training: 60 of 60 values"
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["a", "b", "c", "d", "A", None]), min_size=1, max_size=30))
def test_unknown_categories_are_counted(tmp_path, cells):
    encoder = trained(tmp_path, pd.DataFrame({"c": ["a", "b"] * 30, "x": range(60), "y": ["p", "q"] * 30}))
    new = pd.DataFrame({"c": pd.Series(cells, dtype=object), "x": 1})
    read = encoder.read(new)
    unknown = sum(cell not in ("a", "b", None) for cell in cells)
    counts = [int(note.rpartition(": ")[2].split()[0]) for note in read.unfamiliar if "no category" in note]
    assert counts == ([unknown] if unknown else [])
    assert any("missing" in note for note in read.unfamiliar) == (None in cells)
    one_hot = encoder.features(read)[:, :2].sum(axis=1)
    assert one_hot.tolist() == [float(cell in ("a", "b")) for cell in cells]


def test_units_are_those_of_the_training(tmp_path):
    prices = pd.DataFrame({"c": [f"${i}.50" for i in range(N)], "x": range(N), "y": ["p", "q"] * (N // 2)})
    encoder = trained(tmp_path, prices)
    expected = encoder.features(encoder.read(prices))
    for new in (prices.assign(c=np.arange(N) + 0.5), prices.assign(c=[f"{i}.50 $" for i in range(N)])):
        np.testing.assert_array_equal(encoder.features(encoder.read(new)), expected)
    with pytest.raises(DataError) as error:
        encoder.read(prices.assign(c=["$1.5", "€7", *prices.c[2:]]).assign(c="€7"))
    assert str(error.value) == (
        "the DataFrame, row 1, column 'c': found '€7', where training had the unit '$'; convert the column."
    )
    with pytest.raises(DataError, match=r"row 1, column 'c': found '7%', where training had no unit"):
        trained(tmp_path, frame("whole")).read(frame("whole").assign(c="7%"))
    percent = trained(tmp_path, prices.assign(c=[f"{i}%" for i in range(N)]))
    assert percent.read(prices.assign(c=0.5)).unfamiliar == [
        "column 'c': the numbers have no %, as those of the training had"
    ]


def test_a_single_row_is_read_as_the_training_table_was(tmp_path):
    """Where a table has one cell, what is written in it cannot be judged by the others."""
    table = pd.DataFrame({"c": [f"{i * 999:,}" for i in range(N)], "x": range(N), "y": ["p", "q"] * (N // 2)})
    encoder = trained(tmp_path, table)
    (tmp_path / "one.csv").write_text('c,x\n"12,345",1\n')
    assert encoder.read(tmp_path / "one.csv").columns["c"].tolist() == [12345.0]
    (tmp_path / "one.csv").write_text("c,x\n-,1\n")
    assert np.isnan(encoder.read(tmp_path / "one.csv").columns["c"]).all()


def test_a_column_that_was_constant_in_training_does_not_rule_later(tmp_path):
    table = pd.DataFrame({"x": np.arange(N), "ts": 1600000000, "unit": "kg", "y": ["p", "q"] * (N // 2)})
    data = load(Csv(path=str(as_csv(table, tmp_path)), target="y"), seed=0)
    assert data.encoder.feature_names == ["x"]
    assert data.notes == [
        "column 'ts' is 1600000000 in every row: left out",
        "column 'unit' is 'kg' in every row: left out",
    ]


def test_a_column_that_was_constant_in_the_training_rows_alone_does_not_rule_later(tmp_path):
    table = pd.DataFrame({"x": np.arange(N), "ts": 1600000000.0, "unit": "kg", "y": ["p", "q"] * (N // 2)})
    others = load(Csv(path=str(as_csv(table, tmp_path)), target="y"), seed=0).splits["test"]
    table.loc[others, "ts"] += 86400
    table.loc[others, "unit"] = "lb"
    data = load(Csv(path=str(as_csv(table, tmp_path)), target="y"), seed=0)
    assert data.encoder.feature_names == ["x", "ts", "unit=kg"]  # the same for every seed, so that runs stay one stack
    np.testing.assert_array_equal(data.x[:, 1:], np.tile([0.0, 1.0], (N, 1)))
    assert data.encoder.notes == [
        f"column '{name}' has one value in all training rows: any other will count as that one"
        for name in ("ts", "unit")
    ]
    new = data.encoder.read(table.assign(ts=1.7e9, unit="t"))
    np.testing.assert_array_equal(data.encoder.features(new)[:, 1:], np.tile([0.0, 1.0], (N, 1)))
    assert [note.partition(":")[0] for note in new.unfamiliar] == ["column 'ts'", "column 'unit'"]
    lacking = data.encoder.read(table[["x"]])
    np.testing.assert_array_equal(data.encoder.features(lacking), data.encoder.features(new))


def test_the_other_data_sets_keep_the_features_that_they_have():
    """A pixel of the digits that is 0 in all training rows is a feature all the same, and so are its bits."""
    digits = load(Digits(), seed=5)
    assert len(digits.encoder.feature_names) == 64
    assert digits.notes == []


def test_tables_without_a_header_match_by_position(tmp_path):
    table = frame("whole")
    table.to_csv(tmp_path / "t.csv", index=False, header=False)
    encoder = load(Csv(path=str(tmp_path / "t.csv"), target="3", header=False), seed=0).encoder
    assert [column.name for column in encoder.columns] == ["1", "2"]
    expected = encoder.features(encoder.read(tmp_path / "t.csv"))
    read_by_pandas = pd.read_csv(tmp_path / "t.csv", header=None)
    assert read_by_pandas.columns.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(encoder.features(encoder.read(read_by_pandas)), expected)
    read_by_pandas.columns = read_by_pandas.columns.astype(str)
    read_by_pandas.to_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(encoder.features(encoder.read(tmp_path / "t.parquet")), expected)


def test_an_encoder_of_an_earlier_version_is_read_and_knows_what_means_the_same():
    state = (
        '{"columns": [{"name": "x", "median": 2.0, "mean": 2.0, "scale": 0.5, "indicator": false}, '
        '{"name": "b", "categories": ["False", "True", null]}], "task": "binary", "target_name": "y", '
        '"classes": ["no", "yes"], "target_mean": 0.0, "target_scale": 1.0}'
    )
    encoder = Encoder.from_state(state)
    read = encoder.read(pd.DataFrame({"x": [1.0, 1e9], "b": [1, 0], "y": ["yes", "no"]}), with_target=True)
    np.testing.assert_array_equal(encoder.features(read), [[-2, 0, 1, 0], [(1e9 - 2) / 0.5, 1, 0, 0]])
    assert read.target.tolist() == [1, 0]
    assert read.unfamiliar == []
    assert encoder.read(pd.DataFrame({"x": [1.0], "b": ["maybe"]})).unfamiliar == [
        "column 'b': no category of the training: 1 of 1 values, such as 'maybe' in row 1"
    ]
    assert Encoder.from_state(encoder.state) == encoder
