"""`nettrain.sweep`: what the command line does with -m, within anybody's program."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nettrain
from nettrain.errors import ConfigError, DataError, StorageError

QUIET = {"quiet": True, "figures": "never", "tensorboard": False}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, 2.0, 3.0]


def numbers(folder):
    return pd.read_csv(folder / "metrics.csv").drop(columns="seconds")


def test_it_leaves_what_the_command_line_leaves(command, tmp_path):
    words = ["data=iris", "optimizer=sgd,adam", "seed=range(2)", "epochs=2", "figures=always", "quiet=true"]
    assert command("-m", *words, "hydra.sweep.dir=typed").code == 0
    sweep = nettrain.sweep(" ".join(words), "called")
    assert list(sweep.results["optimizer"]) == ["sgd", "sgd", "adam", "adam"]
    typed, called = ({p.relative_to(f) for p in f.rglob("*")} for f in map(Path, ("typed", "called")))
    assert {p for p in typed if "tfevents" not in p.name} == {p for p in called if "tfevents" not in p.name}
    for i in range(4):
        assert numbers(Path(f"typed/{i}")).equals(numbers(Path(f"called/{i}")))
        environments = [json.loads(Path(f"{f}/{i}/environment.json").read_text()) for f in ("typed", "called")]
        assert environments[0]["stack"] == environments[1]["stack"] is not None


def test_a_mapping_says_several_values_in_a_text_and_the_folder_goes_on(here):
    sweep = nettrain.sweep({"data": "iris", "optimizer": {"name": "adam", "lr": "0.1,0.01"}, "epochs": 1, **QUIET}, "s")
    assert sorted(sweep.results["optimizer.lr"]) == [0.01, 0.1]
    before = {path: path.stat().st_mtime_ns for path in Path("s").glob("*/metrics.csv")}
    more = nettrain.sweep({"data": "iris", "optimizer.lr": "0.1,0.01,0.001", "epochs": 1, **QUIET}, "s")
    assert len(more.results) == 3
    assert all(path.stat().st_mtime_ns == moment for path, moment in before.items())


@pytest.mark.sample(3)
@pytest.mark.parametrize("launcher", ["stacked", "basic", "joblib"])
def test_rows_on_what_is_handed_over_are_runs_alone(here, launcher):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    options = {"epochs": 2, "precision": "float64", **QUIET}
    sweep = nettrain.sweep(
        {"seed": "0,1", "hydra/launcher": launcher, **options}, data=(X, Y), model=module, folder="sweep"
    )
    assert list(sweep.results["status"]) == ["completed", "completed"]
    for seed, run in enumerate(sweep.runs):
        alone = nettrain.train({"seed": seed, **options}, data=(X, Y), model=module)
        columns = ["train_loss", "val_loss", "val_mse"]
        np.testing.assert_allclose(run.metrics[columns], alone.metrics[columns], rtol=1e-12)
    if launcher == "stacked":
        with pytest.raises(DataError, match="the data have changed"):
            nettrain.sweep({"seed": "0,1", **options}, "sweep", data=(X, Y**2), model=module)


@pytest.mark.slow
def test_processes_that_a_signal_has_reached_are_not_those_of_the_next_sweep(here, monkeypatch):
    """A process of joblib's remembers that its sweep is over, and would do nothing for another one."""
    code = (
        "import os, torch\nclass Ended(torch.nn.Linear):\n    def forward(self, x):\n        os.kill(os.getpid(), 15)\n"
    )
    Path("ended_by_signal.py").write_text(code + "        return super().forward(x)\n")
    monkeypatch.syspath_prepend(here)
    options = {"data": "iris", "epochs": 1, "hydra/launcher": "joblib", "hydra.launcher.n_jobs": 2, **QUIET}
    with pytest.raises((KeyboardInterrupt, StorageError)):
        nettrain.sweep({**options, "model._target_": "ended_by_signal.Ended", "seed": "0,1"}, "first")
    second = nettrain.sweep({**options, "seed": "0,1"}, "second")
    assert list(second.results["status"]) == ["completed", "completed"]


