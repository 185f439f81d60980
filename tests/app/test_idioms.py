"""What people write in Hydra configs of their own means what it means elsewhere; nettrain as a Python package."""

import json
import subprocess
import sys

import pytest

import nettrain
from nettrain.errors import ConfigError

QUICK = ["data=iris", "epochs=1", "quiet=true"]


@pytest.fixture
def mine(tmp_path):
    """Writes files into a folder of configs: `mine("experiment/a", "epochs: 1")`."""

    def write(name, text):
        path = tmp_path / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return ["--config-dir", "mine"]

    return write


def test_an_experiment_may_choose_launcher_and_sweeper(command, tmp_path, mine):
    experiment = """# @package _global_
defaults:
  - override /hydra/launcher: basic
  - override /hydra/sweeper: random
hydra:
  sweeper:
    trials: 3
    batch: 2
    params:
      optimizer.lr: tag(log, interval(1e-4, 1))
      seed: range(5)
"""
    options = mine("experiment/search", experiment)
    ended = command("-m", *options, *QUICK, "experiment=search", "seed=7,8", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    assert "Launching 2 jobs locally" in ended.out  # Hydra's basic launcher says so
    results = nettrain.Sweep(tmp_path / "sweep").results
    assert len(results) == 3
    assert results["optimizer.lr"].nunique() == 3
    assert set(results["seed"].astype(int)) <= {7, 8}  # the command line wins


NO_PACKAGE = "its first line must be '# @package _global_'; without it, its keys are not those of the run."
FILES = {
    "experiment/x": [
        ("epochs: 1\n", f"experiment/x.yaml: {NO_PACKAGE}"),
        ("defaults:\n  - override /optimizer: sgd\n", f"experiment/x.yaml: {NO_PACKAGE}"),
        ("# @package _global_\ndefaults:\n  - override /optimizer: zzz\n", "optimizer=zzz: there is no such optimizer"),
        ("# @package _global_\noptimizer: {lrr: 1}\n", "experiment/x.yaml: optimizer.lrr: there is no such key; did"),
    ],
    "optimizer/x": [
        ("lr: 0.1\n", "optimizer.name: the file of this optimizer does not say which it is; add a line such as"),
        ("name: zzz\n", "optimizer=zzz: there is no such optimizer; choose from sgd,"),
        ("name: adam\nlrr: 0.1\n", "optimizer.lrr: there is no such key; did you mean optimizer.lr?"),
        ("name: adam\nlr: fast\n", "optimizer.lr=fast: optimizer.lr must be a number."),
        ("name: adam\nlr: -1\n", "optimizer.lr=-1.0: optimizer.lr must be at least 0."),
    ],
}


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("name", "text", "sentence"), [(name, *file) for name, files in FILES.items() for file in files]
)
def test_a_mistake_in_a_file_of_one_s_own(command, tmp_path, mine, name, text, sentence):
    ended = command(*mine(name, text), *QUICK, f"{name.partition('/')[0]}=x")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"nettrain: {sentence}")
    assert not (tmp_path / "outputs").exists()


def test_a_part_s_file_needs_no_schema(command, tmp_path, mine):
    options = mine("optimizer/fast", "name: adam\nlr: 0.25\n")
    assert command(*options, *QUICK, "optimizer=fast", "hydra.run.dir=run").code == 0
    assert nettrain.Run(tmp_path / "run").config.optimizer == {"name": "adam", "lr": 0.25} | {
        key: value
        for key, value in nettrain.Run(tmp_path / "run").config.optimizer.items()
        if key not in ("name", "lr")
    }
    assert command("-m", *options, *QUICK, "optimizer=fast,sgd", "seed=1,2", "hydra.sweep.dir=sweep").code == 0
    assert nettrain.Run(tmp_path / "sweep" / "1").config.optimizer.lr == 0.25


def test_paths_are_those_of_where_they_were_typed(command, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    csv = ["data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "quiet=true", "hydra.job.chdir=true"]
    assert command(*csv, "epochs=1", "hydra.run.dir=run").code == 0
    ended = command("resume=run", "epochs=2", "hydra.job.chdir=true")
    assert ended.code == 0, ended.err
    assert nettrain.Run(tmp_path / "run").summary["epochs"] == 2


def test_a_relative_path_in_a_run_s_config_is_that_of_where_it_was_typed(command, tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    csv = ["data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "quiet=true", "epochs=1", "figures=never"]
    assert command(*csv, "hydra.run.dir=run").code == 0
    config = tmp_path / "run" / ".hydra" / "config.yaml"
    earlier = config.read_text().replace(f"{tmp_path}/t.csv", "t.csv")  # as earlier versions have written it
    monkeypatch.chdir("/")
    for arguments in (
        [f"resume={tmp_path}/run", "epochs=3"],
        [*("--config-dir", str(config.parent), "--config-name", "config", f"hydra.run.dir={tmp_path}/again")],
    ):
        config.write_text(earlier)
        assert nettrain.Run(tmp_path / "run").data.table.source == f"{tmp_path}/t.csv"
        ended = command(*arguments)
        assert ended.code == 0, ended.err
    assert nettrain.Run(tmp_path / "again").config.data.path == f"{tmp_path}/t.csv"


def test_an_interrupted_run_says_how_to_continue_and_what_it_has_reached(tmp_path):
    code = """
import os, signal, sys
from nettrain.training.progress import Progress
show = Progress.show
def stop_after_two(self, numbers):
    if numbers["epoch"] == 2:
        signal.raise_signal(signal.SIGTERM)
    show(self, numbers)
Progress.show = stop_after_two
sys.argv = ["train.py", "data=iris", "epochs=5", "hydra.run.dir=a run", "figures=never"]
from nettrain.app.cli import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 143, ended.stderr
    assert f"to continue: nettrain 'resume={tmp_path}/a run'\n" in ended.stdout
    summary = json.loads((tmp_path / "a run" / "summary.json").read_text())
    assert {"test_loss", "test_accuracy"} <= summary.keys()
    assert "test, best" in ended.stdout


def test_the_package_is_a_program_and_says_its_version(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "nettrain", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert run("--version") == f"nettrain {nettrain.__version__}\n"
    assert "completed after 1 epoch," in run("data=iris", "epochs=1", "figures=never")
    assert {"train", "Run", "Sweep", "minimize", "optim", "__version__"} <= set(dir(nettrain))


@pytest.mark.parametrize("config", ["data=iris epochs=1 quiet=true", tuple(QUICK), {"data": "iris", "epochs": 1}])
def test_train_takes_a_line_a_list_or_a_mapping(here, config):
    assert nettrain.train(config).summary["epochs"] == 1


@pytest.mark.parametrize("config", [7, ["data=iris", 3], {"data=iris"}])
def test_train_says_what_it_takes(here, config):
    with pytest.raises(ConfigError, match=rf"config: found a .*{type(config).__name__}.*; it must be overrides"):
        nettrain.train(config)


def test_a_mistake_in_python_has_no_traceback_of_hydra(here):
    with pytest.raises(ConfigError) as raised:
        nettrain.train("epochs=ten")
    assert str(raised.value) == "epochs=ten: epochs must be an integer."
    assert raised.value.__suppress_context__
