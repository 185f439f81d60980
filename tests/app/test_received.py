"""In somebody else's folder nothing of theirs runs: no plugins, no hooks of git, no callbacks, no pickles."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nettrain
from nettrain.app.cli import main  # noqa: F401 -- imported here, so that no test pays for it
from nettrain.errors import ConfigError
from nettrain.storage.environment import environment
from nettrain.storage.git_state import git_state

IRIS = ["data=iris", "epochs=1", "quiet=true", "tensorboard=false"]
EVIL = "import os; os.mkdir({!r})\n"


def start(folder, *arguments):
    """The program, as its script starts it, in this folder."""
    code = "import sys; sys.path[0] = sys.prefix; from nettrain.app.main import main; main()"
    words = [sys.executable, "-c", code, *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def canary(tmp_path):
    """What is made where something of theirs runs."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


def test_modules_in_the_working_directory_are_not_imported(here, canary):
    nettrain.train(IRIS, folder="received")
    received = here / "received"
    (received / "hydra_plugins").mkdir()
    for name in ("hydra_plugins/theirs.py", "numexpr.py", "bottleneck.py", "triton.py", "optuna.py", "nope.py"):
        (received / name).write_text(EVIL.format(str(canary)))
    (received / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: nope\n")
    ended = start(received, "resume=.", "epochs=2", "figures=always", "tensorboard=true")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert start(received, *IRIS, "hydra.run.dir=new").returncode == 0
    saved = "--config-dir", ".hydra", "--config-name", "config", "hydra.run.dir=again"
    assert start(received, *saved).returncode == 0


@pytest.mark.slow
def test_nor_by_the_processes_of_a_sweep(here, canary):
    (received := here / "received").mkdir()
    for name in ("joblib", "signal", "threading", "warnings", "multiprocessing", "torch", "nettrain", "hydra_plugins"):
        (received / f"{name}.py").write_text(EVIL.format(str(canary)))
    words = "-m", "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep", *IRIS
    ended = start(received, *words, "figures=never")
    assert (ended.returncode, ended.stderr) == (0, "")
    Path("mine.py").write_text("import torch\nclass Net(torch.nn.Linear):\n    pass\n")  # what is typed is imported
    assert start(here, *words, "figures=never", "model._target_=mine.Net").returncode == 0


@pytest.mark.slow
def test_modules_of_one_s_own_are_found_in_the_working_directory(here):
    Path("mine.py").write_text("import torch\nclass Net(torch.nn.Linear):\n    pass\n")
    assert start(here, *IRIS, "model._target_=mine.Net", "hydra.run.dir=typed").returncode == 0
    assert start(here, "resume=typed", "epochs=2", "trust=true").returncode == 0
    Path("configs/model").mkdir(parents=True)
    Path("configs/model/net.yaml").write_text("defaults: [/schema/model/module@_here_]\n_target_: mine.Net\n")
    assert start(here, "--config-dir", "configs", "model=net", *IRIS).returncode == 0


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(here, canary):
    """A repository with a monitor, a hook and a filter for git, each of which makes the canary."""
    folder = here / "repository"
    folder.mkdir()
    for name, text in {"a.txt": "1\n", ".gitattributes": "*.txt filter=x\n"}.items():
        (folder / name).write_text(text)
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "one")
    script = f"#!/bin/sh\nmkdir {canary}\n"
    for path in (here / "script", folder / ".git" / "hooks" / "post-index-change"):
        path.write_text(script)
        path.chmod(0o755)
    git(folder, "config", "filter.x.clean", f"{here / 'script'}; cat")
    git(folder, "config", "core.fsmonitor", str(here / "script"))
    git(folder, "config", "core.pager", str(here / "script"))
    later = time.time() + 10
    os.utime(folder / "a.txt", (later, later))  # so that git reads it
    return folder


