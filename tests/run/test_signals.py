"""Ctrl-C, SIGTERM and SIGHUP end a run in order, in another process as on a real terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nettrain.run.files import load_checkpoint

TRAIN = Path(__file__).parents[2] / "train.py"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_with_its_checkpoint_saved(tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, TRAIN, "epochs=100000", "hydra.run.dir=run", "tensorboard=false"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.csv"
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert "interrupted after" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    last = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert last["updates"] == summary["updates"] == 40 * last["epoch"] + last["batch"]
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")["epoch"] == summary["best_epoch"]
