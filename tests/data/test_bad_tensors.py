"""Every bad array, image and list ends in one sentence: the file, what was found and what would do."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nettrain.data import Images, Npz, load
from nettrain.data.sources import Csv
from nettrain.errors import ConfigError, DataError

X, Y = np.zeros((20, 3, 4), np.float32), np.arange(20) % 2
IDS = np.tile(np.arange(20)[:, None], (1, 5))


def npz(**arrays):
    def write():
        np.savez("a.npz", **arrays)
        return Npz(path="a.npz")

    return write


def with_value(array, row, value):
    changed = array.copy()
    changed[row].flat[1] = value
    return changed


def damaged():
    Path("a.npz").write_bytes(b"PK no zip")
    return Npz(path="a.npz")


def truncated():
    np.savez("b.npz", x=X, y=Y)
    Path("a.npz").write_bytes(Path("b.npz").read_bytes()[:900])
    return Npz(path="a.npz")


def one_npy():
    np.save("x.npy", X)
    return Npz(path="x.npy")


def options(source, **changed):
    def write():
        made = source()
        for name, value in changed.items():
            setattr(made, name, value)
        return made

    return write


def image(path, size=(6, 5), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def pictures(change=None, source="pics"):
    """A folder with 10 images for each of two classes, one of which is changed."""

    def write(folder):
        for i in range(20):
            image(folder / "pics" / "ab"[i % 2] / f"{i:02}.png")
        rows = [(f"pics/{'ab'[i % 2]}/{i:02}.png", "ab"[i % 2]) for i in range(20)]
        if change:
            change(folder / "pics", rows)
        pd.DataFrame(rows, columns=["path", "class"]).to_csv("t.csv", index=False)
        return Images(path=source)

    return write


def write_bytes(name, content):
    return lambda folder, rows: (folder / name).write_bytes(content)


def empty(folder, rows):
    for path in folder.rglob("*.png"):
        path.unlink()


def nothing(folder, rows):
    empty(folder, rows)
    for path in list(folder.iterdir()):
        path.rmdir()


def lists(cells, name="t.csv"):
    def write():
        frame = pd.DataFrame({"v": cells, "z": range(20), "y": Y})
        frame.to_parquet(name) if name.endswith("parquet") else frame.to_csv(name, index=False)
        return Csv(path=name, target="y")

    return write


TEXTS = [f"[{i}, 2.5, 3]" for i in range(20)]
LEAVE_OUT = "leave the column out with data.drop=[v]"

ARRAYS = {
    "there is no such file; correct the path.": lambda: Npz(path="a.npz"),
    "a.npz: the file is no NumPy file, or a damaged one; write it again.": damaged,
    "a.npz: the file is no NumPy file, or a damaged one; write it again": truncated,
    "x.npy: arrays are read from an .npz file, or from a folder with x.npy and y.npy; name one of these.": one_npy,
    "a.npz, x: the array holds Python's objects, which are not read; make numbers or texts of it.": npz(
        x=np.array([[1], {}], dtype=object), y=Y
    ),
    "a.npz: there is no array 'y', which data.target names; there is x.": npz(x=X),
    "a.npz: beside the target 'y' there is no array to predict it from.": npz(y=Y),
    "a.npz: there is no array 'label' (did you mean 'labels'?), which data.target names; there are x, labels.": options(
        npz(x=X, labels=Y), target="label"
    ),
    "a.npz: x has 20 and y has 19 samples; all arrays must have as many.": npz(x=X, y=Y[:19]),
    "a.npz: rate is a single number, not an array of samples; leave it out.": npz(x=X, y=Y, rate=0.1),
    "a.npz: there are no samples.": npz(x=X[:0], y=Y[:0]),
    "a.npz, column 'y': the target has the shape (20, 3, 2); it must be (20,), or (20, m) for several targets.": npz(
        x=X, y=np.zeros((20, 3, 2))
    ),
    "a.npz: in every row exactly one of the targets y0, y1, y2 is 1, as where they are the classes of one target; make "
    "one column of classes (argmax(1) does of an array), or take them as labels with data.task=multilabel.": npz(
        x=X, y=np.eye(3)[np.arange(20) % 3]
    ),
    "a.npz, column 'y1': every row has 0": npz(x=X, y=np.stack([Y, 0 * Y, Y], axis=1)),
    "a.npz, column 'x': found values of type complex64; numbers are read.": npz(x=X.astype(np.complex64), y=Y),
    "a.npz, row 8, column 'x': found nan; the numbers of arrays must be there and finite.": npz(
        x=with_value(X, 7, np.nan), y=Y
    ),
    "a.npz, row 8, column 'x': found -3; ids are 0 or more; data.ids=false makes numbers of them.": npz(
        x=with_value(IDS, 7, -3), y=Y
    ),
    "a.npz, row 13, column 'x': found 12; data.vocabulary=12 has the ids 0 to 11.": options(
        npz(x=IDS, y=Y), vocabulary=12
    ),
    "a.npz: there is y_test, and no x_test; each split needs all arrays.": npz(x_train=X, y_train=Y, y_test=Y),
    "a.npz: x of test has samples of shape (4,), and that of train of (3, 4); they must be alike.": npz(
        x_train=X, y_train=Y, x_test=X[:, 0], y_test=Y
    ),
    "a.npz, test: x has 20 and y has 5 samples; all arrays must have as many.": npz(
        x_train=X, y_train=Y, x_test=X, y_test=Y[:5]
    ),
    "a.npz: beside arrays of splits, such as x_train, there is names; rename it.": npz(x_train=X, y_train=Y, names=Y),
    "a.npz: there is no array z, which data.drop names.": options(npz(x=X, y=Y), drop=["z"]),
    "a.npz, column 'x': a sample has the shape (0, 4), which holds no number.": npz(x=X[:, :0], y=Y),
    f"t.csv, row 9, column 'v': found a list of shape (2,), where the first row has the shape (3,); all must have one "
    f"shape; {LEAVE_OUT} otherwise.": lists([*TEXTS[:7], "[1, 2]", *TEXTS[8:]]),
    f"t.csv, row 9, column 'v': found '[1, 2', which is no list of numbers; correct it, or {LEAVE_OUT}.": lists(
        [*TEXTS[:7], "[1, 2", *TEXTS[8:]]
    ),
    f"t.csv, row 9, column 'v': the list is missing; fill it in, or {LEAVE_OUT}.": lists([*TEXTS[:7], "", *TEXTS[8:]]),
    f"t.parquet, row 8, column 'v': found a list of 2 numbers, where the first one has 3; all must have one shape; "
    f"{LEAVE_OUT} otherwise.": lists([[1.0, 2.0, 3.0]] * 7 + [[1.0, 2.0]] + [[1.0, 2.0, 3.0]] * 12, "t.parquet"),
    f"t.parquet, row 8, column 'v': the list is missing; fill it in, or {LEAVE_OUT}.": lists(
        [[1.0, 2.0]] * 7 + [None] + [[1.0, 2.0]] * 12, "t.parquet"
    ),
    f"t.parquet, row 8, column 'v': a number of the list is missing; fill it in, or {LEAVE_OUT}.": lists(
        [[1.0, 2.0]] * 7 + [[1.0, None]] + [[1.0, 2.0]] * 12, "t.parquet"
    ),
    "t.parquet, column 'v': found lists of the type string; lists of numbers are read.": lists(
        [["a", "b"]] * 20, "t.parquet"
    ),
}

PNG, IN_THE_TABLE = (
    "is no PNG or JPEG image, or a damaged one; make it again, or leave it out.",
    "t.csv, row 5, column 'path': ",
)
IMAGES = {
    "pics/a/08.png " + PNG: pictures(write_bytes("a/08.png", b"\x89PNG no image")),
    "pics/b/notes.txt: this is no image that is read (.png, .jpg or .jpeg); delete or convert it.": pictures(
        write_bytes("b/notes.txt", b"")
    ),
    "pics/stray.png: this lies in no folder of a class; put each image into a folder with the name of its class, or "
    "name a table of paths and classes as data.path.": pictures(write_bytes("stray.png", b"")),
    "pics/a: there is no image of this class (.png, .jpg or .jpeg); delete the folder.": pictures(empty),
    "pics: the folder is empty; it needs a folder of images for each class.": pictures(nothing),
    "pics/a/08.png has 7 x 5 pixels, and the first one has 6 x 5; data.size=[5,6] scales them all.": pictures(
        lambda folder, rows: image(folder / "a" / "08.png", (7, 5))
    ),
    "pics/a/08.png is in colour, where the first image is grey; data.color=grey or data.color=rgb makes them "
    "alike.": pictures(lambda folder, rows: image(folder / "a" / "08.png", mode="RGB")),
    "pics/a/08.png has pixels of the kind I;16; images of 8 bits a channel are read.": pictures(
        lambda folder, rows: image(folder / "a" / "08.png", mode="I;16")
    ),
    IN_THE_TABLE + "there is no image pics/none.png; correct the path.": pictures(
        lambda folder, rows: rows.__setitem__(3, ("pics/none.png", "a")), "t.csv"
    ),
    IN_THE_TABLE + "pics/none.gif is no image that is read (.png, .jpg or .jpeg).": pictures(
        lambda folder, rows: rows.__setitem__(3, ("pics/none.gif", "a")), "t.csv"
    ),
    IN_THE_TABLE + "the path of the image is missing.": pictures(
        lambda folder, rows: rows.__setitem__(3, ("", "a")), "t.csv"
    ),
    "there is no folder": pictures(source="nowhere/pics"),
}


@pytest.mark.parametrize("sentence", ARRAYS)
def test_bad_arrays_and_lists(here, sentence):
    source = ARRAYS[sentence]()
    with pytest.raises(DataError) as error:
        load(source, 0)
    assert sentence in str(error.value)
    assert str(error.value).startswith(source.path)


@pytest.mark.parametrize("sentence", IMAGES)
def test_bad_images(here, sentence):
    source = IMAGES[sentence](here)
    with pytest.raises(DataError) as error:
        load(source, 0)
    assert sentence in str(error.value)


def test_arrays_that_would_fill_the_memory_are_refused_before_they_are_unpacked(here, monkeypatch):
    np.savez_compressed("a.npz", x=np.zeros((20, 1000, 1000), np.uint8), y=Y)
    assert Path("a.npz").stat().st_size < 10**6
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2 * 10**7))
    with pytest.raises(
        DataError, match=r"a\.npz: the table is larger than 0.00931 GiB, half of the memory that is free"
    ):
        load(Npz(path="a.npz"), 0)


def test_a_size_that_is_none(here):
    source = pictures()(here)
    source.size = [5]
    with pytest.raises(ConfigError, match=r"data.size=\[5\]: it must be \[height,width\]"):
        load(source, 0)
    with pytest.raises(DataError, match=r"t.csv: there is no column 'file', which data.image names"):
        load(Images(path="t.csv", image="file"), 0)