def test_nothing_that_a_repository_names_is_run(repository):
    git_state.cache_clear()
    assert git_state(str(repository)) == {"git_commit": git_state(str(repository))["git_commit"], "git_changed": False}
    (repository / "a.txt").write_text("2\n")
    time.sleep(1.1)  # until the second is over in which both were written
    git_state.cache_clear()
    assert git_state(str(repository))["git_changed"] is True


def test_a_working_tree_beside_its_repository_is_known(here):
    (here / "one").mkdir()
    (here / "one" / "a.txt").write_text("1\n")
    for words in (["init"], ["add", "."], ["commit", "-m", "one"], ["worktree", "add", "../two"]):
        git(here / "one", *words)
    assert git_state(str(here / "two")) == git_state(str(here / "one"))
    assert git_state(str(here / "two"))["git_changed"] is False


def test_without_git_there_is_no_commit(here, monkeypatch):
    import torch

    git_state.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert environment(torch.device("cpu"))["git_commit"] is None


CALLBACK = "hydra: {callbacks: {x: {_target_: os.mkdir, path: %s}}}"
CONFIGS = {
    "a callback": ("train2.yaml", "defaults: [train, _self_]\n" + CALLBACK),
    "a callback of an experiment": ("experiment/evil.yaml", "# @package _global_\n" + CALLBACK),
    "a launcher": ("experiment/evil.yaml", "# @package _global_\nhydra: {launcher: {_target_: os.abort}} # %s"),
    "a sweeper": ("experiment/evil.yaml", "# @package _global_\nhydra: {sweeper: {_target_: os.abort}} # %s"),
    "a log": (
        "experiment/evil.yaml",
        "# @package _global_\nhydra: {hydra_logging: {version: 1, root: {handlers: [x]}, "
        "handlers: {x: {(): os.mkdir, path: %s}}}}",
    ),
    "a log's class": (
        "experiment/evil.yaml",
        "# @package _global_\nhydra: {job_logging: {version: 1, root: {handlers: [x]}, "
        "handlers: {x: {class: subprocess.Popen, args: [mkdir, %s]}}}}",
    ),
    "a callback of another group": (
        "experiment/evil.yaml",
        "# @package hydra.callbacks.x\n_target_: os.mkdir\npath: %s",
    ),
    "an environment": (
        "experiment/evil.yaml",
        "# @package _global_\nhydra: {job: {env_set: {LD_PRELOAD: %s}}}",
    ),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("sweep", [False, True])
def test_a_folder_of_configs_makes_hydra_run_nothing(command, tmp_path, canary, kind, sweep):
    name, text = CONFIGS[kind]
    path = tmp_path / "received" / name
    path.parent.mkdir(parents=True)
    path.write_text(text % canary)
    chosen = ["--config-name", "train2"] if name == "train2.yaml" else ["experiment=evil"]
    ended = command("--config-dir", "received", *chosen, *IRIS, *(["-m"] if sweep else []))
    assert ended.code == 2
    assert "comes from a config file, and would be run or loaded" in ended.err
    assert len(ended.err.splitlines()) == 1
    ended = command(f"--config-path={tmp_path / 'received'}", *chosen, *IRIS)
    assert ended.code == 2


LOG = """# @package _global_
hydra: {job_logging: {version: 1, root: {handlers: [x]}, handlers: {x: HANDLER}, turns: {relu: FIRST, tanh: SECOND}}}
"""
POPEN = "{class: subprocess.Popen, args: [mkdir, '%s']}"
TURN = "${hydra.job_logging.turns.${activation.name}}"  # something else with each activation
CHANGING = ["experiment=evil", "bs=4,8"]
CHOSEN = {
    "the second file": ([POPEN, 0, 1], ["experiment=good,evil"]),
    "the first file": ([POPEN, 0, 1], ["experiment=evil,good"]),
    "a pattern": ([POPEN, 0, 1], ["experiment=glob(*)"]),
    "a choice": ([POPEN, 0, 1], ["experiment=choice(good,evil)"]),
    "beside one that is missing": ([POPEN, 0, 1], ["experiment=good,missing,evil"]),
    "a search": ([POPEN, 0, 1], ["hydra/sweeper=random", "hydra.sweeper.trials=2", "experiment=choice(good,evil)"]),
    "a name": ([f"{{class: '{TURN}'}}", "logging.NullHandler", "subprocess.Popen"], CHANGING),
    "a stream": (
        [f"{{class: logging.StreamHandler, stream: '{TURN}'}}", "'ext://sys.stdout'", "'ext://os.mkdir'"],
        CHANGING,
    ),
    "a handler": ([f"'{TURN}'", "{class: logging.NullHandler}", POPEN], CHANGING),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("launcher", ["basic", "stacked"])
@pytest.mark.parametrize("kind", CHOSEN)
def test_nor_does_any_file_that_a_sweep_chooses(command, tmp_path, canary, kind, launcher):
    parts, words = CHOSEN[kind]
    text = LOG
    for place, part in zip(("HANDLER", "FIRST", "SECOND"), parts, strict=True):
        text = text.replace(place, str(part).replace("%s", str(canary)))
    (tmp_path / "received" / "experiment").mkdir(parents=True)
    (tmp_path / "received" / "experiment" / "evil.yaml").write_text(text)
    (tmp_path / "received" / "experiment" / "good.yaml").write_text("# @package _global_\nbs: 8\n")
    ended = command("--config-dir", "received", "-m", *words, *IRIS, f"hydra/launcher={launcher}")
    assert ended.code == 2
    assert "comes from a config file, and would be run or loaded" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_more_files_than_can_be_checked_need_trust(command, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    for i in range(15):
        (tmp_path / "mine" / "experiment" / f"e{i}.yaml").write_text("# @package _global_\nbs: 8\n")
    words = ["--config-dir", "mine", "-m", "experiment=glob(e*)", "activation=glob(*)", "data=iris,wine", *IRIS[1:]]
    ended = command(*words)
    assert ended.code == 2
    assert "combinations of config files, which are too many to be checked" in ended.err


def test_a_saved_config_s_folder_brings_no_parts(command, tmp_path, canary):
    run = nettrain.train(IRIS, folder=tmp_path / "received").folder
    (run / ".hydra" / "parts.py").write_text(EVIL.format(str(canary)))
    words = ["--config-dir", f"{run}/.hydra", "--config-name", "config", "hydra.run.dir=again"]
    assert command(*words).code == 0


def test_with_trust_callbacks_of_one_s_own_are_called(command, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra: {callbacks: {x: {_target_: mine.Callback}}}"
    (tmp_path / "mine" / "experiment" / "a.yaml").write_text(text)
    (tmp_path / "mine.py").write_text(
        "import os\nfrom hydra.experimental.callback import Callback as Base\n"
        "class Callback(Base):\n    def on_run_start(self, config, **kwargs):\n        os.mkdir('called')\n"
    )
    words = ["--config-dir", "mine", "experiment=a", *IRIS]
    assert command(*words).code == 2
    assert command(*words, "trust=true").code == 0
    assert (tmp_path / "called").is_dir()


def test_trust_is_typed(command, tmp_path):
    (tmp_path / "received").mkdir()
    (tmp_path / "received" / "train2.yaml").write_text("defaults: [train, _self_]\ntrust: true\n")
    ended = command("--config-dir", "received", "--config-name", "train2", *IRIS)
    assert ended.code == 2
    assert "trust=True: it comes from a config file" in ended.err


def test_a_pickle_in_a_study_is_not_run(command, tmp_path, canary):
    """Optuna's CMA-ES sampler keeps its state as pickles in the attributes of trials."""
    import optuna

    words = ["-m", "hydra/sweeper=cmaes", "hydra.sweeper.batch=2", "optimizer.lr=interval(0.01,0.1)"]
    words += ["optimizer.eps=interval(1e-9,1e-3)", *IRIS, "hydra.sweep.dir=received"]
    first = command(*words, "hydra.sweeper.trials=2")
    assert first.code == 0, first.err
    state = f"cos\nmkdir\n(S'{canary}'\ntR.".encode().hex()
    with sqlite3.connect(tmp_path / "received" / "study.db") as study:
        (trial,) = study.execute("SELECT max(trial_id) FROM trials").fetchone()
        for key in ("cma:optimizer:0", "cma:0:optimizer:0", "cma:generation_0:optimizer:0"):
            for table in ("trial_system_attributes", "trial_user_attributes"):
                study.execute(
                    f"INSERT INTO {table} (trial_id, key, value_json) VALUES (?, ?, ?)", (trial, key, f'"{state}"')
                )
    study.close()
    attributes = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'received' / 'study.db'}")
    assert any("cma" in key for t in attributes.trials for key in t.system_attrs)
    ended = command(*words, "hydra.sweeper.trials=6")
    assert ended.code == 0, ended.err
    assert len(list((tmp_path / "received").glob("*/summary.json"))) == 6


@pytest.mark.parametrize("name", ["checkpoints", ".hydra", "figures"])
def test_links_in_a_received_folder_are_not_followed(command, tmp_path, name):
    run = nettrain.train([*IRIS, "tensorboard=false"], folder=tmp_path / "received").folder
    (tmp_path / "private").mkdir()
    if (run / name).exists():
        shutil.copytree(run / name, tmp_path / "private" / name)
        shutil.rmtree(run / name)
    else:
        (tmp_path / "private" / name).mkdir()
    (run / name).symlink_to(tmp_path / "private" / name)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "private").rglob("*")}
    ended = command(f"resume={run}", "epochs=2", "figures=always")
    assert ended.code == 6
    assert "it is a link, through which nothing is written" in ended.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "private").rglob("*")} == before


