"""Output that cannot be written changes nothing: not the run, not its exit code."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nettrain.config.settings import Settings
from nettrain.training.progress import Progress

TRAIN = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).parents[2] / 'train.py'))}"
UNREAD = [">&-", "2>&-", ">&- 2>&- <&-", "> /dev/full", "> /dev/full 2>&1", "| true"]


@pytest.mark.sample(5)
@pytest.mark.parametrize("where", UNREAD)
@pytest.mark.parametrize("mode", ["hydra.run.dir=run", "-m seed=0,1 hydra.sweep.dir=sweep"])
def test_what_is_printed_may_be_lost(here, where, mode):
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{TRAIN} {mode} data=iris epochs=1 figures=never {where}"],
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    summaries = [json.loads(path.read_text()) for path in here.rglob("summary.json")]
    assert [summary["status"] for summary in summaries] == ["completed"] * (2 if mode.startswith("-m") else 1)
    assert not list(here.rglob("error.txt"))


def test_signs_that_an_encoding_lacks_are_escaped(here):
    (here / "t.csv").write_text("x,größe\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)), "utf-8")
    command = f"PYTHONIOENCODING=ascii {TRAIN} data=csv data.path=t.csv data.target=größe epochs=1 figures=never"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "gr\\xf6\\xdfe (2 classes, b is positive)" in ended.stdout


def test_where_there_is_no_bar_a_line_says_how_far_the_training_is(capsys):
    with Progress(Settings(epochs=7), runs=3, every=0) as progress:
        progress.pulse(0, 5)
        progress.show({"epoch": 1, "train_loss": 2.0, "val_loss": 0.25, "val_accuracy": 0.5})
        progress.pulse(1, 12)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" s  epoch 1 of 7 of 3 runs, update 5")
    assert second.endswith(" s  epoch 2 of 7 of 3 runs, update 12, val_loss 0.25, val_accuracy 0.5 of the best")


def test_a_quiet_run_says_nothing_while_it_trains(capsys):
    with Progress(Settings(epochs=7, quiet=True), every=0) as progress:
        progress.pulse(0, 5)
    assert capsys.readouterr().out == ""
