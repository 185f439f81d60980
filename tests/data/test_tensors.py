"""Arrays, images and lists become tensors of x: their numbers, their kinds, their scaling and their splits."""

import gc
import warnings

import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_digits

from nettrain.data import Encoder, Images, Npz, load
from nettrain.data.sources import Csv
from nettrain.data.tensor_sources import DigitsImages, DigitsRows
from nettrain.errors import DataError
from nettrain.samples import ready

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (30, 3, 5, 6), dtype=np.uint8)
Y = np.arange(30) % 3
NO_SPLIT = {"val_fraction": 0.0, "test_fraction": 0.0}


def npz(**arrays):
    np.savez("a.npz", **arrays)
    return Npz(path="a.npz")


def scaled(data, rows=slice(None), dtype=torch.float64):
    return ready(data.rows(np.arange(len(data.y))[rows]), data.inputs, dtype).numpy()


@pytest.mark.parametrize(("source", "shape"), [(DigitsImages(), (1, 8, 8)), (DigitsRows(), (8, 8))])
def test_digits_of_other_shapes_are_scikit_learns(source, shape):
    data, reference = load(source, 0), load_digits()
    np.testing.assert_array_equal(data.x, reference.images.reshape(-1, *shape))
    np.testing.assert_array_equal(data.y, reference.target)
    assert data.x.dtype == (np.uint8 if len(shape) == 3 else np.float64)


def test_bytes_are_scaled_by_channel_with_the_training_rows(here):
    data = load(npz(x=PICTURES, y=Y), 0)
    assert data.x.dtype == np.uint8
    assert data.inputs.text == "3 x 5 x 6 bytes"
    train = PICTURES[data.splits["train"]].astype(float)
    expected = (PICTURES - train.mean((0, 2, 3), keepdims=True)) / train.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(scaled(data), expected, atol=1e-12)


def test_bytes_that_are_not_standardised_lie_between_0_and_1(here):
    source = npz(x=PICTURES, y=Y)
    source.standardize = False
    np.testing.assert_allclose(scaled(load(source, 0)), PICTURES / 255)


def test_floats_of_a_sequence_are_scaled_by_feature(here):
    x = RNG.normal(3, 2, (30, 7, 2)) * [1, 100]
    data = load(npz(x=x, y=Y), 0)
    train = x[data.splits["train"]]
    np.testing.assert_allclose(scaled(data), (x - train.mean((0, 1))) / train.std((0, 1)), atol=1e-12)


def test_a_number_that_never_changes_is_only_shifted(here):
    x = RNG.normal(size=(30, 2, 2))
    x[..., 1] = 0.1
    assert scaled(load(npz(x=x, y=Y), 0))[..., 1] == pytest.approx(0, abs=1e-12)


def test_large_arrays_are_scaled_as_small_ones(here, monkeypatch):
    x = RNG.normal(3, 2, (30, 7, 2))
    whole = load(npz(x=x, y=Y), 0)
    expected = scaled(whole)
    monkeypatch.setattr("nettrain.data.tensor_columns.AT_ONCE", 50)
    monkeypatch.setattr("nettrain.samples.AT_ONCE", 50)
    np.testing.assert_allclose(scaled(load(npz(x=x, y=Y), 0)), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4"])
def test_whole_numbers_stay_ids(here, dtype):
    ids = RNG.integers(0, 100, (30, 9)).astype(dtype)
    data = load(npz(x=ids, y=Y), 0)
    assert data.inputs.kind == "ids"
    assert data.inputs.vocabulary == ids.max() + 1
    x = ready(data.x, data.inputs, torch.float32)
    assert x.dtype == torch.int64
    np.testing.assert_array_equal(x, ids.astype(np.int64))


def test_whole_numbers_that_are_no_ids_are_features(here):
    source = npz(x=RNG.integers(0, 9, (30, 4)), y=Y)
    source.ids = False
    data = load(source, 0)
    assert data.inputs.text == "4 numbers"
    assert data.encoder.feature_names == ["x0", "x1", "x2", "x3"]


def test_floats_of_two_dimensions_are_columns_as_those_of_python(here):
    x = RNG.normal(size=(30, 4))
    frame = pd.DataFrame({f"x{i}": x[:, i] for i in range(4)}).assign(y=Y)
    frame.to_parquet("t.parquet")
    assert load(npz(x=x, y=Y), 0).digest == load(Csv(path="t.parquet", target="y"), 0).digest


def test_several_arrays_are_a_dictionary_and_columns_its_features(here):
    data = load(npz(image=PICTURES, tokens=np.tile(np.arange(30)[:, None], 4), age=RNG.normal(size=30), y=Y), 0)
    assert {name: input.text for name, input in data.inputs.items()} == {
        "image": "3 x 5 x 6 bytes",
        "tokens": "4 ids below 30",
        "features": "1 numbers",
    }
    assert data.x["features"].std() == pytest.approx(1, abs=0.3)
    assert data.rows(np.array([4, 2]))["tokens"].tolist() == [[4] * 4, [2] * 4]


def test_arrays_bring_their_splits(here):
    data = load(npz(x_test=PICTURES[:4], y_test=Y[:4], x_train=PICTURES[4:], y_train=Y[4:]), 0)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 26, "val": 0, "test": 4}
    np.testing.assert_array_equal(data.rows(data.splits["test"]), PICTURES[:4])
    np.testing.assert_array_equal(data.y[data.splits["test"]], Y[:4])


