"""What deserves a second look in a table is noted, and nothing else is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from nettrain.data.reading import read_table


def notes(tmp_path, columns, **options):
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    return read_table(tmp_path / "t.csv", "y", **options).notes


N = 400
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=N)
TWO = np.where(RANDOM.random(N) < 0.4, "yes", "no")
THREE = RANDOM.choice(["a", "b", "c"], N)
NUMBERS = RANDOM.normal(size=N)
FLIPPED = np.where(np.arange(N) == 7, np.where(TWO == "yes", "no", "yes"), TWO)
LEAKS = {
    "a code of the class": (TWO, np.where(TWO == "yes", 17, 4)),
    "a word for the class": (THREE, pd.Series(THREE).map({"a": "u", "b": "v", "c": "w"})),
    "a word, finer than the class": (TWO, [f"{y}{i % 9}" for i, y in enumerate(TWO)]),
    "the order of the rows": (np.sort(TWO), np.arange(N)),
    "numbers in three pieces": (THREE, np.select([THREE == "a", THREE == "b"], [5, -3], 20) + RANDOM.random(N)),
    "a cell that one class alone lacks": (TWO, np.where(TWO == "yes", np.nan, RANDOM.normal(size=N))),
    "the class, but for one row of 1000": (np.repeat(TWO, 3), np.repeat(TWO == "yes", 3) ^ (np.arange(3 * N) == 7)),
    "the target in other units": (NUMBERS, NUMBERS * 1.8 + 32),
    "the target, bent": (NUMBERS, np.exp(-NUMBERS)),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_feature_that_tells_the_target_is_noted(tmp_path, leak):
    target, feature = LEAKS[leak]
    x = np.resize(X, len(target))
    assert notes(tmp_path, {"x": x, "late": feature, "y": target}) == [
        "column 'late' tells 'y' almost perfectly: if that is known only afterwards, leave it out (data.drop=[late])"
    ]
    assert notes(tmp_path, {"late": feature, "y": target}) == []  # alone it is what one wants to learn from


def test_several_are_noted_in_one_line(tmp_path):
    (note,) = notes(tmp_path, {"x": X, "b": TWO == "yes", "a": TWO, "y": TWO})
    assert note.startswith("each of 'b', 'a' tells 'y' almost perfectly")


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_an_honest_data_set_has_no_notes(tmp_path, load):
    frame = load(as_frame=True).frame.rename(columns={"target": "y"})
    assert notes(tmp_path, frame.assign(y=np.array(list("abc"))[frame.y])) == []


@pytest.mark.parametrize("target", [TWO, THREE, NUMBERS], ids=["two", "three", "numbers"])
def test_a_good_feature_is_no_leak(tmp_path, target):
    codes = target if target.dtype == float else np.unique(target, return_inverse=True)[1]
    assert notes(tmp_path, {"x": X, "good": codes + RANDOM.normal(size=N) / 3, "y": target}) == []
    rare = np.where(np.arange(N) < 4, "yes", "no")  # a constant is right in 99 % of the rows
    assert notes(tmp_path, {"x": X, "z": RANDOM.normal(size=N), "y": rare}) == []


def test_columns_of_one_value_are_left_out_and_those_of_nearly_one_noted(tmp_path):
    ts = np.full(N, 1600000000)
    almost, word = ts.copy(), np.full(N, "kg", dtype=object)
    almost[5], word[[3, 9]] = 1600000001, "lb"
    columns = {"x": X, "ts": ts, "almost": almost, "word": word, "flag": np.arange(N) % 9 == 0, "y": TWO}
    few = "one value in nearly all rows, so that what others mean rests on a few"
    assert notes(tmp_path, columns) == [
        "column 'ts' is 1600000000 in every row: left out",
        f"{few}: 'almost' (399 of 400 rows), 'word' (398 of 400 rows)",
    ]
    assert notes(tmp_path, {"x": X, "gaps": np.where(np.arange(N) % 5, np.nan, 3.0), "y": TWO}) == []
