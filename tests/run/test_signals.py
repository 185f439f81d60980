"""Ctrl-C, SIGTERM and SIGHUP end a run in order, in another process as on a real terminal."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nettrain.storage.checkpoint_files import load_checkpoint, load_newest

TRAIN = Path(__file__).parents[2] / "train.py"


@pytest.fixture
def training(tmp_path):
    """Start the default run, with more epochs, in another process; it has trained for a few of them."""
    started = []

    def start(*overrides):
        process = subprocess.Popen(
            [sys.executable, TRAIN, "epochs=100000", "hydra.run.dir=run", "tensorboard=false", *overrides],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        metrics = tmp_path / "run" / "metrics.csv"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 4:
            assert process.poll() is None
            time.sleep(0.05)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_with_its_checkpoint_saved(tmp_path, training, number, code):
    process = training()
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert "interrupted after" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    last = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert last["updates"] == summary["updates"] == 40 * last["epoch"] + last["batch"]
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")["epoch"] == summary["best_epoch"]


@pytest.mark.slow
def test_a_run_ends_within_two_seconds_of_a_signal(tmp_path, training):
    seconds = []
    for _ in range(3):  # another program may hold the processor
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        process = training()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        seconds.append(time.monotonic() - began)
        if seconds[-1] < 2:
            return
    raise AssertionError(seconds)


@pytest.mark.parametrize(("number", "codes"), [(signal.SIGINT, (130,)), (signal.SIGTERM, (143, -signal.SIGTERM))])
def test_a_second_signal_ends_a_run_at_once_without_damage(tmp_path, training, number, codes):
    process = training("checkpoint.every_steps=1")  # it is saving all the time
    process.send_signal(number)
    time.sleep(0.003)
    process.send_signal(number)
    assert process.wait(20) in codes
    assert load_newest(tmp_path / "run" / "checkpoints" / "last.pt")[0]["updates"] > 100
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert [int(line.partition(",")[0]) for line in lines[1:]] == list(range(1, len(lines)))
