"""The program as several processes that torchrun starts: they share a run, and end together."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sharing import environment, free_port

import nettrain
from nettrain.storage.checkpoint_files import load_checkpoint

TRAIN = str(Path(__file__).parents[2] / "train.py")
SECONDS = 240  # that a start may take on a busy machine
RUN = ["data=iris", "bs=5", "model.hidden=[7]", "model.dropout=0.2", "precision=float64", "figures=never"]


class Ranks:
    """Two processes of the program, of which the second one may be asked for something else."""

    def __init__(self, here: Path, *arguments: str, second: list[str] | None = None) -> None:
        port = free_port()
        self.processes = [
            subprocess.Popen(
                [sys.executable, TRAIN, *(arguments if rank == 0 or second is None else second)],
                env=environment(rank, 2, port),
                cwd=here,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]

    def ended(self) -> tuple[list[int], list[str], list[str]]:
        """Exit codes, and what each has printed."""
        try:
            outputs = [process.communicate(timeout=SECONDS) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        return [process.returncode for process in self.processes], *map(list, zip(*outputs, strict=True))


def until(exists: Path) -> None:
    """Wait for a file."""
    for _ in range(10 * SECONDS):
        if exists.exists():
            return
        time.sleep(0.1)
    pytest.fail(f"{exists} has not come")


def sentences(text: str) -> list[str]:
    return re.findall("nettrain: .*", text)


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = (load_checkpoint(folder / "checkpoints" / "last.pt") for folder in (one, other))
    for name, value in b["model"].items():
        torch.testing.assert_close(a["model"][name], value, rtol=1e-12, atol=1e-12)


def test_a_run_goes_on_with_another_number_of_ranks(here):
    """It stops within an epoch, sharded, and goes on alone; and the other way round."""
    whole = nettrain.train([*RUN, "epochs=4", "quiet=true"], folder=here / "whole")
    codes, (said, nothing), told = Ranks(
        here, *RUN, "epochs=4", "sharded=true", "budget.updates=33", "hydra.run.dir=shared"
    ).ended()
    assert codes == [0, 0], told
    assert "float64, 2 ranks: 3 of the 5 samples of a batch each" in said
    assert nothing == ""
    nettrain.train([f"resume={here / 'shared'}", "budget.updates=null", "quiet=true"])
    assert_same_weights(here / "shared", here / "whole")
    nettrain.train([*RUN, "epochs=4", "budget.updates=33", "quiet=true"], folder=here / "alone")
    codes, _, told = Ranks(here, "resume=alone", "budget.updates=null", "sharded=true").ended()
    assert codes == [0, 0], told
    assert_same_weights(here / "alone", here / "whole")
    assert len(whole.metrics["epoch"]) == len(pd.read_csv(here / "alone" / "metrics.csv")) == 4


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("second", "sentence", "code"),
    [
        (
            [*RUN, "optimizer.lr=0.02"],
            "optimizer.lr=0.02 on rank 1, 0.001 on rank 0; start all 2 ranks with the same command.",
            2,
        ),
        (["data=csv", "data.path=other.csv", "data.target=kind"], "rank 1 of 2 has read other data than rank 0", 3),
    ],
    ids=["config", "data"],
)
def test_ranks_that_disagree_are_refused(here, second, sentence, code):
    table = "x,y,kind\n" + "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(60))
    (here / "one.csv").write_text(table)
    (here / "other.csv").write_text(table.replace("1,1,b", "1,2,b"))
    first = RUN if code == 2 else ["data=csv", "data.path=one.csv", "data.target=kind"]
    codes, _, told = Ranks(here, *first, second=second).ended()
    assert codes[0] == code, told
    assert codes[1] != 0
    (line,) = sentences("".join(told))
    assert sentence in line
    assert "Traceback" not in "".join(told)
    assert not list(here.rglob("summary.json"))


def test_ranks_of_other_versions_are_refused(here, monkeypatch):
    older = "import os\n\nimport numpy\n\nif os.environ['RANK'] == '1':\n    numpy.__version__ = '1.0'\n"
    (here / "sitecustomize.py").write_text(older)
    monkeypatch.setenv("PYTHONPATH", str(here), prepend=os.pathsep)
    codes, _, told = Ranks(here, *RUN).ended()
    assert codes[0] == 2, told
    (line,) = sentences("".join(told))
    sentence = f"numpy=1.0 on rank 1, {np.__version__} on rank 0; install the same versions on every node."
    assert line == f"nettrain: {sentence}"


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["data=csv", "data.path=none.csv", "data.target=kind"], "none.csv", 3),
        (["-m", "data=iris", "seed=1,2"], "-m: torchrun has started 2 ranks, which share one run", 2),
    ],
    ids=["every rank's", "a sweep"],
)
def test_a_mistake_is_told_once(here, arguments, sentence, code):
    codes, _, told = Ranks(here, *arguments).ended()
    assert codes[0] == code, told
    assert codes[1] != 0
    (line,) = sentences("".join(told))
    assert sentence in line
    assert not list(here.rglob("summary.json"))


def test_a_signal_to_one_rank_ends_all_of_them_with_the_run_saved(here):
    ranks = Ranks(here, *RUN, "epochs=100000", "hydra.run.dir=run", "checkpoint.every_seconds=0.2")
    until(here / "run" / "checkpoints" / "last.pt")
    ranks.processes[1].send_signal(signal.SIGTERM)
    codes, (said, _), told = ranks.ended()
    assert codes == [143, 143], told
    assert "interrupted after" in said
    run = nettrain.Run(here / "run")
    assert run.summary["status"] == "interrupted"
    assert load_checkpoint(here / "run" / "checkpoints" / "last.pt")["updates"] == run.summary["updates"]


def test_a_rank_that_is_killed_ends_the_run_with_a_sentence_that_says_how_to_go_on(here):
    ranks = Ranks(here, *RUN, "epochs=100000", "hydra.run.dir=run", "checkpoint.every_seconds=0.2")
    until(here / "run" / "checkpoints" / "last.pt")
    ranks.processes[1].kill()
    codes, _, told = ranks.ended()
    assert codes == [1, -signal.SIGKILL], told
    (line,) = sentences(told[0])
    assert "rank 1 of 2 has ended" in line
    assert f"go on from the last checkpoint with resume={here / 'run'}" in line


def torchrun(here: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *arguments]
    return subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rank_of(agent: int, rank: int) -> int:
    """The process of a rank among those that an agent has started."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent == agent and f"RANK={rank}".encode() in process.joinpath("environ").read_bytes().split(b"\0"):
                return int(process.name)
        except OSError:
            continue
    raise ProcessLookupError


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the processes are found in /proc")
def test_torchrun_starts_the_ranks_again_and_they_go_on_where_the_last_checkpoint_was(here):
    words = [*RUN, "epochs=60", "checkpoint.every_seconds=0.2"]
    agent = torchrun(here, "--max-restarts=1", "-m", "nettrain", *words)
    while not (folders := list(here.glob("outputs/*/*/checkpoints/last.pt"))):
        assert agent.poll() is None, agent.communicate()
        time.sleep(0.1)
    (folder,) = (path.parents[1] for path in folders)
    os.kill(rank_of(agent.pid, 1), signal.SIGKILL)
    _, told = agent.communicate(timeout=2 * SECONDS)
    assert agent.returncode == 0, told
    assert [path.parent for path in here.glob("outputs/*/*/summary.json")] == [folder]
    assert nettrain.Run(folder).summary["status"] == "completed"
    nettrain.train([*RUN, "epochs=60", "quiet=true"], folder=here / "whole")
    assert_same_weights(folder, here / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the processes are found in /proc")
def test_a_rank_that_hangs_ends_the_run_within_a_minute(here):
    agent = torchrun(here, "-m", "nettrain", *RUN, "epochs=1000000", "hydra.run.dir=run")
    until(here / "run" / "metrics.csv")
    os.kill(rank_of(agent.pid, 1), signal.SIGSTOP)
    began = time.monotonic()
    _, told = agent.communicate(timeout=2 * SECONDS)
    assert agent.returncode != 0
    assert time.monotonic() - began < 60
    assert "rank 1 of 2 has ended, or does not answer any more" in told
