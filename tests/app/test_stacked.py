"""`hydra/launcher=stacked`: the same runs as one after another, together; what is missing is run, nothing is lost."""

import json
import re
import signal

import pandas
import pytest
import torch
import yaml

import nettrain
from nettrain.app.jobs import job
from nettrain.app.sweep import stacks as stacking
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.counters import Counters

HERE = ("data=iris", "epochs=4", "quiet=true", "precision=float64", "hydra.sweep.dir=sweep")
GRID = ("optimizer=sgd,adam", "optimizer.lr=0.1,0.01", "schedule=constant,cosine", "model.dropout=0,0.2")


def runs(folder):
    return [nettrain.Run(path.parent, trust=True) for path in sorted(folder.glob("*/summary.json"))]


def files(folder):
    """The names of all files, TensorBoard's without the time and the process in them."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(re.sub(r"tfevents.*", "tfevents", name) for name in names)


def assert_same_run(one, other):
    assert files(one.folder) == files(other.folder)
    assert one.config == other.config
    columns = one.metrics.columns
    assert list(columns) == list(other.metrics.columns)
    pandas.testing.assert_frame_equal(
        one.metrics.drop(columns="seconds"), other.metrics.drop(columns="seconds"), rtol=1e-10, atol=1e-13
    )
    for name in ("last.pt", "best.pt"):
        a, b = (load_checkpoint(run.folder / "checkpoints" / name) for run in (one, other))
        assert a.keys() == b.keys()
        for part in ("model", "optimizer"):
            for key in b.get(part, {}):
                torch.testing.assert_close(a[part][key], b[part][key], rtol=1e-10, atol=1e-13)


def test_a_sweep_leaves_the_folders_that_the_basic_launcher_leaves(command, tmp_path):
    leaderboards = []
    for launcher in ("stacked", "basic"):
        ended = command("-m", f"hydra/launcher={launcher}", *GRID, *HERE[:-1], f"hydra.sweep.dir={launcher}")
        assert ended.code == 0
        leaderboards.append(ended.out[ended.out.index("16 runs; mean") :].replace(launcher, ""))
    assert leaderboards[0] == leaderboards[1]
    pairs = list(zip(runs(tmp_path / "stacked"), runs(tmp_path / "basic"), strict=True))
    assert len(pairs) == 16
    for one, other in pairs:
        assert_same_run(one, other)
        a, b = (yaml.safe_load((run.folder / ".hydra" / "hydra.yaml").read_text())["hydra"] for run in (one, other))
        assert a["job"] == b["job"]
        assert a["overrides"]["task"] == b["overrides"]["task"]
        assert a["runtime"]["output_dir"] == str(one.folder)
    a, b = (pandas.read_csv(tmp_path / name / "results.csv").drop(columns="seconds") for name in ("stacked", "basic"))
    pandas.testing.assert_frame_equal(a, b, rtol=1e-10, atol=1e-13)


def test_what_trains_together_is_said_first(command):
    common = ("data=iris", "epochs=1", "hydra.sweep.dir=sweep", "tensorboard=false")
    ended = command("-m", "optimizer=sgd,adam,newton", "bs=8,16", "seed=1,2", "model=linear", *common)
    assert ended.out.splitlines()[:3] == [
        "12 runs -> 2 stacks of 4, 4 alone",
        "  4 alone: optimizer=newton trains alone",
        "  on cpu",
    ]
    assert ended.code == 0


def test_stacks_are_cut_to_the_memory_that_they_may_take(command):
    common = ("epochs=1", "hydra.sweep.dir=sweep", "tensorboard=false", "bs=32")
    ended = command("-m", "seed=range(6)", "hydra.launcher.memory=0.004", *common)
    assert ended.out.splitlines()[0] == "6 runs -> 2 stacks of 3"


class Shuffling(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x[:, torch.randperm(x.shape[1])] if self.training else x)


class Branching(torch.nn.Linear):
    def forward(self, x):
        z = super().forward(x)
        return z if z.sum() > 0 else 2 * z


@pytest.mark.parametrize(("module", "reason"), [(Shuffling, "draws random numbers"), (Branching, "is refused by vmap")])
def test_a_module_that_cannot_be_stacked_trains_alone(command, module, reason):
    name = f"{__name__}.{module.__name__}"
    ended = command("-m", f"model._target_={name}", "seed=1,2", "data=iris", "epochs=1", "hydra.sweep.dir=sweep")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "2 runs -> 2 alone"
    assert ended.out.splitlines()[1].startswith(f"  2 alone: {name} {reason}")


def test_keys_that_are_zipped_vary_together(command, tmp_path):
    pairs = ("optimizer.lr=0.1,0.01,0.001", "bs=4,8,16", "seed=1,2", "hydra.sweeper.zip=[bs,optimizer.lr]")
    assert command("-m", *pairs, *HERE).code == 0
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert list(zip(results["optimizer.lr"], results["bs"], results["seed"], strict=True)) == [
        (lr, bs, seed) for lr, bs in ((0.1, 4), (0.01, 8), (0.001, 16)) for seed in (1, 2)
    ]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("[bs,seed]", "keys that vary together need the same number of values; bs has 3, seed has 2."),
        ("[bs,sed]", "sed has no values on the command line."),
    ],
)
def test_pairs_that_do_not_fit(command, tmp_path, keys, sentence):
    ended = command("-m", "bs=4,8,16", "seed=1,2", f"hydra.sweeper.zip={keys}", *HERE)
    assert (ended.code, ended.err) == (2, f"nettrain: hydra.sweeper.zip: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_a_mistake_fails_and_the_others_go_on(command, tmp_path):
    ended = command("-m", "optimizer.lr=0.1,-1,0.01", "seed=1,2", *HERE)
    assert ended.code == 2
    assert ended.err.count("optimizer.lr=-1") == 2
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["status"].tolist() == ["completed"] * 2 + ["failed"] * 2 + ["completed"] * 2
    assert results["optimizer.lr"].tolist() == [0.1, 0.1, -1, -1, 0.01, 0.01]


def test_a_diverging_row_costs_the_others_nothing(command, tmp_path):
    poisoned = ("optimizer=sgd", "optimizer.lr=0.01,1e200,0.1", *HERE)
    assert command("-m", *poisoned).code == 0
    assert [run.summary["status"] for run in runs(tmp_path / "sweep")] == ["completed", "diverged", "completed"]
    assert command("-m", "hydra/launcher=basic", *poisoned[:-1], "hydra.sweep.dir=basic").code == 0
    for number in (0, 2):
        assert_same_run(*(nettrain.Run(tmp_path / name / str(number)) for name in ("sweep", "basic")))


def interrupt_at(monkeypatch, update, number=signal.SIGINT):
    exhausted, seen = Counters.exhausted, []

    def interrupted(counters):
        if counters.updates == update and not seen:
            seen.append(counters)
            signal.raise_signal(number)
        return exhausted(counters)

    monkeypatch.setattr(Counters, "exhausted", interrupted)


def uninterrupted(command, tmp_path, *arguments):
    assert command("-m", *arguments, *HERE[:-1], "hydra.sweep.dir=whole").code == 0
    return runs(tmp_path / "whole")


def test_after_ctrl_c_the_same_command_goes_on_with_every_row(command, tmp_path, monkeypatch):
    whole = uninterrupted(command, tmp_path, *GRID)
    interrupt_at(monkeypatch, 6)  # within the second epoch
    assert command("-m", *GRID, *HERE).code == 130
    assert {run.summary["status"] for run in runs(tmp_path / "sweep")} == {"interrupted"}
    assert command("-m", *GRID, *HERE).code == 0
    for one, other in zip(runs(tmp_path / "sweep"), whole, strict=True):
        assert_same_run_after_resume(one, other)


def assert_same_run_after_resume(one, other):
    pandas.testing.assert_frame_equal(
        one.metrics.drop(columns="seconds"), other.metrics.drop(columns="seconds"), rtol=1e-10, atol=1e-13
    )
    a, b = (load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"] for run in (one, other))
    for key in b:
        torch.testing.assert_close(a[key], b[key], rtol=1e-10, atol=1e-13)


def test_runs_are_known_again_by_their_configs(command, tmp_path):
    assert command("-m", "seed=1,2", "optimizer.lr=0.1", *HERE).code == 0
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.csv")}
    ended = command("-m", "optimizer.lr=0.01,0.1", "seed=2,1,3", *HERE[:2], *HERE[3:])
    assert ended.code == 0
    assert "2 of 6 runs are already complete" in ended.out
    assert "4 runs -> 1 stack of 4" in ended.out
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["run"].tolist() == list(range(6))
    found = set(zip(results["optimizer.lr"], results["seed"], strict=True))
    assert found == {(lr, seed) for lr in (0.1, 0.01) for seed in (1, 2, 3)}


def test_failed_runs_and_runs_without_a_checkpoint_begin_anew(command, tmp_path):
    whole = uninterrupted(command, tmp_path, "seed=1,2,3")
    assert command("-m", "seed=1,2,3", *HERE).code == 0
    sweep = tmp_path / "sweep"
    (sweep / "0" / "summary.json").write_text(json.dumps({"status": "failed", "message": "x", "exit_code": 1}))
    for path in [*(sweep / "1" / "checkpoints").iterdir(), sweep / "1" / "summary.json"]:
        path.unlink()
    (sweep / "1" / "metrics.csv").write_text("epoch,step\n1,")  # killed in the middle
    assert command("-m", "seed=1,2,3", *HERE).code == 0
    for one, other in zip(runs(sweep), whole, strict=True):
        assert_same_run_after_resume(one, other)


def test_an_error_in_a_stack_is_left_with_the_run_that_has_it(command, tmp_path, monkeypatch):
    train = job.train

    def broken(starts, *arguments, **more):
        if any(start.run.config.seed == 3 for start in starts):
            raise ZeroDivisionError("seed 3 cannot be")
        return train(starts, *arguments, **more)

    monkeypatch.setattr(stacking, "train", broken)
    monkeypatch.setattr(job, "train", broken)
    ended = command("-m", "seed=range(6)", *HERE)
    assert ended.code == 1
    assert ended.err.count("ZeroDivisionError: seed 3 cannot be") == 1
    statuses = [run.summary["status"] for run in runs(tmp_path / "sweep")]
    assert statuses == ["completed"] * 3 + ["failed"] + ["completed"] * 2


def test_two_sweeps_do_not_share_a_folder(command, tmp_path):
    from nettrain.storage.locks import locked

    with locked(tmp_path / "sweep"):
        ended = command("-m", "seed=1,2", *HERE)
    assert ended.code == 7
    assert "another run is using this folder" in ended.err


def test_jobs_take_their_number_from_hydra_where_they_ask_for_it(command, tmp_path):
    assert command("-m", "seed=${hydra:job.num}", "optimizer.lr=0.1,0.2,0.3", *HERE).code == 0
    assert [run.config.seed for run in runs(tmp_path / "sweep")] == [0, 1, 2]
