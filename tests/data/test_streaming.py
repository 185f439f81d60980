"""A table that is read in parts means what it means in memory, and its batches are pure functions of (seed, epoch)."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from nettrain.data import encode, load, stream_order, streamed_data, streamed_rows
from nettrain.data.row_sets import in_parts
from nettrain.data.sources import Csv
from nettrain.data.splitting import Group, Random
from nettrain.errors import ConfigError, DataError
from nettrain.training.stack.stream_batches import StreamBatches

ROWS = 1200


def table(rows: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    number = draw.normal(size=rows) * 7 + 3
    return pd.DataFrame(
        {
            "number": np.where(draw.random(rows) < 0.1, np.nan, number),
            "count": draw.integers(0, 9, rows),
            "kind": draw.choice(np.array(["x", "y", "z", None]), rows),
            "flag": draw.random(rows) < 0.3,
            "percent": [f"{value}%" for value in draw.integers(1, 99, rows)],
            "when": pd.Timestamp("2023-12-30") + pd.to_timedelta(draw.integers(0, 10**7, rows), unit="s"),
            "words": draw.choice(["good wine", "bad wine", "no wine at all"], rows),
            "weight": draw.integers(1, 4, rows),
            "y": number + draw.normal(size=rows),
            "label": draw.choice(["b", "a", "c"], rows),
        }
    )


def write(folder, frame: pd.DataFrame, files: int = 3, group: int = 150) -> str:
    folder.mkdir(exist_ok=True)
    for i, rows in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[rows].to_parquet(folder / f"{i}.parquet", index=False, row_group_size=group)
    return str(folder)


def dataset(path: str, **keys) -> Csv:
    keys = {"target": "y", "drop": ["label"], "columns": {"words": "hash"}, "weight": "weight", "stream": True, **keys}
    return Csv(path=path, **keys)


@pytest.mark.parametrize("keys", [{}, {"target": "label", "drop": ["y"]}, {"standardize": False}], ids=str)
def test_a_streamed_table_is_encoded_as_in_memory(keys, tmp_path):
    path = write(tmp_path / "parts", table())
    streamed, plain = load(dataset(path, **keys), 5), dataset(path, **keys, stream=False)
    memory = encode(plain, plain.load(), 5, Random(), dict(streamed.splits))
    assert streamed.encoder.feature_names == memory.encoder.feature_names
    np.testing.assert_allclose(streamed.x[:], memory.x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(streamed.y, memory.y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(streamed.weights, memory.weights, rtol=1e-12)
    assert (streamed.encoder.classes, streamed.encoder.task) == (memory.encoder.classes, memory.encoder.task)
    for one, other in zip(streamed.encoder.columns, memory.encoder.columns, strict=True):
        for name, value in vars(other).items():
            expected = pytest.approx(value, rel=1e-9) if isinstance(value, float | dict) else value
            assert vars(one)[name] == expected, (one, name)


def test_each_row_is_in_one_split_by_its_number_and_the_seed_alone(tmp_path):
    path = write(tmp_path / "parts", table())
    one, again, other = (load(dataset(path), seed) for seed in (1, 1, 2))
    rows = np.concatenate(list(one.splits.values()))
    np.testing.assert_array_equal(np.sort(rows), np.arange(ROWS))
    for name, share in {"train": 0.7, "val": 0.15, "test": 0.15}.items():
        np.testing.assert_array_equal(one.splits[name], again.splits[name])
        assert abs(len(one.splits[name]) - share * ROWS) < 4 * np.sqrt(ROWS * share * (1 - share))
    assert set(one.splits["val"]) != set(other.splits["val"])
    assert one.digest == again.digest != other.digest


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of about 100 rows, which are read 16 at a time."""
    monkeypatch.setattr(stream_order, "BATCH", 16)
    monkeypatch.setattr(streamed_rows, "WINDOW_BYTES", 4 * 30 * 100)


