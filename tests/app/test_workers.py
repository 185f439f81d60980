"""A sweep in several processes under Ctrl-C and SIGTERM: runs in training are saved, and the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

TRAIN = Path(__file__).parents[2] / "train.py"
SWEEP = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=range(4)", "hydra.sweep.dir=sweep"]
MORE = ["data=iris", "checkpoint.every_seconds=1000", "figures=never", "quiet=true", "tensorboard=false"]


def started(folder, *more, ignored=()):
    process = subprocess.Popen(
        [sys.executable, TRAIN, *SWEEP, *MORE, *more],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_IGN) for number in ignored],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(folder.glob("sweep/*/metrics.csv"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    return process


def statuses(folder):
    return {int(p.parent.name): json.loads(p.read_text())["status"] for p in folder.glob("sweep/*/summary.json")}


@pytest.mark.parametrize(
    ("number", "send"),
    [
        pytest.param(signal.SIGINT, os.killpg, id="Ctrl-C in a terminal"),
        pytest.param(signal.SIGTERM, os.kill, id="SIGTERM to the main process", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, os.killpg, id="SIGTERM to all processes", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_runs_in_training_with_their_checkpoints_saved(tmp_path, number, send):
    process = started(tmp_path, "epochs=1000000")
    send(process.pid, number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (128 + number, "nettrain: the sweep was interrupted\n")
    assert statuses(tmp_path) == {0: "interrupted", 1: "interrupted"}
    assert len(list(tmp_path.glob("sweep/*/checkpoints/last.pt"))) == 2
    assert sorted(path.name for path in tmp_path.glob("sweep/*") if path.is_dir()) == ["0", "1"]


@pytest.mark.slow
def test_a_signal_that_is_ignored_when_a_sweep_starts_stays_so(tmp_path):
    process = started(tmp_path, "epochs=1000000", ignored=[signal.SIGHUP, signal.SIGINT])
    for number in (signal.SIGHUP, signal.SIGINT):  # nohup, in the background
        os.killpg(process.pid, number)
        tables = list(tmp_path.glob("sweep/*/metrics.csv"))
        sizes = [path.stat().st_size for path in tables]
        while min(path.stat().st_size - n for path, n in zip(tables, sizes, strict=True)) <= 0:
            assert process.poll() is None
            assert not list(tmp_path.glob("sweep/*/summary.json"))
            time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (128 + signal.SIGTERM, "nettrain: the sweep was interrupted\n")


@pytest.mark.slow
def test_the_same_command_goes_on(tmp_path):
    process = started(tmp_path, "epochs=3000")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    updates = {k: json.loads((tmp_path / f"sweep/{k}/summary.json").read_text())["updates"] for k in (0, 1)}
    assert all(0 < number < 12000 for number in updates.values())
    process = started(tmp_path, "epochs=3000")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert statuses(tmp_path) == dict.fromkeys(range(4), "completed")


@pytest.mark.slow
def test_a_second_signal_ends_all_processes_at_once(tmp_path):
    process = started(tmp_path, "epochs=1000000")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)  # nobody else has its pipe any more
    assert process.returncode == 128 + signal.SIGTERM


def test_workers_end_with_a_sweep_that_is_killed(tmp_path):
    process = started(tmp_path, "epochs=1000000")
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True) if "loky" in "".join(child.cmdline())
    ]
    assert len(workers) >= 2
    process.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert len(list(tmp_path.glob("sweep/*/checkpoints/last.pt"))) == 2  # saved, as after a signal
