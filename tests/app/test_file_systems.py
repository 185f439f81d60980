"""File systems without locks, or without fsync of folders: it trains, and says once what is not protected."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys

import pytest

import nettrain
from nettrain.errors import StorageError
from nettrain.storage import disk
from nettrain.storage.locks import locked

IRIS = ["data=iris", "epochs=2", "quiet=true", "tensorboard=false"]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(disk, "_said", set())


def failing(number):
    def call(*arguments):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.sample(2)
@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL])
def test_without_locks_it_trains_and_says_so_once(command, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    ended = command("-m", "seed=1,2,3", *IRIS, "hydra.sweep.dir=sweep")
    assert ended.code == 0
    assert ended.err.count("files cannot be locked there") == len(ended.err.splitlines()) == 1
    assert command(*IRIS, "hydra.run.dir=run").code == 0


@pytest.mark.sample(3)
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("folders_only", [True, False])
def test_without_fsync_it_trains_and_says_so_once(command, monkeypatch, number, folders_only):
    fsync = os.fsync

    def lacking(descriptor):
        if folders_only and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return fsync(descriptor)
        return failing(number)()

    monkeypatch.setattr(os, "fsync", lacking)
    ended = command(*IRIS, "hydra.run.dir=run")
    assert ended.code == 0
    assert ended.err.count("files cannot be synced to the disk there") == len(ended.err.splitlines()) == 1
    assert nettrain.Run("run").summary["status"] == "completed"


def test_an_error_of_the_disk_is_none_of_a_lacking_call(command, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    ended = command(*IRIS, "hydra.run.dir=run")
    assert ended.code == 6
    assert "Input/output error" in ended.err


def test_without_second_names_a_checkpoint_is_kept_all_the_same(here, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    nettrain.train([*IRIS, "checkpoint.every_steps=1"], folder="run")
    assert (here / "run" / "checkpoints" / "previous.pt").exists()
    assert nettrain.Run("run").model is not None


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="it cannot be written"), locked(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("kind", ["file", "pipe", "link"])
def test_what_is_no_folder_is_said_to_be_none_and_stays(tmp_path, kind):
    place = tmp_path / "run"
    {"file": place.touch, "pipe": lambda: os.mkfifo(place), "link": lambda: place.symlink_to("nowhere")}[kind]()
    before = os.lstat(place)
    with pytest.raises(StorageError, match=r"run: it cannot be written: it is there already, and not a folder\."):
        locked(place).__enter__()
    assert os.path.samestat(before, os.lstat(place))
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.sample(3)
@pytest.mark.parametrize("limit", [24, 64, 256])
def test_a_sweep_fits_into_the_limit_of_open_files(tmp_path, limit):
    """The hard limit, too: smaller stacks."""
    code = "from nettrain.app.main import main; main()"
    words = ["-m", "seed=range(60)", *IRIS, "epochs=1", "hydra.sweep.dir=sweep", "figures=never"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )
    assert ended.returncode == 0, ended.stderr
    assert len(list(tmp_path.glob("sweep/*/summary.json"))) == 60


@pytest.mark.parametrize("launcher", ["stacked", pytest.param("basic", marks=pytest.mark.slow)])
def test_a_sweep_in_which_nothing_could_be_trained_says_so(tmp_path, launcher):
    code = "from nettrain.app.main import main; main()"
    words = ["-m", "seed=1,2", f"hydra/launcher={launcher}", *IRIS, "hydra.sweep.dir=sweep", "figures=never"]
    for size in (0, 100, 4000):
        ended = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            preexec_fn=lambda size=size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        )
        assert ended.returncode == 6, ended.stderr
        assert "it cannot be written: File too large" in ended.stderr
    ended = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(list(tmp_path.glob("sweep/*/checkpoints/last.pt"))) == 2