def test_a_folder_of_arrays(here):
    for name, array in {"x": PICTURES, "y": Y}.items():
        np.save(f"{name}.npy", array)
    assert load(Npz(path="."), 0).digest == load(npz(x=PICTURES, y=Y), 0).digest


@pytest.mark.parametrize("strided", [lambda x: x[:, None, 0], lambda x: x.transpose(0, 3, 1, 2), lambda x: x[::-1]])
def test_arrays_in_memory_of_any_order(here, strided):
    x = strided(RNG.normal(size=(30, 3, 5, 6)))
    np.testing.assert_array_equal(load(npz(x=x, y=Y), 0).x, x)


CELLS = RNG.normal(size=(30, 2, 3)).round(3)
FLAT = CELLS[:, 0]


def as_text(cells):
    return pd.DataFrame({"v": [str(cell.tolist()) for cell in cells], "y": Y}).to_csv("t.csv", index=False)


def as_lists(cells):
    return pd.DataFrame({"v": [cell.tolist() for cell in cells], "y": Y}).to_parquet("t.parquet")


def as_arrays(cells):
    return pd.DataFrame({"v": list(cells), "y": Y}).to_parquet("t.parquet")


def as_tensors(cells):
    tensor = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(cells))
    parquet.write_table(pyarrow.table({"v": tensor, "y": Y}), "t.parquet")


def as_fixed(cells):
    values = pyarrow.array(cells.ravel())
    fixed = pyarrow.FixedSizeListArray.from_arrays(values, cells.shape[-1])
    parquet.write_table(pyarrow.table({"v": fixed, "y": Y}), "t.parquet")


WAYS = [
    *((way, cells) for way in (as_text, as_lists, as_tensors) for cells in (FLAT, CELLS)),
    (as_arrays, FLAT),
    (as_fixed, FLAT),
]


@pytest.mark.parametrize(("way", "cells"), WAYS)
def test_lists_in_a_table_are_a_tensor(here, way, cells):
    way(cells)
    path = "t.csv" if way is as_text else "t.parquet"
    data = load(Csv(path=path, target="y"), 0)
    np.testing.assert_array_equal(data.x, cells)
    encoder = Encoder.from_state(data.encoder.state)
    read = encoder.read(path, with_target=True)
    np.testing.assert_array_equal(encoder.features(read), cells)
    assert encoder.inputs == data.inputs


def test_a_text_in_brackets_that_is_no_list_stays_a_category(here):
    pd.DataFrame({"v": ["[a]", "[b]"] * 15, "y": Y}).to_csv("t.csv", index=False)
    assert load(Csv(path="t.csv", target="y"), 0).encoder.feature_names == ["v=[a]", "v=[b]"]
    pd.DataFrame({"v": ["[1]", "[2, 3]"] * 15, "y": Y}).to_csv("t.csv", index=False)
    assert len(load(Csv(path="t.csv", target="y", categorical=["v"]), 0).encoder.feature_names) == 2


def write_pictures(folder, mode="RGB", suffix="png", classes="cab"):
    for i, pixels in enumerate(PICTURES):
        path = folder / classes[i % 3] / f"{i:02}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).convert(mode).save(path)


def test_a_folder_for_each_class(here):
    write_pictures(here / "pics")
    (here / "pics" / ".hidden").touch()
    data = load(Images(path="pics"), 0)
    order = sorted(range(30), key=lambda i: ("cab"[i % 3], i))
    np.testing.assert_array_equal(data.x, PICTURES[order])
    assert data.encoder.classes == ["a", "b", "c"]
    assert [data.encoder.classes[i] for i in data.y] == ["cab"[i % 3] for i in order]


