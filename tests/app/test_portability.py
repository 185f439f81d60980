"""On systems that lack what Linux has: it trains, goes on, sweeps and predicts all the same."""

import subprocess
import sys

import pandas
from sklearn.datasets import load_iris

WITHOUT = """
import builtins, os, signal, sys
import psutil, torch, pandas, pyarrow, hydra, matplotlib, tensorboard  # what they need is their own affair

for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
    delattr(signal, name)
for name in ("sysconf", "killpg", "fork"):
    delattr(os, name)
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["pwd"] = None

os_open, plain_open = os.open, builtins.open

def open_no_folder(path, flags, *more, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "a folder cannot be opened", str(path))
    return os_open(path, flags, *more, **options)

def open_no_proc(file, *more, **options):
    if str(file).startswith("/proc") and "nettrain" in sys._getframe(1).f_globals.get("__name__", ""):
        raise FileNotFoundError(2, "there is no such folder", str(file))
    return plain_open(file, *more, **options)

os.open, builtins.open = open_no_folder, open_no_proc

from nettrain.app import cli, tools

def call(program, *arguments):
    sys.argv = ["nettrain", *arguments]
    try:
        program()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
"""
USE = """
table = "data=csv", "recipe=plain", "data.path=iris.csv", "data.target=species"
call(cli.main, *table, "epochs=2", "hydra.run.dir=run")
call(cli.main, "resume=run", "epochs=4")
call(tools.predict, "run=run", "data.path=iris.csv")
call(tools.evaluate, "run=run", "data.path=iris.csv")
call(cli.main, "-m", *table, "seed=1,2", "optimizer=adam,bfgs", "epochs=2", "hydra.sweep.dir=sweep")
"""


def test_a_system_without_locks_of_folders_signals_of_terminals_and_proc(tmp_path):
    iris = load_iris(as_frame=True)
    iris.data.assign(species=iris.target_names[iris.target]).to_csv(tmp_path / "iris.csv", index=False)
    ended = subprocess.run([sys.executable, "-c", WITHOUT + USE], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(pandas.read_csv(tmp_path / "run" / "metrics.csv")) == 4
    assert len(pandas.read_csv(tmp_path / "run" / "predictions.csv")) == 150
    assert len(pandas.read_csv(tmp_path / "sweep" / "results.csv")) == 4
    said = [line for line in ended.stderr.splitlines() if "files cannot be locked there" in line]
    assert len(said) == 1  # of all that lies on one file system
    assert not list(tmp_path.rglob(".lock"))
