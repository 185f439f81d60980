"""data.path may be a URL: what fsspec reads is the same table, and what goes wrong there is one sentence."""

import gzip
import shutil
import sys
import zipfile
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import nettrain
from nettrain.data import Images, Npz, load
from nettrain.data.remote import is_url
from nettrain.data.sources import Csv
from nettrain.errors import DataError, Mistake


@pytest.fixture
def flowers(here):
    """The irises in the memory of fsspec in many forms, and beside it as flowers.csv."""
    iris = load_iris(as_frame=True)
    table = iris.data.assign(species=iris.target_names[iris.target])
    table.columns = ["sl", "sw", "pl", "pw", "species"]
    table.to_csv("flowers.csv", index=False)
    table.to_parquet("flowers.parquet", index=False)
    table.to_excel("flowers.xlsx", index=False)
    Path("flowers.csv.gz").write_bytes(gzip.compress(Path("flowers.csv").read_bytes()))
    with zipfile.ZipFile("flowers.zip", "w") as archive:
        archive.write("flowers.csv")
    memory = fsspec.filesystem("memory")
    for path in here.glob("flowers.*"):
        memory.pipe_file(f"/{path.name}", path.read_bytes())
    yield here
    memory.store.clear()


@pytest.mark.parametrize(
    "url", [f"memory://flowers.{end}" for end in ("csv", "csv.gz", "zip", "parquet", "xlsx")] + ["zip://flowers.csv::"]
)
def test_a_url_gives_the_bits_of_the_file(flowers, url):
    url = f"{url}{(flowers / 'flowers.zip').as_uri()}" if url.endswith("::") else url
    read = load(Csv(path=url, target="species"), seed=0)
    assert read.digest == load(Csv(path="flowers.csv", target="species"), seed=0).digest


def test_a_run_on_a_url_is_saved_resumed_and_asked(flowers):
    words = [
        "data=csv",
        "recipe=plain",
        "data.path=memory://flowers.csv",
        "data.target=species",
        "quiet=true",
        "tensorboard=false",
    ]
    run = nettrain.train([*words, "epochs=1"], folder="run")
    assert run.config.data.path == "memory://flowers.csv"
    pd.testing.assert_frame_equal(run.predict("memory://flowers.parquet"), run.predict("flowers.csv"))
    nettrain.train(["resume=run", words[2], "epochs=2", "quiet=true"])
    fsspec.filesystem("memory").pipe_file("/flowers.csv", Path("flowers.csv").read_bytes().replace(b"5.1", b"5.2"))
    with pytest.raises(DataError, match="the data have changed since the run in run was trained"):
        nettrain.train(["resume=run", words[2], "epochs=3", "quiet=true"])


MISTAKES = {
    "memory://nowhere.csv": "memory://nowhere.csv: there is no such file; correct the URL.",
    "nowhere://a.csv": "nowhere://a.csv: fsspec knows no URLs of this kind; it reads https://, s3://, gs://, az:// and "
    "others.",
    "file:///nowhere/a.csv": "file:///nowhere/a.csv: there is no such file; correct the URL.",
    "memory://flowers.txt.7z": "memory://flowers.txt.7z: there is no such file; correct the URL.",
    "https://me:secret@host/a.csv?token=x": "data.path=https://me@host/a.csv: the password would be written into the "
    "run's folder; leave it out and use what the library for it reads, such as its file of credentials.",
    "https://[host/a.csv": "data.path=https://[host/a.csv: this is no URL.",
}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_url_that_cannot_be_read(flowers, url):
    with pytest.raises(Mistake) as raised:
        load(Csv(path=url, target="species"), seed=0)
    assert str(raised.value) == MISTAKES[url]


def test_a_library_that_is_missing_is_named(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=r"^s3://a/b.csv: a library for such URLs is missing: Install s3fs"):
        load(Csv(path="s3://a/b.csv", target="y"), seed=0)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(DataError, match=r"by fsspec, which is not installed; pip install 'nettrain\[remote\]'"):
        load(Csv(path="s3://a/b.csv", target="y"), seed=0)


@pytest.mark.parametrize("data", [Images(path="memory://a"), Npz(path="memory://a.npz")])
def test_images_and_arrays_are_files_of_this_machine(data):
    with pytest.raises(DataError, match=r"^memory://a\S*: data=\w+ reads files of this machine; copy it here first\.$"):
        load(data, seed=0)


def test_paths_are_no_urls():
    assert not any(is_url(path) for path in ("a.csv", "/a/b.csv", "C:/a.csv", "C://a.csv", "a:b.csv", "~/a", "./s3:/x"))


def test_a_download_is_removed(flowers, monkeypatch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    load(Csv(path="memory://flowers.csv", target="species"), seed=0)
    assert list(folder.iterdir()) == []
    shutil.rmtree(folder)
