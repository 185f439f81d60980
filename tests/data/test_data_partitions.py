"""Splits that keep rows together, and folds: partitions with the properties of scikit-learn's."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from nettrain.data import load
from nettrain.data.partitions import folds, split_groups, split_times
from nettrain.data.shipped import Iris
from nettrain.data.sources import Csv
from nettrain.data.splits import split
from nettrain.data.splitting import ByColumn, Files, Fold, Group, Random, Stratified, Time
from nettrain.errors import ConfigError, DataError

FRACTIONS = st.sampled_from([0.0, 0.1, 0.15, 0.25])
SEEDS = st.integers(0, 2**40)


def assert_partition(parts, n):
    assert list(parts) == ["train", "val", "test"]
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(n))
    assert all((np.diff(rows) > 0).all() for rows in parts.values())


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=40, max_size=200), FRACTIONS, FRACTIONS, SEEDS)
def test_no_group_is_cut(values, val, test, seed):
    groups = np.unique(values, return_inverse=True)[1]
    if groups.max() < 3:
        return
    parts = split_groups(groups, val, test, seed)
    assert_partition(parts, len(groups))
    sets = [set(groups[rows]) for rows in parts.values()]
    assert len(set.union(*sets)) == sum(map(len, sets))
    assert [len(rows) > 0 for rows in parts.values()] == [True, val > 0, test > 0]
    again = split_groups(groups.copy(), val, test, seed)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)


def test_groups_of_one_row_have_the_sizes_asked_for():
    parts = split_groups(np.arange(200), 0.1, 0.25, 3)
    assert [len(rows) for rows in parts.values()] == [130, 20, 50]
    assert not np.array_equal(parts["val"], split_groups(np.arange(200), 0.1, 0.25, 4)["val"])


def test_a_group_larger_than_a_split_trains():
    groups = np.concatenate([np.zeros(100, dtype=int), np.arange(1, 61)])
    for seed in range(20):
        parts = split_groups(groups, 0.1, 0.1, seed)
        assert 0 in parts["train"]
        assert [len(parts["val"]), len(parts["test"])] == [16, 16]


def test_a_group_is_left_for_each_split_that_is_still_to_come():
    parts = split_groups(np.repeat(np.arange(3), 10), 0.6, 0.2, 0)
    assert [len(rows) for rows in parts.values()] == [10, 10, 10]


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=40, max_size=200), FRACTIONS, FRACTIONS)
def test_no_split_looks_ahead(values, val, test):
    times = np.array(values, dtype=float) / 7
    if len(set(values)) < 3:
        return
    parts = split_times(times, val, test)
    assert_partition(parts, len(times))
    there = [times[rows] for rows in parts.values() if len(rows)]
    assert len(there) == 1 + (val > 0) + (test > 0)
    assert all(earlier.max() < later.min() for earlier, later in itertools.pairwise(there))  # no tie is cut


def test_times_without_ties_are_cut_where_the_fractions_say():
    times = np.random.default_rng(0).permutation(200).astype(float)
    parts = split_times(times, 0.1, 0.25)
    assert [len(rows) for rows in parts.values()] == [130, 20, 50]
    assert sorted(times[parts["test"]]) == list(range(150, 200))
    *_, (train, validation) = TimeSeriesSplit(2, test_size=50).split(np.arange(200))  # its last cut is the same one
    by_time = np.argsort(times)
    np.testing.assert_array_equal(np.sort(by_time[validation]), parts["test"])
    np.testing.assert_array_equal(np.sort(by_time[train]), np.sort(np.concatenate([parts["train"], parts["val"]])))


@settings(deadline=None)
@given(st.integers(2, 7), st.lists(st.integers(0, 3), min_size=20, max_size=120), SEEDS)
def test_folds_are_as_even_as_scikit_learn_s(k, values, seed):
    classes = np.unique(values, return_inverse=True)[1]
    fold = folds(len(classes), k, seed, classes)
    sizes = np.bincount(fold, minlength=k)
    assert sizes.max() - sizes.min() <= 1
    for label in range(classes.max() + 1):
        counts = np.bincount(fold[classes == label], minlength=k)
        assert counts.max() - counts.min() <= 1
    if np.bincount(classes).min() >= k:
        theirs = [len(test) for _, test in StratifiedKFold(k, shuffle=True, random_state=0).split(classes, classes)]
        assert sorted(sizes) == sorted(theirs)
    np.testing.assert_array_equal(fold, folds(len(classes), k, seed, classes.copy()))


@settings(deadline=None)
@given(st.integers(2, 5), st.lists(st.integers(0, 14), min_size=60, max_size=150), SEEDS)
def test_grouped_folds_have_the_sizes_of_scikit_learn_s(k, values, seed):
    groups = np.unique(values, return_inverse=True)[1]
    if groups.max() + 1 < k:
        return
    fold = folds(len(groups), k, seed, None, groups)
    assert all(len(set(fold[groups == group])) == 1 for group in range(groups.max() + 1))
    theirs = [len(test) for _, test in GroupKFold(k).split(groups, groups=groups)]
    assert sorted(np.bincount(fold, minlength=k)) == sorted(theirs)


def test_grouped_folds_are_stratified_as_well_as_scikit_learn_s():
    draw = np.random.default_rng(0)
    ours, theirs = [], []
    for seed in range(20):
        groups = np.unique(draw.integers(0, 60, 400), return_inverse=True)[1]
        classes = (draw.random(groups.max() + 1)[groups] + 0.3 * draw.random(400) > 0.8).astype(int)
        fold = folds(400, 5, seed, classes, groups)
        assert all(len(set(fold[groups == group])) == 1 for group in range(groups.max() + 1))
        other = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, classes, groups)
        ours.append(np.std([classes[fold == f].mean() for f in range(5)]))
        theirs.append(np.std([classes[test].mean() for _, test in other]))
    assert np.mean(ours) <= 1.1 * np.mean(theirs)


def test_groups_of_one_class_each_are_spread_over_the_folds():
    assert sorted(folds(6, 3, 0, np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 2]))) == [0, 0, 1, 1, 2, 2]


def test_each_row_validates_once_and_never_tests():
    parts = [load(Iris(test_fraction=0.2), 3, Fold(fold=f)).splits for f in range(5)]
    for one in parts:
        assert_partition(one, 150)
        np.testing.assert_array_equal(one["test"], parts[0]["test"])
    everything = np.concatenate([one["val"] for one in parts] + [parts[0]["test"]])
    np.testing.assert_array_equal(np.sort(everything), np.arange(150))
    assert len(parts[0]["test"]) == 30
    other = load(Iris(test_fraction=0.2), 4, Fold()).splits["val"]
    assert not np.array_equal(other, parts[0]["val"])
    assert np.array_equal(load(Iris(split_seed=3, test_fraction=0.2), 4, Fold()).splits["val"], parts[0]["val"])


def test_the_default_is_what_it_was():
    for data in (load(Iris(), 5), load(Iris(), 5, Stratified())):
        before = split(data.table.target, data.table.task, 0.15, 0.15, 5)
        assert all(np.array_equal(data.splits[name], rows) for name, rows in before.items())
    assert not np.array_equal(load(Iris(), 5, Random()).splits["val"], before["val"])


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": draw.normal(size=120).round(3),
            "patient": draw.integers(0, 15, 120),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 90, 120), unit="D"),
            "set": draw.choice(["train", "Validation", "test"], 120, p=[0.6, 0.2, 0.2]),
            "y": draw.choice(["a", "b"], 120),
        }
    )
    frame.to_csv("t.csv", index=False)
    return frame


def features(data):
    return {name.partition(" ")[0] for name in data.encoder.feature_names}


def test_columns_of_a_table_of_one_s_own_decide(table):
    source = Csv(path="t.csv", target="y")
    by_group = load(source, 0, Group(column="patient"))
    where = [set(table["patient"].to_numpy()[rows]) for rows in by_group.splits.values()]
    assert len(set.union(*where)) == sum(map(len, where))
    assert "patient" not in features(by_group)
    by_time = load(source, 0, Time(column="day"))
    days = [table["day"].to_numpy()[rows] for rows in by_time.splits.values()]
    assert all(earlier.max() < later.min() for earlier, later in itertools.pairwise(days))
    assert "day" in features(by_time)
    dropped = load(Csv(path="t.csv", target="y", drop=["day"]), 0, Time(column="day"))
    assert "day" not in features(dropped)
    assert all(np.array_equal(dropped.splits[name], rows) for name, rows in by_time.splits.items())
    by_word = load(source, 0, ByColumn(column="set"))
    for name, word in (("train", "train"), ("val", "Validation"), ("test", "test")):
        np.testing.assert_array_equal(by_word.splits[name], np.flatnonzero(table["set"] == word))
    assert "set" not in features(by_word)


def test_the_column_that_decides_may_have_another_meaning_too(table):
    data = load(Csv(path="t.csv", target="y", weight="patient"), 0, Group(column="patient"))
    assert "patient" not in features(data)
    np.testing.assert_array_equal(data.table.weights, table["patient"])


def test_a_column_that_names_no_validation_rows_has_them_drawn_from_the_training_rows(table):
    table["set"] = np.where(table["set"] == "test", "test", "train")
    table.to_csv("t.csv", index=False)
    parts = load(Csv(path="t.csv", target="y", val_fraction=0.25), 0, ByColumn(column="set")).splits
    assert_partition(parts, 120)
    np.testing.assert_array_equal(parts["test"], np.flatnonzero(table["set"] == "test"))
    assert len(parts["val"]) == round(0.25 * (table["set"] == "train").sum())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_are_the_splits(table, suffix):
    parts = {"a": table[:70], "b": table[70:90], "c": table[90:]}
    for name, part in parts.items():
        part = part[["y", "day", "x", "set", "patient"]] if name == "b" else part  # in another order
        part.to_csv(f"{name}.csv", index=False) if suffix == "csv" else part.to_parquet(f"{name}.parquet", index=False)
    files = {name: f"{file}.{suffix}" for name, file in zip(("train", "val", "test"), "abc", strict=True)}
    data = load(Csv(path=f"a.{suffix}", target="y"), 0, Files(val=files["val"], test=files["test"]))
    assert [rows.tolist() for rows in data.splits.values()] == [[*range(70)], [*range(70, 90)], [*range(90, 120)]]
    whole = load(Csv(path="t.csv", target="y"), 0)
    assert data.encoder.feature_names == whole.encoder.feature_names
    np.testing.assert_array_equal(data.table.columns["x"], table["x"])
    without = load(Csv(path=f"a.{suffix}", target="y"), 0, Files(test=files["test"])).splits
    assert [len(rows) for rows in without.values()] == [60, 10, 30]


BAD = [
    (
        Group(column="patient"),
        {"patient": 1},
        {},
        "1 group cannot be divided into 3 splits without cutting one; use more groups, or set data.val_fraction or "
        "data.test_fraction to 0.",
    ),
    (
        Group(column="patient"),
        {"patient": [None, *range(119)]},
        {},
        "t.csv, row 2, column 'patient': the cell is missing (in 1 of 120 rows), and split.column needs it; fill it "
        "in.",
    ),
    (
        Group(column="Patient"),
        {},
        {},
        "t.csv: there is no column 'Patient' (did you mean 'patient'?), which split.column names; the columns are x, "
        "patient, day, set, y.",
    ),
    (
        Group(column="patient"),
        {},
        {"categorical": ["patient"]},
        "t.csv: the column 'patient' decides about the split, and is no feature; leave it out of data.categorical and "
        "data.columns.",
    ),
    (Group(column="y"), {}, {}, "t.csv: split.column names the target 'y'; it is for another column."),
    (
        Time(column="set"),
        {"set": "train"},
        {},
        "t.csv, row 2, column 'set': found 'train', which is no date or time, such as 2024-01-31 14:30; correct the "
        "cell, or name a column that does: 'x', 'patient', 'day'.",
    ),
    (
        Time(column="day"),
        {"day": ["2024-01-01"] * 60 + ["2024-02-01"] * 60},
        {},
        "2 times cannot be divided into 3 splits, one after another; use more times, or set data.val_fraction or "
        "data.test_fraction to 0.",
    ),
    (
        Time(column="day"),
        {"day": ["3/4/2024", "5/6/2024"] * 60},
        {},
        "t.csv, row 2, column 'day': found '3/4/2024', and nothing in the column shows whether the day or the month "
        "comes first; data.dates=day_first or data.dates=month_first decides, data.categorical=[day] keeps texts.",
    ),
    (
        ByColumn(column="set"),
        {"set": ["train"] * 119 + ["hold-out"]},
        {},
        "t.csv, row 121, column 'set': found 'hold-out'; split=column needs train, val, validation, test.",
    ),
    (ByColumn(column="set"), {"set": "test"}, {}, "t.csv: split=column leaves no row for training."),
    (
        ByColumn(column="set"),
        {},
        {"test_fraction": 0.4},
        "data.test_fraction=0.4: split=column says itself which rows are those of test; leave data.test_fraction out.",
    ),
    (
        Fold(folds=103),
        {},
        {},
        "split.folds=103: there are 102 rows; use at most 102 folds.",
    ),
    (
        Fold(folds=16, column="patient"),
        {},
        {"test_fraction": 0},
        "split.folds=16: there are 15 groups; use at most 15 folds.",
    ),
    (Fold(fold=5), {}, {}, "split.fold=5: with split.folds=5 the folds are numbered from 0 to 4."),
    (
        Fold(),
        {},
        {"val_fraction": 0.3},
        "data.val_fraction=0.3: split=fold says itself which rows are those of val; leave data.val_fraction out.",
    ),
    (Files(train="u.csv"), {}, {}, "split.train=u.csv: data.path=t.csv names another training file; leave out one of "
        "the two."),
    (Files(val="no/u.csv"), {}, {}, "no/u.csv: there is no folder no; correct the path."),
    (
        Files(val="v.csv"),
        {},
        {},
        "v.csv: there is no column 'patient', which t.csv has; the files of a split must have the same columns, and "
        "those of v.csv are x, day, set, y.",
    ),
    (
        Files(val="w.csv"),
        {},
        {},
        "t.csv, w.csv, row 6 of w.csv, column 'x': found 'abc', which is no number; correct the cell, or take the "
        "column as categories with data.categorical=[x], or leave it out with data.drop=[x].",
    ),
    (
        Files(val="p.parquet"),
        {},
        {},
        "t.csv: the column 'x' holds string in t.csv, double in p.parquet; it must hold one kind of values.",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[case[3][:60] for case in BAD])
def test_a_split_that_cannot_be_is_refused_with_one_sentence(case, table):
    by, changes, keys, message = case
    table.drop(columns="patient").to_csv("v.csv", index=False)
    broken = table.astype({"x": object})
    broken.loc[4, "x"] = "abc"
    broken.to_csv("w.csv", index=False)
    table.to_parquet("p.parquet", index=False)
    table.assign(**changes).to_csv("t.csv", index=False)
    with pytest.raises((ConfigError, DataError)) as error:
        load(Csv(path="t.csv", target="y", **keys), 0, by)
    assert str(error.value) == message


def test_a_class_without_training_rows_is_told(table):
    table["y"] = ["a", "b"] * 45 + ["c"] * 30
    table["day"] = pd.date_range("2024-01-01", periods=120)
    table.to_csv("t.csv", index=False)
    notes = load(Csv(path="t.csv", target="y"), 0, Time(column="day")).notes
    assert "no training row has the class 'c': it cannot be learnt" in notes


def test_a_column_that_a_bundled_table_has_not_is_named():
    with pytest.raises(DataError) as error:
        load(Iris(), 0, Group(column="species"))
    assert str(error.value) == (
        "iris: there is no column 'species', which split.column names; the columns are sepal length (cm), sepal width "
        "(cm), petal length (cm), petal width (cm)."
    )
