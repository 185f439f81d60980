"""`nettrain-tensorboard`: what the runs of sweeps are called, which are shown, and what is added to the best."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import nettrain
from nettrain.app.tensorboard import best_runs, draw_best, find_runs, link
from nettrain.errors import ConfigError
from nettrain.results.run_names import run_names


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (["optimizer=sgd optimizer.lr=1e-3 seed=3", "optimizer=adam optimizer.lr=.1"], ["sgd_lr1e-3_s3", "adam_lr.1"]),
        (["bs=8 epochs=5", "bs=full epochs=5"], ["bs8", "full"]),
        (["model.hidden=[64,64]", "model.hidden=[]"], ["hidden64-64", "hidden"]),
        (["a.lr=1 b.lr=2", "a.lr=2 b.lr=2", "a.lr=2 b.lr=3"], ["a.lr1_b.lr2", "a.lr2_b.lr2", "a.lr2_b.lr3"]),
        (["data.path=/tmp/a.csv optimizer.lr=-1", "data.path=b.csv"], ["pathtmp-a.csv_lr-1", "pathb.csv"]),
        (["seed=1", "seed=1"], ["0", "1"]),
        (["optimizer=sgd", "optimizer=sgd", "optimizer=adam"], ["sgd_0", "sgd_1", "adam"]),
    ],
)  # fmt: skip
def test_names_say_what_runs_differ_in(overrides, names):
    given = [dict(text.split("=", 1) for text in line.split()) for line in overrides]
    assert run_names(given) == names


@pytest.fixture
def sweeps(here):
    common = "data=iris epochs=2 quiet=true"
    nettrain.sweep(f"optimizer=sgd,adam seed=1,2 {common}", folder="outputs/two")
    nettrain.train(f"{common}", folder="outputs/alone")
    return here


def test_each_run_has_its_events_by_its_name_and_the_best_one_its_figures(sweeps, tmp_path):
    runs = find_runs([sweeps / "outputs"])
    assert [run.name for run in runs] == ["alone", *(f"two/{o}_s{s}" for o in ("sgd", "adam") for s in (1, 2))]
    results = nettrain.Sweep(sweeps / "outputs" / "two").results.set_index("run")["best_val_loss"]
    link(runs, tmp_path / "shown")
    draw_best(runs, tmp_path / "shown")
    for run in runs[1:]:
        events = EventAccumulator(str(tmp_path / "shown" / run.name), size_guidance={"images": 0}).Reload()
        loss = min(point.value for point in events.Scalars("loss/val"))
        assert loss == pytest.approx(results[run.folder.name])
        assert ("figures/confusion" in events.Tags()["images"]) == (results[run.folder.name] == results.min())
    assert not list((sweeps / "outputs").rglob("figures"))  # the runs' own folders are as they were
    best = sorted(runs[1:], key=lambda run: results[run.folder.name])
    assert [run.name for run in best_runs(runs, 3)] == [r.name for r in runs if r in [runs[0], *best[:2]]]
    assert best_runs(runs, 200) == runs


def test_runs_are_known_by_their_sweep_s_folder_where_there_are_several(sweeps):
    outputs = sweeps / "outputs"
    shutil.copytree(outputs / "two", sweeps / "elsewhere" / "again")
    names = [run.name for run in find_runs([outputs / "two", outputs / "alone", sweeps / "elsewhere" / "again"])]
    runs = ("sgd_s1", "sgd_s2", "adam_s1", "adam_s2")
    expected = {f"{folder}/{run}" for folder in ("outputs/two", "elsewhere/again") for run in runs}
    assert set(names) == {*expected, "outputs/alone/alone"}
    assert {run.name for run in find_runs([outputs / "two"])} == set(runs)
    with pytest.raises(ConfigError, match="nowhere: there is no such folder"):
        find_runs([sweeps / "nowhere"])


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped_and_adds_runs_that_begin_meanwhile(sweeps, tmp_path, end):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = "from nettrain.app.tensorboard import tensorboard; tensorboard()"
    (tmp_path / "tmp").mkdir()
    command = subprocess.Popen(
        [sys.executable, "-c", start, "outputs", f"port={port}"], env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    )

    def served(name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=5) as answer:
                return name in json.load(answer)
        except OSError:
            return False

    def wait_for(name):
        patience = time.monotonic() + 300
        while not served(name):
            assert time.monotonic() < patience, name
            time.sleep(0.5)

    wait_for("two/adam_s2")
    nettrain.train("data=iris epochs=1 quiet=true", folder="outputs/later")
    wait_for("later")
    command.send_signal(end)
    assert command.wait(60) == 0
    assert not served("later")
    assert list((tmp_path / "tmp").glob("nettrain-tensorboard-*")) == []
