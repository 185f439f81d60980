"""`output=` names what is there already: a pipe, a device, a link or a private file stays what it is."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from nettrain.app import tools
from nettrain.errors import StorageError
from nettrain.storage import temporary
from nettrain.storage.atomic import replace_file
from nettrain.storage.locks import locked
from nettrain.storage.output import write_output
from nettrain.storage.temporary import clear_left


def device(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # as /dev/null


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
def test_a_device_stays_one(tmp_path):
    device(tmp_path / "null")
    assert write_output(tmp_path / "null", b"content") is False
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)
    assert list(tmp_path.iterdir()) == [tmp_path / "null"]


def test_a_pipe_is_written_into(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content, read = b"x" * 200_000, []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    assert write_output(tmp_path / "pipe", content) is False
    reader.join()
    assert read == [content]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_file_is_replaced(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    if there:
        (tmp_path / "elsewhere" / "file").write_bytes(b"before")
        (tmp_path / "elsewhere" / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("elsewhere/file")
    assert write_output(tmp_path / "link", b"after") is True
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"after"
    assert not there or (tmp_path / "elsewhere" / "file").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.rglob("*")} == {"elsewhere", "link", "file"}


@pytest.mark.parametrize("target", ["link", "other"])
def test_a_link_that_leads_to_itself_is_refused_and_stays(tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "other").symlink_to("link")
    with pytest.raises(StorageError, match="link: it cannot be written: it is a link that leads to itself"):
        write_output(tmp_path / "link", b"new")
    assert os.readlink(tmp_path / "link") == target
    assert {path.name for path in tmp_path.iterdir()} == {"link", "other"}


def test_a_private_file_stays_private(tmp_path):
    path = tmp_path / "private"
    path.touch(0o600)
    if os.geteuid() == 0:
        os.chown(path, 1234, 1234)
    before = path.stat()
    write_output(path, b"new")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        write_output(tmp_path, b"new")


@pytest.mark.parametrize("into", ["pipe", pytest.param("file", marks=pytest.mark.slow)])
@pytest.mark.parametrize("tool", ["predict", "compare"])
def test_what_is_printed_to_can_be_named(iris_run, tmp_path, into, tool):
    """By a link to it, as /dev/stdout is one: as root, a write that replaces names would put a file in its place."""
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    code = f"from nettrain.app import tools; tools.{tool}()"
    words = (
        [f"run={iris_run / 'trained'}", f"data.path={iris_run / 'iris.csv'}"] if tool == "predict" else ["trained"] * 2
    )
    words = [sys.executable, "-c", code, *words, f"output={tmp_path / 'stdout'}"]
    with open(tmp_path / "out", "wb") as out:
        ended = subprocess.run(words, stdout=out if into == "file" else subprocess.PIPE, cwd=iris_run, check=True)
    text = (tmp_path / "out").read_bytes() if into == "file" else ended.stdout
    assert text.splitlines()[0].startswith(b"prediction," if tool == "predict" else b"<!")
    assert tool == "compare" or len(text.splitlines()) == 151
    assert (tmp_path / "stdout").is_symlink()


def test_by_default_no_link_in_the_run_s_folder_is_followed(iris_run, tmp_path, monkeypatch):
    (tmp_path / "private").write_text("mine")
    link = iris_run / "trained" / "predictions.csv"
    link.symlink_to(tmp_path / "private")
    monkeypatch.setattr(
        sys,
        "argv",
        ["predict", f"run={iris_run / 'trained'}", f"data.path={iris_run / 'iris.csv'}"],
    )
    tools.predict()
    assert not link.is_symlink()
    assert (tmp_path / "private").read_text() == "mine"


def test_a_name_that_is_taken_is_neither_followed_nor_removed(tmp_path, monkeypatch):
    """Somebody who can write there may have guessed the name of the file that is being written."""
    (tmp_path / "private").write_text("mine")
    names = iter(["guessed", "free"])
    monkeypatch.setattr(temporary.secrets, "token_hex", lambda n: next(names))
    taken = tmp_path / f".file.nettrain-{os.getpid()}-guessed.tmp"
    taken.symlink_to(tmp_path / "private")
    replace_file(tmp_path / "file", b"content")
    assert (tmp_path / "private").read_text() == "mine"
    assert taken.is_symlink()
    assert (tmp_path / "file").read_bytes() == b"content"


def test_only_what_killed_runs_have_left_is_removed(tmp_path):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = f".last.pt.nettrain-{int(ended.stdout)}-0a.tmp"
    others = ["a.tmp", ".b.tmp", "checkpoints.tmp", f".c.nettrain-{os.getppid()}-0a.tmp", ".d.nettrain-x-0a.tmp"]
    for name in [left, *others]:
        (tmp_path / name).touch()
    clear_left(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*others}
    (tmp_path / left).touch()
    with locked(tmp_path):
        assert not (tmp_path / left).exists()
