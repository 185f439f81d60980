"""The encoder equals scikit-learn's transformers, learns from the training rows alone, and survives storage."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nettrain.data import Encoder, Table, fitting, load, shipped, sources
from nettrain.data.encoded_columns import Categorical, Numeric
from nettrain.errors import DataError


def mixed_table(n: int = 60, task: str = "regression") -> Table:
    random = np.random.default_rng(0)
    columns = {
        "full": random.normal(1000, 3, n),
        "gaps": np.where(random.random(n) < 0.3, np.nan, random.exponential(2, n)),
        "constant": np.full(n, 0.1),
        "colour": random.choice(np.array(["red", "green", None], dtype=object), n),
    }
    target = random.normal(5, 2, n) if task == "regression" else random.integers(0, 2, n)
    return Table(columns, target, "y", task, [] if task == "regression" else ["a", "b"], "made up")


ROWS = np.arange(0, 60, 2)


def test_numbers_are_imputed_and_standardised_as_by_scikit_learn():
    table = mixed_table()
    encoder = Encoder.fit(table, ROWS, standardize=True)
    features = dict(zip(encoder.feature_names, encoder.features(table).T, strict=True))
    x = np.stack([table.columns["full"], table.columns["gaps"]], axis=1)
    imputer = SimpleImputer(strategy="median").fit(x[ROWS])
    scaler = StandardScaler().fit(imputer.transform(x[ROWS]))
    expected = scaler.transform(imputer.transform(x))
    np.testing.assert_allclose(features["full"], expected[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(features["gaps"], expected[:, 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(features["gaps missing"], np.isnan(table.columns["gaps"]))
    np.testing.assert_array_equal(features["constant"], 0)
    assert "full missing" not in features


def test_categories_are_one_hot_as_by_scikit_learn():
    table = mixed_table()
    encoder = Encoder.fit(table, ROWS, standardize=True)
    ours = encoder.features(table)[:, [name.startswith("colour") for name in encoder.feature_names]]
    assert encoder.feature_names[-3:] == ["colour=green", "colour=red", "colour missing"]
    colour = table.columns["colour"][:, None]
    theirs = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(colour[ROWS])
    np.testing.assert_array_equal(ours, theirs.transform(colour))


def test_a_category_not_seen_in_training_is_all_zeros():
    column = Categorical.fit("c", np.array(["b", "a", "b"], dtype=object))
    np.testing.assert_array_equal(
        column.features(np.array(["a", "b", "new", None], dtype=object)), [[1, 0], [0, 1], [0, 0], [0, 0]]
    )


def test_a_column_without_a_number_in_training_is_0():
    (column,) = Numeric.fit(["c"], np.array([[np.nan, np.nan]]), standardize=True)
    np.testing.assert_array_equal(column.features(np.array([np.nan, 3.0])), [[0, 1], [3, 0]])


def test_the_encoder_sees_the_training_rows_alone():
    table, other = mixed_table(), mixed_table()
    outside = np.setdiff1d(np.arange(60), ROWS)
    other.columns["full"][outside] = 1e9
    other.columns["gaps"][outside] = np.nan
    other.columns["colour"][outside] = "blue"
    other.target[outside] = -1e9
    assert Encoder.fit(table, ROWS, True) == Encoder.fit(other, ROWS, True)
    assert Encoder.fit(table, ROWS, True) != Encoder.fit(table, outside, True)


def test_load_fits_on_its_training_split():
    data = load(shipped.Diabetes(), seed=3)
    train = data.splits["train"]
    assert data.x.shape == (442, 10)
    np.testing.assert_allclose(data.x[train].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.x[train].std(axis=0), 1, rtol=1e-9)
    assert abs(data.y[train].mean()) < 1e-12
    assert data.y[train].std() == pytest.approx(1)
    np.testing.assert_allclose(data.y * data.encoder.target_scale + data.encoder.target_mean, data.table.target)


def test_a_table_without_a_column_of_the_training_is_refused():
    encoder = Encoder.fit(mixed_table(), ROWS, True)
    table = mixed_table()
    del table.columns["gaps"]
    with pytest.raises(DataError, match="made up, column 'gaps': the model needs it, and it is not there"):
        encoder.features(table)


def test_without_standardize_numbers_keep_their_scale():
    data = load(shipped.Diabetes(standardize=False), seed=0)
    np.testing.assert_array_equal(data.x, np.stack(list(data.table.columns.values()), axis=1))
    np.testing.assert_array_equal(data.y, data.table.target)


def test_classes_are_not_scaled():
    data = load(shipped.Iris(), seed=0)
    assert data.y.dtype == np.int64
    np.testing.assert_array_equal(data.y, data.table.target)
    assert (data.encoder.target_mean, data.encoder.target_scale) == (0.0, 1.0)
    assert data.encoder.classes == ["setosa", "versicolor", "virginica"]


numbers = st.floats(-1e30, 1e30) | st.just(np.nan)
texts = st.none() | st.text(max_size=5)


@given(st.lists(st.tuples(numbers, texts, st.floats(-1e30, 1e30)), min_size=2, max_size=20), st.booleans())
def test_the_state_survives_json_and_torch_exactly(rows, standardize):
    first, second, target = zip(*rows, strict=True)
    columns = {"n": np.array(first), "t": np.array(second, dtype=object)}
    table = Table(columns, np.array(target), "y", "regression", [], "made up")
    encoder = Encoder.fit(table, np.arange(len(rows) - 1), standardize)
    assert Encoder.from_state(encoder.state) == encoder
    file = io.BytesIO()
    torch.save(encoder.state, file)
    file.seek(0)
    loaded = Encoder.from_state(torch.load(file, weights_only=True))
    assert loaded == encoder
    np.testing.assert_array_equal(loaded.features(table), encoder.features(table))


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "size": np.where(random.random(80) < 0.2, np.nan, random.integers(1, 50, 80)),
            "rooms": random.integers(1, 9, 80),
            "code": [f"0{i % 3}" for i in range(80)],
            "new": random.random(80) < 0.5,
            "kind": random.choice(["house", "flat", None], 80),
            "sold": random.random(80) < 0.5,
        }
    )


def test_a_new_table_is_encoded_as_the_training_table(frame, tmp_path):
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    data = load(sources.Csv(path=str(path), target="sold", categorical=["code"]), seed=0)
    shuffled = frame[["kind", "sold", "new", "code", "rooms", "size"]].assign(other=[[1]] * 80)
    frame.to_parquet(tmp_path / "t.parquet")
    for table in (path, str(path), tmp_path / "t.parquet", frame, pd.read_csv(path), shuffled, frame.astype(object)):
        new = data.encoder.read(table, with_target=True)
        np.testing.assert_array_equal(data.encoder.features(new), data.x)
        np.testing.assert_array_equal(new.target, data.y)
    assert data.encoder.read(frame.drop(columns="sold")).target is None


def test_a_table_of_one_row_is_encoded(frame, tmp_path):
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load(sources.Csv(path=str(tmp_path / "t.csv"), target="sold"), seed=0)
    frame.iloc[[7]].to_csv(tmp_path / "one.csv", index=False)
    np.testing.assert_array_equal(data.encoder.features(data.encoder.read(tmp_path / "one.csv")), data.x[[7]])


def test_a_new_regression_target_is_read_as_numbers(tmp_path):
    frame = pd.DataFrame({"x": np.arange(40.0), "y": np.arange(40.0) ** 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    encoder = load(sources.Csv(path=str(tmp_path / "t.csv"), target="y"), seed=0).encoder
    new = encoder.read(pd.DataFrame({"x": [1], "y": ["7"]}), with_target=True)
    np.testing.assert_array_equal(new.target, [7.0])
    np.testing.assert_allclose(encoder.encode_target(new.target), (7 - encoder.target_mean) / encoder.target_scale)


def table_of_all_kinds(n: int = 120) -> pd.DataFrame:
    i = np.arange(n)
    return pd.DataFrame(
        {
            "real": np.where(i % 11 == 3, np.nan, (i * 37 % 101) / 8 - 3),
            "whole": i * 7919 % 104729,
            "few": i * 5 % 4,
            "truth": i * 3 % 7 < 3,
            "text": np.array(["a", "b", "ü x", None], dtype=object)[i * 7 % 4],
            "mixed": np.array(["1", "2", "3+"])[i * 11 % 3],
            "day": np.array(["2024-01-01", "2024-02-29"])[i % 2],
            "name": [f"n {k} x" for k in i],
            "na": np.array(["NA", "x", "?"])[i * 13 % 3],
            "word": np.array(["no", "yes"])[i * i % 5 % 2],
            "number": i * i % 53 / 4,
            "grade": i * 17 % 6,
        }
    )


@pytest.mark.parametrize(
    ("target", "digest"),
    [
        ("word", "a067a90e81786408"),
        ("number", "63b9598f9ed0eba5"),
        ("grade", "e0d318ae6a33f668"),
        ("truth", "7640b9f678ea7548"),
    ],
)
def test_a_table_has_the_bits_that_it_always_had(target, digest, tmp_path):
    """A run goes on only with the same; without scaling, so that they are those of every processor."""
    table_of_all_kinds().to_csv(tmp_path / "t.csv", index=False)
    table_of_all_kinds().to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        source = sources.Csv(path=str(tmp_path / name), target=target, categorical=["few"], standardize=False)
        assert load(source, seed=3).digest.startswith(digest)


@pytest.mark.parametrize(
    ("source", "digest"),
    [(shipped.Digits, "c8a4d0092bb035c9"), (shipped.Iris, "974c3e5ef1f04848"), (shipped.Diabetes, "d235b729dfe2b7e6")],
)
def test_a_bundled_data_set_has_the_bits_that_it_always_had(source, digest):
    assert load(source(standardize=False), seed=5).digest.startswith(digest)


def test_statistics_by_blocks_are_those_of_all_columns_at_once(monkeypatch):
    columns = {f"c{i}": np.random.default_rng(i).normal(size=50) for i in range(5)}
    columns["c3"][7] = np.nan
    table = Table(columns, np.arange(50.0), "y", "regression", [], "t")
    whole = Encoder.fit(table, np.arange(40), standardize=True).state
    monkeypatch.setattr(fitting, "NUMBERS_AT_ONCE", 100)
    assert Encoder.fit(table, np.arange(40), standardize=True).state == whole