def test_a_table_of_paths_may_have_numbers_as_target_and_other_columns(here):
    write_pictures(here / "pics")
    paths = [f"pics/{'cab'[i % 3]}/{i:02}.png" for i in range(30)]
    table = pd.DataFrame({"file": paths, "age": RNG.normal(size=30), "size": RNG.normal(size=30)})
    table.to_csv(here / "t.csv", index=False)
    data = load(Images(path="t.csv", image="file", target="size"), 0)
    np.testing.assert_array_equal(data.x["file"], PICTURES)
    assert data.x["features"].shape == (30, 1)
    assert data.encoder.task == "regression"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_modes_of_images(here, mode):
    write_pictures(here / "pics", mode)
    assert load(Images(path="pics"), 0).inputs.shape == ((1 if mode in "L1" else 3), 5, 6)
    grey = load(Images(path="pics", color="grey"), 0)
    assert grey.inputs.shape == (1, 5, 6)
    assert load(Images(path="pics", color="rgb", size=[4, 7]), 0).inputs.shape == (3, 4, 7)


def test_images_bring_their_splits(here):
    write_pictures(here / "pics" / "train")
    write_pictures(here / "pics" / "test", classes="cba")
    data = load(Images(path="pics"), 0)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 30, "val": 0, "test": 30}
    assert data.encoder.classes == ["a", "b", "c"]


def test_numbered_folders_are_classes(here):
    for i in range(25):
        path = here / "pics" / str(i)
        path.mkdir(parents=True)
        for k in range(3):
            Image.fromarray(PICTURES[i].transpose(1, 2, 0)).save(path / f"{k}.png")
    assert load(Images(path="pics"), 0).encoder.task == "multiclass"


def test_new_images_are_made_like_those_of_the_training(here):
    write_pictures(here / "pics")
    encoder = Encoder.from_state(load(Images(path="pics"), 0).encoder.state)
    read = encoder.read("pics/a")
    np.testing.assert_array_equal(read.columns["path"], PICTURES[1::3])
    assert encoder.read("pics/a/01.png").columns["path"].shape == (1, 3, 5, 6)
    assert not read.unfamiliar
    write_pictures(here / "grey", "L", "jpg")
    read = encoder.read("grey", with_target=True)
    assert read.columns["path"].shape == (30, 3, 5, 6)
    assert "not in colour, as those of the training: 30 of 30 images, such as grey/a/01.jpg" in read.unfamiliar[0]
    Image.new("RGB", (3, 2)).save("1.png")
    with pytest.raises(DataError, match=r"row 1.*1.png has 3 x 2 pixels, and the model was trained with 6 x 5\."):
        encoder.read("1.png")


NEW = {
    "a sample has the shape (3, 5, 7); the model was trained with (3, 5, 6).": np.zeros((2, 3, 5, 7), np.uint8),
    "found float64 numbers; the model was trained with bytes.": np.zeros((2, 3, 5, 6)),
    "row 2 (index 1), column 'x': found 300; the model was trained with bytes from 0 to 255.": np.array([0, 300])[
        :, None, None, None
    ]
    * np.ones((2, 3, 5, 6), int),
    "found values of type <U1; numbers are read.": np.full((2, 3, 5, 6), "a"),
}


@pytest.mark.parametrize("sentence", NEW)
def test_new_arrays_of_another_kind(here, sentence):
    encoder = load(npz(x=PICTURES, y=Y), 0).encoder
    with pytest.raises(DataError) as error:
        encoder.read(NEW[sentence])
    assert sentence in str(error.value)


def test_new_ids_are_checked(here):
    encoder = load(npz(x=np.tile(np.arange(30)[:, None], 4), y=Y), 0).encoder
    assert encoder.read(np.array([[29, 0, 0, 1]])).columns["x"].tolist() == [[29, 0, 0, 1]]
    for wrong in (30, -1):
        with pytest.raises(
            DataError, match=f"row 2 .index 1., column 'x': found {wrong}; the model was trained with ids from 0"
        ):
            encoder.read(np.array([[0, 0, 0, 0], [0, wrong, 0, 0]]))


def test_an_array_is_the_only_tensor_whatever_that_is_called(here):
    data = load(DigitsImages(), 0)
    read = data.encoder.read((data.x[:5], load_digits().target[:5]), with_target=True)
    np.testing.assert_array_equal(read.columns["image"], data.x[:5])
    np.testing.assert_array_equal(read.target, data.y[:5])


def test_small_whole_numbers_do_for_bytes(here):
    encoder = load(npz(x=PICTURES, y=Y), 0).encoder
    read = encoder.read(torch.tensor(PICTURES.astype(np.int64)))
    assert read.columns["x"].dtype == np.uint8
    np.testing.assert_array_equal(read.columns["x"], PICTURES)


def test_no_file_is_left_open(here):
    write_pictures(here / "pics")
    write_pictures(here / "unlike")
    Image.new("RGB", (9, 9)).save(here / "unlike" / "a" / "09.png")
    (here / "damaged.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        load(Images(path="pics"), 0)
        for source in (Images(path="unlike"), Npz(path="damaged.npz")):
            with pytest.raises(DataError):
                load(source, 0)
        gc.collect()
    assert not [str(warning.message) for warning in noted if warning.category is ResourceWarning]
