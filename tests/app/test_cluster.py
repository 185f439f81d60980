"""Sweeps whose stacks train in other processes, by submitit: the bits of one process, whatever happens to workers."""

import os
import re
import signal
import time

import fake_slurm
import pytest
from clusters import LONG, assert_same_sweep, checkpoints, ended, rows, sweep, trained_here, wait_for

pytest.importorskip("submitit")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The folder of the sweep as one process trains it."""
    return trained_here(tmp_path_factory.mktemp("local"))


@pytest.fixture(params=["local", "slurm"])
def engine(request, tmp_path):
    """The words for an engine, and the environment in which it works."""
    words = (f"hydra.launcher.cluster={request.param}", "hydra.launcher.workers=2", "hydra.sweep.dir=sweep")
    return words, fake_slurm.install(tmp_path / "slurm") if request.param == "slurm" else {}


def workers(folder):
    """The processes that have trained the runs of a sweep, by their logs."""
    logs = [path.read_text() for path in folder.glob("*/worker.log")]
    return sorted({int(number) for log in logs for number in re.findall(r"process (\d+)", log)})


def test_a_sweep_equals_that_of_one_process(local, tmp_path, engine):
    words, environment = engine
    code, out, err = ended(sweep(tmp_path, *LONG, *words, **environment))
    assert (code, err) == (0, "")
    assert re.search(r"sent to 2 workers of \w+ in 2 stacks", out)
    assert_same_sweep(local, tmp_path / "sweep")
    assert len(workers(tmp_path / "sweep")) == 2
    assert not list(tmp_path.glob("sweep/.*"))


def test_a_worker_that_is_killed(local, tmp_path, engine):
    words, environment = engine
    process = sweep(tmp_path, *LONG, *words, **environment)
    wait_for(lambda: len(checkpoints(tmp_path / "sweep")) == 16)
    os.kill(workers(tmp_path / "sweep")[0], signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 0, err
    assert "a worker was lost with 8 runs" in err
    assert_same_sweep(local, tmp_path / "sweep")


def test_a_worker_that_is_preempted_saves_its_runs_and_they_go_on(local, tmp_path, engine):
    words, environment = engine
    process = sweep(tmp_path, *LONG, *words, **environment)
    wait_for(lambda: len(workers(tmp_path / "sweep")) == 2)
    time.sleep(1.0)
    os.kill(workers(tmp_path / "sweep")[0], signal.SIGTERM)
    wait_for(lambda: len(checkpoints(tmp_path / "sweep")) >= 8)
    code, _, err = ended(process)
    assert (code, err) == (0, "")
    assert_same_sweep(local, tmp_path / "sweep")


def test_a_sweep_that_is_killed_goes_on_by_the_same_command(local, tmp_path, engine):
    words, environment = engine
    process = sweep(tmp_path, *LONG, *words, **environment)
    wait_for(lambda: len(checkpoints(tmp_path / "sweep")) == 16)
    process.kill()
    process.communicate()
    before = workers(tmp_path / "sweep")
    code, _, err = ended(sweep(tmp_path, *LONG, *words, **environment))
    assert code == 0, err
    assert_same_sweep(local, tmp_path / "sweep")
    assert len(before) == 2


def test_a_signal_ends_the_workers_in_order(tmp_path, engine):
    words, environment = engine
    process = sweep(tmp_path, *LONG, "checkpoint.every_steps=null", "epochs=100000", *words, **environment)
    wait_for(lambda: len(list(tmp_path.glob("sweep/*/metrics.csv"))) == 16)
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert (code, err) == (128 + signal.SIGTERM, "")
    assert len(checkpoints(tmp_path / "sweep")) == 16
    assert {row["status"] for row in rows(tmp_path / "sweep")} == {"interrupted"}