def batches_of(data, seed: int = 3, bs: int = 32) -> StreamBatches:
    n = len(data.splits["train"])
    run = SimpleNamespace(data=data, config=SimpleNamespace(seed=seed), batch_size=bs)
    run.updates_per_epoch, run.last_batch = -(-n // bs), n % bs or bs
    return StreamBatches([run], torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("group", [20, 150, 400], ids="row groups of {}".format)
def test_an_epoch_visits_every_training_row_once_in_an_order_of_its_own(group, small_windows, tmp_path):
    data = load(dataset(write(tmp_path / "parts", table(), group=group), weight=None), 0)
    batches, rows = batches_of(data), data.splits["train"]
    orders = []
    for epoch in (0, 1):
        x, y = (torch.cat(tensors) for tensors in zip(*batches.of_epoch(epoch), strict=True))
        order = [int(np.flatnonzero(data.y == value)[0]) for value in y.numpy()]  # no number comes twice
        np.testing.assert_array_equal(np.sort(order), rows)
        np.testing.assert_array_equal(x.numpy(), data.x[order])
        assert torch.equal(y, batches.targets("train", epoch))
        assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.5
        orders.append(order)
    assert orders[0] != orders[1]
    assert [len(y) for _, y in batches.of_epoch(0)][:-1] == [32] * (batches.per_epoch - 1)


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_batches_do_not_depend_on_where_reading_begins_nor_on_how_far_it_is_ahead(
    ahead, small_windows, tmp_path, monkeypatch
):
    data = load(dataset(write(tmp_path / "parts", table(), group=400)), 0)
    whole = list(batches_of(data).of_epoch(2))
    weights = list(batches_of(data).weights_of_epoch(2))
    monkeypatch.setattr(streamed_rows, "AHEAD", ahead)
    for first in (0, 1, 7, 20, len(whole) - 1, len(whole)):
        rest = list(batches_of(data).of_epoch(2, first))
        assert len(rest) == len(whole) - first
        for (x, y), (true_x, true_y) in zip(rest, whole[first:], strict=True):
            assert torch.equal(x, true_x)
            assert torch.equal(y, true_y)
        assert all(map(torch.equal, batches_of(data).weights_of_epoch(2, first), weights[first:]))


def test_row_groups_are_read_side_by_side(small_windows, tmp_path):
    data = load(dataset(write(tmp_path / "parts", table(), files=1, group=300)), 0)
    windows = list(data.x.rows_of_windows(data.splits["train"], 0, 0))
    assert all(len(set(rows // 300)) == 4 for rows in windows[:-1])


def test_a_split_is_read_in_the_order_of_the_files(small_windows, tmp_path):
    data = load(dataset(write(tmp_path / "parts", table())), 0)
    batches = batches_of(data)
    for name in ("train", "val", "test"):
        x, y = (torch.cat(tensors) for tensors in zip(*batches.parts(name, 50), strict=True))
        np.testing.assert_array_equal(x.numpy(), data.x[data.splits[name]])
        np.testing.assert_array_equal(y.numpy(), data.y[data.splits[name]])


def _late_text(frame):
    frame["number"] = frame["number"].astype(str)
    frame.loc[1100, "number"] = "many"
    return frame


@pytest.mark.parametrize(
    ("change", "keys", "message"),
    [
        (lambda f: f, {"drop_missing_target": True}, "data.drop_missing_target=true: a table that is read in parts"),
        (lambda f: f.assign(a=[[1, 2]] * ROWS), {}, "{0}, column 'a': found values of the type list<"),
        (
            lambda f: f.assign(y=f.y.where(f.index != 900)),
            {},
            "{0}, row 101 of {0}/2.parquet, column 'y': the target is missing",
        ),
        (
            lambda f: f.assign(number=f.number.where(f.index != 900, np.inf)),
            {},
            "{0}, row 101 of {0}/2.parquet, column 'number': found inf",
        ),
        (lambda f: f.assign(weight=-1), {}, "{0}/0.parquet, row 1, column 'weight': found -1"),
        (lambda f: f, {"target": "z"}, "{0}: there is no column 'z', which data.target names"),
        (lambda f: f.assign(y=4.0), {}, "{0}, column 'y': every row has the label '4'"),
        (lambda f: f.assign(y=f.y.where(f.index != 30)), {}, "{0}, row 31 of {0}/0.parquet, column 'y': the target"),
        (lambda f: f[:1], {}, "data.val_fraction=0.15 of 1 rows is no row"),
        (_late_text, {}, "{0}, row 301 of {0}/2.parquet, column 'number': found 'many', which is no number"),
    ],
    ids=["no target", "lists", "target", "infinite", "weight", "column", "constant", "early", "few", "text"],
)
def test_what_cannot_be_streamed_is_a_sentence(change, keys, message, tmp_path):
    path = write(tmp_path / "parts", change(table()).reset_index(drop=True))
    with pytest.raises((DataError, ConfigError)) as error:
        load(dataset(path, **keys), 0)
    assert str(error.value).startswith(message.format(path)), error.value


def test_a_text_far_behind_is_a_mistake_with_its_file_and_row(tmp_path):
    path = write(tmp_path / "parts", _late_text(table()), group=20)
    with pytest.raises(DataError) as error:
        load(dataset(path), 0)
    assert str(error.value).startswith(f"{path}/2.parquet, row 301, column 'number': found 'many', which is no number")


def test_other_files_and_splits_are_refused(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"t.csv: a table that is read in parts must lie in Parquet files"):
        load(dataset(str(tmp_path / "t.csv")), 0)
    path = write(tmp_path / "parts", table())
    with pytest.raises(ConfigError, match="split=group: it has to see the whole table"):
        load(dataset(path), 0, Group(column="kind"))
    (tmp_path / "parts" / "1.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"1.parquet: the file is no Parquet file"):
        load(dataset(path), 0)
    parquet.write_table(pa.table({"number": ["a"]}), tmp_path / "parts" / "1.parquet")
    with pytest.raises(DataError, match=r"1.parquet: there is no column 'count'"):
        load(dataset(path), 0)


def test_large_tables_are_streamed_by_themselves(tmp_path, monkeypatch):
    path = write(tmp_path / "parts", table())
    assert not load(dataset(path, stream=None), 0).streamed
    monkeypatch.setattr("nettrain.data.sources.LARGE", 8 * ROWS * table().shape[1] - 1)
    assert load(dataset(path, stream=None), 0).streamed


def test_a_row_takes_few_bytes_in_memory(tmp_path):
    frame = table()
    frame["y"] = frame["y"].astype(np.float32)
    path = write(tmp_path / "parts", frame)
    numbers, labels = load(dataset(path), 0), load(dataset(path, target="label", drop=["y"]), 0)
    assert numbers.y.values.nbytes == 4 * ROWS
    assert numbers.table.target.values is numbers.y.values
    assert labels.y.values.nbytes == ROWS
    assert sum(rows.bits.nbytes for rows in numbers.splits.values()) <= 3 * (ROWS / 8 + 1)


@pytest.mark.parametrize("asked", ["balanced", {"a": 3}], ids=str)
@pytest.mark.parametrize("weight", [None, "weight"])
def test_classes_weigh_what_they_weigh_in_memory(asked, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(streamed_data, "in_parts", partial(in_parts, size=50))
    path = write(tmp_path / "parts", table().assign(weight=np.random.default_rng(2).random(ROWS)))
    keys = {"target": "label", "drop": ["y"] if weight else ["y", "weight"], "weight": weight}
    streamed, plain = load(dataset(path, **keys), 5), dataset(path, **keys, stream=False)
    memory = encode(plain, plain.load(), 5, Random(), {n: np.asarray(r) for n, r in streamed.splits.items()})
    one, other = streamed.with_class_weights(asked), memory.with_class_weights(asked)
    assert one.encoder.class_weights == other.encoder.class_weights
    np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("positive", ["a", "b"])
def test_the_positive_class_is_the_one_that_is_asked_for(positive, tmp_path):
    frame = table()
    frame["label"] = frame["label"].replace("c", "a")
    data = load(dataset(write(tmp_path / "parts", frame), target="label", drop=["y"], positive=positive), 0)
    np.testing.assert_array_equal(data.y[:] == 1, frame["label"] == positive)
