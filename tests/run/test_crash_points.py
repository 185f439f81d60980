"""Whatever a command does to the disk may fail, or be its last act: the same command again ends as an untouched one.

Some of the operations of each kind of command are tried at once, all of them with `-m slow`.
"""

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from test_faults import Disk

from nettrain.app import cli, tools
from nettrain.app.sweep import sweep
from nettrain.storage.checkpoint_files import load_checkpoint

SMALL = ["data=iris", "epochs=3", "quiet=true", "tensorboard=false", "checkpoint.every_steps=9", "model.hidden=[3]"]
SWEEP = ["-m", "seed=1,2,3", *SMALL, "hydra.sweep.dir=sweep"]
SEARCH = ["hydra/sweeper=random", "optimizer.lr=interval(0.001,0.1)", "hydra.sweeper.trials=4", "hydra.sweeper.batch=2"]
COMMANDS = {
    "a run": [*SMALL, "hydra.run.dir=run"],
    "a stack": SWEEP,
    "halving": [*SWEEP, "hydra.launcher.reduction_factor=2"],
    "figures": [*SMALL, "figures=always", "hydra.run.dir=run"],
    "figures of rows": [*SWEEP, "figures=always"],
    "a search": ["-m", *SEARCH, *SMALL, "hydra.sweep.dir=sweep"],
    "a prediction": ["run=trained", "data.path=iris.csv", "output=predictions.csv"],
    "a report": ["trained", "trained", "output=report.html"],
}
FAULTS = {"kill": None, "full": errno.ENOSPC, "broken": errno.EIO}


class Failing(Disk):
    def __init__(self, at, number):
        super().__init__(at, crash=number is None)
        self.number = number

    def operation(self, kind, path, half=None):
        try:
            super().operation(kind, path, half)
        except OSError:
            raise OSError(self.number, os.strerror(self.number)) from None


def run(kind, again=False, at=None, number=0):
    """The exit code of a command in a process of its own, and how many operations on the disk it made."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 99
        try:
            sys.stderr, sys.stdout = Path("said").open("w"), Path(os.devnull).open("w")  # noqa: SIM115
            words = COMMANDS[kind]
            if again and kind in ("a run", "figures") and os.path.exists("run/.hydra/config.yaml"):
                words = ["resume=run", *[word for word in words if word.startswith("figures=")]]
            program = {"a prediction": tools.predict, "a report": tools.compare}.get(kind, cli.main)
            sys.argv, sweep._folder = ["nettrain", *words], None
            disk = Failing(at, number)
            with disk:
                try:
                    program()
                    code = 0
                except SystemExit as end:
                    code = int(end.code or 0)
        finally:
            sys.stderr.flush()
            Path("operations").write_text(json.dumps(disk.trace))
            os.write(writing, str(disk.done).encode())
            os._exit(code)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        done = pipe.read()
    return os.waitstatus_to_exitcode(status), int(done or 0)


def ended():
    """All that counts of what a command has left: bits of weights, numbers without seconds, tables."""
    left = {}
    for folder in [path.parent.parent for path in sorted(found("**/.hydra/config.yaml"))]:
        content = load_checkpoint(folder / "checkpoints" / "last.pt")
        summary = json.loads((folder / "summary.json").read_text())
        lines = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
        seconds = lines[0].index("seconds")
        left[str(folder)] = (
            {name: tensor.tolist() for name, tensor in content["model"].items()},
            {name: value for name, value in summary.items() if name != "seconds"},
            [[*line[:seconds], *line[seconds + 1 :]] for line in lines],
        )
    for name in ("predictions.csv", "sweep/results.csv"):
        for path in found(name):
            left[name] = len(path.read_text().splitlines())
    left["report"] = len(list(found("report.html")))
    left["figures"] = sorted(str(path) for path in found("**/*.png"))
    return left


def found(pattern):
    return [path for path in Path().glob(pattern) if "trained" not in path.parts]


@pytest.fixture
def untouched(iris_run, tmp_path, monkeypatch):
    """In a folder of its own: what the kind of command leaves, and how many operations it makes."""
    torch.set_num_threads(1)

    def enter(name):
        folder = tmp_path / name
        folder.mkdir()
        for entry in ("iris.csv", "trained"):
            (folder / entry).symlink_to(iris_run / entry)
        monkeypatch.chdir(folder)

    def make(kind):
        enter("untouched")
        code, operations = run(kind)
        assert code == 0, Path("said").read_text()
        return ended(), operations

    make.enter = enter
    return make


def check(untouched, kind, fault, which):
    expected, operations = untouched(kind)
    assert operations > 1
    for at in which(operations):
        untouched.enter(str(at))
        code, _ = run(kind, at=at, number=FAULTS[fault])
        said = Path("said").read_text()
        assert code == (9 if fault == "kill" else 6), (at, code, said)
        assert fault == "kill" or len([line for line in said.splitlines() if "cannot be written" in line]) >= 1
        assert "Traceback" not in said
        code, _ = run(kind, again=True)
        assert code == 0, (at, Path("said").read_text())
        assert ended() == expected, at
        assert found("**/.*nettrain-*") == [], at
        shutil.rmtree(os.getcwd())


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("kind", "fault"),
    [("a run", "kill"), ("a stack", "kill"), ("a search", "full"), ("halving", "broken"), ("a prediction", "kill")],
)
def test_after_a_fault_at_some_operations_the_same_command_completes(untouched, kind, fault):
    check(untouched, kind, fault, lambda n: [n // 2, n - 1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_at_any_operation_the_same_command_completes(untouched, kind, fault):
    check(untouched, kind, fault, lambda n: range(1, n + 1))


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", ["figures", "figures of rows"])
def test_figures_that_were_being_drawn_when_a_run_was_killed_are_drawn(untouched, kind):
    def figures(_):
        done = json.loads(Path("operations").read_text())
        opened = [i for i, (what, path) in enumerate(done, 1) if what == "open" and ".png" in path]
        assert len(opened) > (10 if kind == "figures" else 30)
        return [opened[0] - 1, opened[0] + 1, opened[-1] + 1]

    check(untouched, kind, "kill", figures)