def test_what_fails_is_recorded_and_raised_where_nothing_else_is_left(here, capsys):
    sweep = nettrain.sweep({"data": "iris", "bs": "8,nonsense", "epochs": 1, **QUIET}, "some")
    assert list(sweep.results["status"]) == ["completed", "failed"]
    assert "bs=nonsense: bs must be a positive integer" in sweep.results["message"][1]
    with pytest.raises(ConfigError, match="all: all 2 runs have failed, the first one: bs=none: bs must be a positive"):
        nettrain.sweep({"data": "iris", "bs": "none,no", "epochs": 1, **QUIET}, "all")
    with pytest.raises(ConfigError, match=r"optimizer\.lrr: there is no such key; did you mean optimizer\.lr\?"):
        nettrain.sweep({"data": "iris", "optimizer.lrr": "1,2", **QUIET}, "none")
    assert not Path("none").exists()
    diverged = nettrain.sweep("optimizer=sgd optimizer.lr=1e30 data=diabetes epochs=1 quiet=true figures=never", "d")
    assert list(diverged.results["status"]) == ["diverged"]


INTERRUPTED = """
import os, signal, threading, time
import nettrain

def send():
    while not os.path.exists("s/1/metrics.csv"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=send).start()
words = ["data=iris", "seed=0,1", "epochs=1000000", "quiet=true", "figures=never", "tensorboard=false"]
try:
    nettrain.sweep(words, "s")
except KeyboardInterrupt as interrupt:
    print("interrupted:", interrupt)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert nettrain.sweep([*words[:2], "epochs=1", *words[3:]], "t").results["status"].eq("completed").all()
"""


def test_ctrl_c_is_a_keyboard_interrupt_with_all_runs_saved(here):
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (
        0,
        "interrupted: s: the sweep was interrupted; what was training is saved.",
    ), ended.stderr
    assert {json.loads(Path(f"s/{i}/summary.json").read_text())["status"] for i in range(2)} == {"interrupted"}


HOST = """
import threading
import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
import nettrain
from nettrain.hydra_versions import main_options

@hydra.main(**main_options(), config_path=None)
def main(config):
    theirs, settings = GlobalHydra.instance().hydra, HydraConfig.get()
    def go(k):
        words = "data=iris seed=${hydra:job.num} epochs=1,2 quiet=true figures=never tensorboard=false"
        nettrain.sweep(words, f"{k}_{config.x}")
    threads = [threading.Thread(target=go, args=(k,)) for k in range(2)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    go("main")
    assert GlobalHydra.instance().hydra is theirs and HydraConfig.get() is settings
    print("end of", config.x)

main()
"""


def test_within_a_program_of_hydra_s_and_in_its_threads(here):
    Path("host.py").write_text(HOST)
    words = [sys.executable, "host.py", "-m", "+x=1,2", "hydra.sweep.dir=theirs"]
    ended = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "HYDRA_FULL_ERROR": "1"})
    assert [f"end of {x}" in ended.stdout for x in (1, 2)] == [True, True], ended.stdout + ended.stderr
    assert len(list(here.glob("*/*/checkpoints/last.pt"))) == 12


def test_in_an_event_loop_and_with_a_log_of_one_s_own(here, capsys):
    async def cell():
        return nettrain.sweep({"data": "iris", "seed": "0,1", "epochs": 1, **QUIET})

    handler = logging.FileHandler(here / "mine.log")
    logging.getLogger().addHandler(handler)
    handlers = list(logging.getLogger().handlers)
    try:
        assert len(asyncio.run(cell()).runs) == 2
        assert logging.getLogger().handlers == handlers
        logging.getLogger("mine").warning("still here")
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert (here / "mine.log").read_text() == "still here\n"


SPAWNED = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import nettrain