def test_a_query_of_theirs_is_run_only_if_it_is_typed_or_trusted(here, command, monkeypatch):
    """Nor is a place reached that their config names: to open, to predict and to evaluate needs neither."""
    Path("t.csv").write_text("x,z,y\n" + "".join(f"{i},{i % 3},{'ab'[i % 2]}\n" for i in range(40)))
    query = "data.query=select * from 't.csv'"
    words = ["data.target=y", "epochs=1", "quiet=true", "tensorboard=false"]
    url = f"data.path={(here / 't.csv').as_uri()}"
    nettrain.train(["data=sql", "recipe=plain", query, *words], folder="query")
    nettrain.train(["data=csv", "recipe=plain", url, *words], folder="url")
    asked = []
    for name in ("nettrain.data.queries.Query.read", "nettrain.data.files.downloaded"):
        monkeypatch.setattr(name, lambda *arguments: asked.append(arguments) or pytest.fail("asked"))
    for folder, key in (("query", "data.query"), ("url", "data.path")):
        run = nettrain.Run(folder)
        assert len(run.predict("t.csv")) == 40
        assert run.evaluate("t.csv")["loss"] > 0
        with pytest.raises(
            ConfigError, match=f"^{folder}: .*; type it again, {key}=..., or, if you trust the folder's"
        ):
            _ = run.classes
        for again in (
            [f"resume={folder}", "epochs=2"],
            ["--config-dir", f"{folder}/.hydra", "--config-name", "config", "hydra.run.dir=again"],
        ):
            ended = command(*again)
            assert (ended.code, ended.err[: len(folder) + 10]) == (2, f"nettrain: {folder}")
            assert f"type it again, {key}=..." in ended.err
    assert asked == []
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert command("resume=query", "epochs=2", query).code == 0
    assert command("resume=query", "epochs=3", "trust=true").code == 0
    assert command("resume=url", "epochs=2", url).code == 0
