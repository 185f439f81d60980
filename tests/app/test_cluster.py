"""Sweeps whose stacks train in other processes, by submitit: the bits of one process, whatever happens to workers."""

import os
import re
import signal
import time

import fake_slurm
import optuna
import pytest
import torch
from clusters import LONG, QUICK, assert_same_sweep, checkpoints, ended, rows, sweep, trained_here, wait_for

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


def test_a_search_that_is_killed_goes_on_by_the_same_command(tmp_path, engine):
    words, environment = engine
    search = ("hydra/sweeper=tpe", "hydra.sweeper.trials=9", "hydra.sweeper.batch=2", "optimizer.lr=interval(0.01,0.1)")
    search += ("epochs=300", "checkpoint.every_steps=100", *QUICK)
    process = sweep(tmp_path, *search, *words, **environment)
    folder = tmp_path / "sweep"
    wait_for(lambda: len(list(folder.glob("*/summary.json"))) >= 3 and len(checkpoints(folder)) >= 5, 600)
    process.kill()
    process.communicate()
    proposed = {trial.number: trial.params for trial in trials(folder)}
    complete = {path: path.read_bytes() for path in folder.glob("*/summary.json") if b"completed" in path.read_bytes()}
    assert sum(path.is_dir() for path in folder.glob(".submitit/[0-9]*")) <= 2  # what has ended leaves nothing there
    code, _, err = ended(sweep(tmp_path, *search, *words, **environment))
    assert code == 0, err
    after = trials(folder)
    assert {trial.number: trial.params for trial in after if trial.number in proposed} == proposed
    assert {path: path.read_bytes() for path in complete} == complete
    rates = [trial.params["optimizer.lr"] for trial in after]
    assert len(set(rates)) == 9
    alone = sweep(tmp_path, f"optimizer.lr={','.join(map(repr, rates))}", *search[4:], "hydra.sweep.dir=alone")
    assert ended(alone)[0] == 0
    losses = {row["optimizer.lr"]: float(row["best_val_loss"]) for row in rows(tmp_path / "alone")}
    assert {repr(trial.params["optimizer.lr"]): trial.value for trial in after} == pytest.approx(losses, rel=1e-4)
    assert {row["summary.epochs"] for row in rows(folder)} == {"300"}


def trials(folder):
    return optuna.load_study(study_name="nettrain", storage=f"sqlite:///{folder}/study.db").get_trials()


def test_a_signal_ends_the_workers_in_order(tmp_path, engine):
    words, environment = engine
    process = sweep(tmp_path, *LONG, "checkpoint.every_steps=null", "epochs=100000", *words, **environment)
    wait_for(lambda: len(list(tmp_path.glob("sweep/*/metrics.csv"))) == 16)
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert (code, err) == (128 + signal.SIGTERM, "")
    assert len(checkpoints(tmp_path / "sweep")) == 16
    assert {row["status"] for row in rows(tmp_path / "sweep")} == {"interrupted"}


@pytest.mark.parametrize("asked", [("hydra.launcher.cluster=local", "hydra.launcher.gpus=1"), ()])
def test_each_worker_has_a_gpu_of_its_own(command, tmp_path, monkeypatch, asked):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**34))
    (tmp_path / "mine.py").write_text(
        "import os\n\nimport torch\n\nfrom nettrain.parts.activations import activation\n\n"
        '\n\n@activation\ndef wavy(z):\n    print("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))\n'
        "    return torch.sin(z)\n"
    )
    words = ("seed=range(16)", "epochs=2", "parts=[mine.py]", "activation=wavy", *QUICK, "hydra.sweep.dir=sweep")
    ended = command("-m", *words, *asked)
    assert ended.code == 0, ended.err
    assert "sent to 2 workers of local in 2 stacks" in ended.out
    logs = [re.findall(r"gpus (\S+)", path.read_text())[-1] for path in (tmp_path / "sweep").glob("*/worker.log")]
    assert sorted(logs) == ["0"] * 8 + ["1"] * 8


def test_a_sweep_that_asks_for_the_processor_leaves_gpus_alone(command, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    ended = command("-m", "seed=range(4)", "epochs=2", "device=cpu", *QUICK)
    assert (ended.code, "sent to" in ended.out) == (0, False)


def test_a_stack_that_costs_two_workers_is_halved_and_a_run_that_does_so_has_failed(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os\nimport sys\n\nimport torch\n\nfrom nettrain.parts.activations import activation\n\n\n"
        "@activation\ndef heavy(z):\n    if z.dim() == 3 and len(z) > 2:\n        os._exit(9)\n"
        "    return torch.sin(z)\n\n\n"
        "@activation\ndef deadly(z):\n    if 'submitit' in sys.argv[0]:\n        os._exit(9)\n    return torch.sin(z)\n"
    )
    words = ("parts=[mine.py]", "epochs=2", "engine=eager", *QUICK, "hydra.sweep.dir=sweep")
    words += ("hydra.launcher.cluster=local", "hydra.launcher.workers=1")
    code, _, err = ended(sweep(tmp_path, "seed=range(4)", "activation=heavy", *words))
    assert code == 0, err
    assert "4 runs have cost two workers" in err
    assert [row["status"] for row in rows(tmp_path / "sweep")] == ["completed"] * 4
    words = ("hydra.launcher.memory=1e-4", *words[:-3], "hydra.sweep.dir=other", *words[-2:])
    code, _, err = ended(sweep(tmp_path, "seed=1", "activation=deadly,relu", *words))
    assert (code, "lost again and again" in err) == (1, True)
    assert sorted(row["status"] for row in rows(tmp_path / "other")) == ["completed", "failed"]
