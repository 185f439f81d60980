"""Two runs started at once in one folder: one of them completes, whatever the other does, and the other is told."""

import json
import os
import subprocess
import sys
import time

import pytest

from nettrain.app.jobs.folder import discard, missing
from nettrain.storage.atomic import replace_file
from nettrain.storage.locks import locked

IRIS = ["data=iris", "epochs=2", "quiet=true", "figures=never"]
START = """
import os, sys, time
import torch
torch.set_num_threads(1)
from nettrain.app import cli

def start(words):
    child = os.fork()
    if not child:
        try:
            sys.argv = ["train.py", *words]
            cli.main()
            os._exit(0)
        except SystemExit as end:
            os._exit(int(end.code or 0))
    return child

first, other, later = eval(sys.argv[1])
children = [start(first)]
time.sleep(later)
children.append(start(other))
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def two_at_once(folder, first, other, later=0.0):
    """The exit codes of two command lines, the second one started so many seconds later, and what they said."""
    ended = subprocess.run(
        [sys.executable, "-c", START, repr((first, other, later))],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    return json.loads(ended.stdout.splitlines()[-1]), ended.stderr


def completed(folder):
    return [p for p in folder.rglob("summary.json") if json.loads(p.read_text())["status"] == "completed"]


@pytest.mark.parametrize("later", [0.0, pytest.param(0.05, marks=pytest.mark.slow)])
def test_of_two_equal_runs_one_completes(tmp_path, later):
    words = [*IRIS, "hydra.run.dir=new/folder/run"]
    codes, said = two_at_once(tmp_path, words, words, later)
    assert sorted(codes) in ([0, 2], [0, 7]), said
    assert "another run is using this folder" in said or "the folder already holds a run" in said
    assert len(completed(tmp_path)) == 1


@pytest.mark.parametrize(
    "mistake",
    ["bs=-1", *(pytest.param(other, marks=pytest.mark.slow) for other in ("nope=1", "data.path=missing.csv"))],
)
def test_one_with_a_mistake_does_not_keep_the_other_from_completing(tmp_path, mistake):
    wrong = [*IRIS, *(["data=csv", "recipe=plain", "data.target=y"] if "path" in mistake else []), mistake]
    for first, other in [(wrong, IRIS), (IRIS, wrong)]:
        folder = f"hydra.run.dir=new/{len(first)}/run"
        codes, said = two_at_once(tmp_path, [*first, folder], [*other, folder])
        assert codes[first is wrong] == 0, said
        assert codes[first is IRIS] in (2, 3, 7), said
    assert len(completed(tmp_path)) == 2


@pytest.mark.slow
def test_of_two_sweeps_one_completes(tmp_path):
    words = ["-m", "seed=1,2", *IRIS, "hydra.sweep.dir=new/sweep"]
    for k, other in enumerate([words, [*words, "nope=1"], ["-m", "bs=-1,-2", *words[2:]]]):
        folder = f"hydra.sweep.dir=new/{k}"
        codes, said = two_at_once(tmp_path, [*other, folder], [*words, folder])
        assert len(completed(tmp_path / "new" / str(k))) == 2, (codes, said)


@pytest.mark.parametrize("wrong", ["epochs=3", "bs=-1"])
def test_who_is_refused_leaves_the_folder_of_the_other_alone(command, tmp_path, wrong):
    folder = tmp_path / "new" / "run"
    with locked(folder):
        before = folder.stat()
        ended = command(*IRIS, wrong, "hydra.run.dir=new/run")
        assert ended.code == (2 if wrong == "bs=-1" else 7)
        assert os.path.samestat(before, folder.stat())
        assert list(folder.iterdir()) == []
    assert command(*IRIS, wrong, "hydra.run.dir=new/run").code == (2 if wrong == "bs=-1" else 0)


def test_a_run_that_is_refused_notes_nothing_in_the_folder_of_the_other(command, tmp_path):
    folder = tmp_path / "sweep"
    assert command("-m", "seed=1", *IRIS, "hydra.sweep.dir=sweep").code == 0
    (folder / "0" / "summary.json").unlink()
    with locked(folder / "0"):
        assert command("-m", "seed=1,2", *IRIS, "hydra.sweep.dir=sweep").code == 7
        assert not (folder / "0" / "summary.json").exists()
    assert len(completed(folder)) == 1


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "words",
    [
        ["bs=-1", "hydra.run.dir=mine"],
        ["data.target=none", "hydra.run.dir=mine"],
        ["resume=nowhere", "hydra.run.dir=mine"],
        ["-m", "bs=-1,-2", "hydra.sweep.dir=mine"],
        ["-m", "seed=1,2", "bs=-1", "hydra/launcher=basic", "hydra.sweep.dir=mine"],
        ["-m", "nothing=1,2", "hydra.sweep.dir=mine"],
    ],
)
def test_an_empty_folder_that_was_there_stays_where_a_run_cannot_begin(command, tmp_path, words):
    (tmp_path / "mine").mkdir(mode=0o700)
    before = (tmp_path / "mine").stat()
    assert command(*IRIS, *words).code in (2, 3, 5)
    assert os.path.samestat(before, (tmp_path / "mine").stat())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_others_remove_all_the_time_can_be_locked_and_written(tmp_path):
    folder = tmp_path / "a" / "b" / "run"
    made = missing(folder)
    child = os.fork()
    if not child:
        began = time.monotonic()
        while time.monotonic() - began < 60:
            discard(folder, made)
        os._exit(0)
    try:
        for k in range(300):
            with locked(folder):
                assert folder.is_dir()
                replace_file(folder / "file", b"%d" % k)
                assert (folder / "file").read_bytes() == b"%d" % k
                (folder / "file").unlink()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
