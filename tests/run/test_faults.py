"""Full disks, read-only and deleted folders, crashes at any moment, too little memory, a clock that is set back."""

import builtins
import errno
import itertools
import os
import resource
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_resume import assert_equal

import nettrain
from nettrain.errors import StorageError
from nettrain.storage import atomic, temporary
from nettrain.storage.atomic import append, replace_file, write_together
from nettrain.storage.checkpoint_files import load_newest, save_checkpoint
from nettrain.storage.locks import locked
from nettrain.training.logging.run_log import RunLog

IRIS = ["data=iris", "quiet=true", "tensorboard=false"]


class Disk:
    """Counts what `files` does to the disk; at operation number `at` the process ends, or the disk is full."""

    def __init__(self, at: int | None = None, crash: bool = False) -> None:
        self.at, self.crash, self.done = at, crash, 0
        self.trace: list[tuple[str, str]] = []

    def operation(self, kind, path, half=None):
        self.trace.append((kind, str(path)))
        self.done += 1
        if self.done == self.at:
            if half:
                half()
            if self.crash:
                os._exit(9)
            raise OSError(errno.ENOSPC, "No space left on device")

    def __enter__(self):
        self.saved = os.fsync, os.replace, os.unlink
        fsync, replace, unlink = self.saved
        disk = self

        def opened(path, mode, **more):
            disk.operation("open", path)
            file = builtins.open(path, mode, buffering=0)  # noqa: SIM115
            write = file.write

            class File:
                def __enter__(self):
                    return self

                def __exit__(self, *arguments):
                    file.close()

                def write(self, content):
                    disk.operation("write", path, half=lambda: write(bytes(content)[: len(content) // 2]))
                    return write(content)

                fileno, flush, truncate = file.fileno, file.flush, file.truncate

            return File()

        def name(descriptor):
            return os.readlink(f"/proc/self/fd/{descriptor}")

        for module in (atomic, temporary):
            module.open = opened
        os.fsync = lambda fd: (disk.operation("fsync", name(fd)), fsync(fd))[1]
        os.replace = lambda old, new: (disk.operation("rename", f"{old} {new}"), replace(old, new))[1]
        os.unlink = lambda path, **more: (disk.operation("unlink", path), unlink(path, **more))[1]
        return self

    def __exit__(self, *arguments):
        os.fsync, os.replace, os.unlink = self.saved
        for module in (atomic, temporary):
            del module.open


def save(folder, k):
    """Saves and appends as a run does them, the k-th time."""
    append(folder / "metrics.csv", f"{k},0.5\n".encode(), sync=True)
    content = {"model": {"w": torch.full((3000,), float(k))}, "number": k}
    save_checkpoint(folder / "checkpoints" / "last.pt", content, keep="previous.pt")
    replace_file(folder / "summary.json", b"%d" % k * 50)


def work(folder):
    """A run alone, four times."""
    for k in range(4):
        save(folder, k)


def work_of_rows(folder):
    """The rows of a stack, four times; the last of them is the folder itself."""
    (folder / "row").mkdir()
    for k in range(4):
        write_together(partial(save, k=k), [folder / "row", folder])


each_work = pytest.mark.parametrize("work", [work, work_of_rows])


def state(folder):
    """The number of the newest checkpoint and what the other files hold, all of it whole."""
    number = None
    if any((folder / "checkpoints").glob("*.pt")):
        last, _ = load_newest(folder / "checkpoints" / "last.pt")
        assert torch.equal(last["model"]["w"], torch.full((3000,), float(last["number"])))
        number = last["number"]
    table = folder / "metrics.csv"
    lines = table.read_text().splitlines(keepends=True) if table.exists() else []
    summary = folder / "summary.json"
    assert not summary.exists() or summary.read_bytes() in [b"%d" % k * 50 for k in range(4)]
    return number, lines


def operations(folder, work=work):
    folder.mkdir()
    with Disk() as disk:
        work(folder)
    return disk.trace


@pytest.mark.sample(2)
@each_work
def test_after_a_crash_at_any_operation_every_file_is_the_old_one_or_the_new_one(tmp_path, work):
    total = len(operations(tmp_path / "whole", work))
    assert total > 40
    seen = []
    for at in range(1, total + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        child = os.fork()
        if not child:
            try:
                with Disk(at, crash=True):
                    work(folder)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        for row in [*folder.glob("row"), folder]:
            number, lines = state(row)
            whole = [line for line in lines if line.endswith("\n")]
            assert len(lines) - len(whole) <= 1  # the line that was being written
            assert whole == [f"{k},0.5\n" for k in range(len(whole))]
            assert number is None or number < len(whole)  # no checkpoint is ahead of its table
            with locked(row):
                assert not list(row.glob("**/*.tmp"))
        seen.append(-1 if number is None else number)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (-1, 3)


@each_work
def test_when_the_disk_is_full_at_any_operation_every_file_is_the_old_one_or_the_new_one(tmp_path, work):
    for at in range(1, len(operations(tmp_path / "whole", work)) + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        with Disk(at), pytest.raises(StorageError, match="No space left on device"):
            work(folder)
        for row in [*folder.glob("row"), folder]:
            _, lines = state(row)
            assert lines == [f"{k},0.5\n" for k in range(len(lines))]
        assert not list(folder.rglob("*.tmp"))


def test_names_of_rows_are_written_when_all_their_files_are_on_the_disk(tmp_path):
    trace = [(kind, name) for kind, name in operations(tmp_path / "whole", work_of_rows) if kind != "write"]
    kinds = [kind for kind, _ in itertools.groupby(kind for kind, _ in trace)]
    assert kinds == ["open", "fsync", "rename", "fsync"] * 4


def test_a_row_that_cannot_be_written_is_left_out_and_the_others_are_whole(tmp_path):
    rows, failed = [tmp_path / name for name in ("a", "b", "c")], []
    for row in rows:
        row.mkdir()

    def work(row):
        save(row, 0)
        if row.name == "b":
            shutil.rmtree(row)
            append(row / "metrics.csv", b"more")  # and its files, too, are not there

    write_together(work, rows, lambda row, error: failed.append((row, str(error))))
    ((row, message),) = failed
    assert row == rows[1]
    assert "it cannot be written: the folder" in message
    assert not rows[1].exists()
    assert state(rows[0]) == state(rows[2]) == (0, ["0,0.5\n"])


def test_each_new_name_is_written_after_its_file_and_before_anything_else(tmp_path):
    trace = operations(tmp_path / "whole")
    renames = [(i, name.split(" ")) for i, (kind, name) in enumerate(trace) if kind == "rename"]
    news = [(i, old, new) for i, (old, new) in renames if old.endswith(".tmp")]
    assert len(news) == 8
    for i, old, new in news:
        before = [event for event in trace[:i] if event[0] != "rename"]
        assert before[-1] == ("fsync", old)
        assert trace[i + 1] == ("fsync", str(Path(new).parent))


@pytest.fixture
def largest_file():
    """`largest_file(n)`: from now on no file can grow beyond n bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_append_that_the_disk_takes_half_of_leaves_nothing(tmp_path, largest_file):
    path = tmp_path / "metrics.csv"
    append(path, b"x" * 600)
    largest_file(1000)
    with pytest.raises(StorageError, match="it cannot be written: File too large"):
        append(path, b"y" * 600)
    assert path.read_bytes() == b"x" * 600


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_full_disk_ends_a_run_with_what_it_has_saved(command, tmp_path, largest_file, size):
    whole = nettrain.train([*IRIS, "epochs=6"])
    nettrain.train([*IRIS, "epochs=3"], folder=tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run" / "checkpoints").iterdir()}
    largest_file(size)
    ended = command("resume=run", "epochs=6")
    largest_file(resource.RLIM_INFINITY)
    assert ended.code == 6
    assert ended.err.endswith("it cannot be written: File too large.\n")
    assert len(ended.err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "run" / "checkpoints").iterdir()} == before
    assert_equal(whole, nettrain.train(["resume=run", "epochs=6"]))


def test_a_folder_where_nothing_can_be_written(command):
    ended = command(*IRIS, "hydra.run.dir=/sys/nettrain/run")
    assert ended.code == 6
    assert ended.err.startswith("nettrain: /sys/nettrain")
    assert "it cannot be written" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_run_whose_folder_is_deleted_ends_and_does_not_bring_it_back(command, tmp_path, monkeypatch):
    epoch = RunLog.epoch

    def delete(log, numbers):
        epoch(log, numbers)
        if numbers["epoch"] == 2:
            shutil.rmtree(tmp_path / "run")

    monkeypatch.setattr(RunLog, "epoch", delete)
    ended = command(*IRIS, "epochs=9", "hydra.run.dir=run")
    assert ended.code == 6
    assert "it cannot be written: the folder" in ended.err
    assert "is not there (any more)." in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_too_little_memory_is_said_with_what_helps(tmp_path):
    code = """
import os, resource, sys
from nettrain.app import cli
import torch, sklearn.datasets, scipy
torch.set_num_threads(1)
size = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (size + 300 * 2**20,) * 2)
sys.argv = ["train.py", "bs=full", "model.hidden=[50000]", "hydra.run.dir=run", "quiet=true", "tensorboard=false"]
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "a lower bs or model.hidden needs less memory" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_clock_that_is_set_back_changes_nothing(here, monkeypatch):
    overrides = ["data=iris", "epochs=5", "quiet=true"]
    whole = nettrain.train(overrides)
    nettrain.train([*overrides, "epochs=3"], folder="run")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86400)
    again = nettrain.train(["resume=run", "epochs=5"])
    assert_equal(whole, again)
    names = sorted(path.name for path in Path("run").glob("events*"))
    events = EventAccumulator("run")
    events.Reload()
    assert [point.step for point in events.Scalars("loss/train")] == whole.metrics["step"].tolist()
    assert len(names) == 2