QUICK = {"data": "iris", "epochs": 1, "quiet": True, "figures": "never", "tensorboard": False}

def work(k):
    launcher = ["stacked", "basic"][k]
    train = nettrain.train({**QUICK, "seed": k}, f"run{k}").summary["val_loss"]
    sweep = nettrain.sweep({**QUICK, "seed": "0,1", "hydra/launcher": launcher}, f"s{k}")
    return train, list(sweep.results["val_loss"])

if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        (first, one), (second, other) = pool.map(work, range(2))
    for found in (other, [first, second]):
        assert max(abs(a - b) for a, b in zip(one, found)) < 1e-6
    print("as in one process")
"""


def test_in_processes_of_one_s_own(here):
    Path("spawned.py").write_text(SPAWNED)
    ended = subprocess.run([sys.executable, "spawned.py"], capture_output=True, text=True)
    assert ended.stdout == "as in one process\n", ended.stderr


class LightningLike(nn.Module):
    def training_step(self, batch): ...

    def configure_optimizers(self): ...


MISTAKES = [
    ({"config": pd.DataFrame()}, "config: found a value of type DataFrame; it must be overrides, such as"),
    ({"config": [{"seed": 1}]}, "config: found a list with a value of type dict; it must be overrides"),
    ({"config": dict}, "config: found the class dict instead of an instance; it must be overrides"),
    ({"model": nn.Linear}, "model: found the class Linear instead of an instance; it must be a torch.nn.Module"),
    (
        {"model": LightningLike()},
        "model: found a LightningModule, LightningLike, whose training_step and conf",
    ),
    ({"data": 5}, "data: found a value of type int; it must be a DataFrame"),
    ({"config_dir": "nowhere"}, "config_dir=nowhere: there is no such folder"),
    ({"config": "data=iris", "data": (X, Y)}, "data=iris: data were handed over in Python, too"),
]


@pytest.mark.parametrize("call", [nettrain.train, nettrain.sweep])
@pytest.mark.parametrize(
    ("arguments", "sentence"), MISTAKES, ids=lambda value: "" if isinstance(value, dict) else value
)
def test_a_wrong_type_gets_a_sentence(here, call, arguments, sentence):
    with pytest.raises((ConfigError, DataError), match=sentence):
        call(**{"config": QUIET, **arguments})
    assert not any(here.iterdir())


def test_code_in_somebody_s_configs_needs_trust(here):
    Path("theirs/experiment").mkdir(parents=True)
    Path("theirs/experiment/evil.yaml").write_text(
        "# @package _global_\nhydra:\n  callbacks:\n    evil:\n      _target_: evil.Callback\n"
    )
    with pytest.raises(ConfigError, match=r"hydra\.callbacks\.evil\._target_=evil\.Callback: it comes from a config"):
        nettrain.sweep({"data": "iris", "experiment": "evil", **QUIET}, config_dir="theirs")


class Noting(nettrain.Callback):
    def __init__(self, scale, file=None):
        self.scale, self.seen, self.file = scale, [], file

    def epoch(self, run):
        self.seen.append(run.epoch)
        run.record("noted", self.scale * len(self.seen))


def test_each_run_has_a_copy_of_the_callbacks_that_were_handed_over(here):
    noting = Noting(10)
    sweep = nettrain.sweep({"seed": "1,2", "epochs": 3, **QUIET}, data=(X, Y), callbacks=[noting])
    assert list(sweep.results["noted"]) == [30, 30]
    assert noting.seen == []
    assert [list(run.metrics["noted"]) for run in sweep.runs] == [[10, 20, 30]] * 2
    with pytest.raises(ConfigError, match=r"callbacks.Noting: each run of a sweep has a copy .* open what it needs in"):
        nettrain.sweep({"seed": "1,2", **QUIET}, "none", data=(X, Y), callbacks=[Noting(1, sys.stdout)])
    assert not Path("none").exists()
