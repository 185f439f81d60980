"""What tests of sweeps on clusters share: the local sweep that they have to equal, and a driver that can be killed."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

TRAIN = Path(__file__).parents[2] / "train.py"
QUICK = ("figures=never", "tensorboard=false", "data=iris")
LONG = ("seed=range(8)", "optimizer=adam,sgd", "epochs=300", "checkpoint.every_steps=100", *QUICK)  # some seconds


def sweep(folder, *words, **environment):
    """A sweep as a process of its own, in this folder."""
    return subprocess.Popen(
        [sys.executable, TRAIN, "-m", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, seconds=300):
    """What a sweep has printed to stderr, and its exit code."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err


def wait_for(condition, seconds=150):
    """Wait until the condition holds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def checkpoints(folder):
    return list(Path(folder).glob("*/checkpoints/last.pt"))


def rows(folder):
    """results.csv by the runs' overrides, without what is measured by the clock."""
    with open(Path(folder) / "results.csv") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    if isinstance(one, dict):
        keys = one.keys() - {"seconds"}
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in keys)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def assert_same_sweep(one, other):
    """Every run of the second sweep has the files of the same run in the first one, with its bits, and a log."""
    assert rows(one) == rows(other)
    for row in rows(one):
        folders = [Path(folder) / row["run"] for folder in (one, other)]
        if row["status"] == "failed":
            continue
        names = [{path.relative_to(folder).as_posix() for path in folder.rglob("*")} for folder in folders]
        assert names[0] | {"worker.log"} == names[1] | {"checkpoints/previous.pt"} & names[0]
        for name in ("last.pt", "best.pt"):
            a, b = (torch.load(folder / "checkpoints" / name) for folder in folders)
            assert same(a, b), (row["run"], name)
        texts = [(folder / ".hydra" / "config.yaml").read_text() for folder in folders]
        assert texts[0] == texts[1]


def trained_here(folder):
    """The folder of the long sweep as one process trains it."""
    code, _, err = ended(sweep(folder, *LONG, "hydra.sweep.dir=sweep"))
    assert code == 0, err
    return folder / "sweep"
