"""A sweep that is killed, and the same command again: every run ends with the bits of one that was never stopped."""

import json
import shutil
import sys
from pathlib import Path

import pandas
import pytest

import nettrain
from nettrain.storage import atomic
from nettrain.storage.checkpoint_files import load_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "run"))
from test_resume import Crash, assert_equal

COMMON = ("data=iris", "model.hidden=[4]", "bs=16", "checkpoint.every_steps=5", "quiet=true", "tensorboard=false")
SWEEPS = {
    "rules": ("optimizer=sgd,adam", "optimizer.lr=0.1,0.01", "model.dropout=0.1", "schedule=plateau", "epochs=4"),
    "one row lasts longer": ("epochs=1,2,6", "optimizer.lr=0.02"),
    "successive halving": (
        *("seed=range(6)", "epochs=6", "optimizer.lr=0.02"),
        *("hydra.launcher.reduction_factor=2", "hydra.launcher.min_epochs=2"),
    ),
    "several stacks": ("bs=16,32", "optimizer=adam,bfgs", "seed=1,2", "epochs=3"),
}


@pytest.fixture
def killed(monkeypatch, command):
    """`killed(n, arguments)` runs a sweep until its n-th checkpoint is to get its name; whether there were as many."""

    def run(at, *arguments):
        publish, count = atomic._Written.publish, []

        def crash(file):
            count.append(file.path.suffix)
            if count.count(".pt") == at:
                raise Crash
            publish(file)

        with monkeypatch.context() as patch:
            patch.setattr(atomic._Written, "publish", crash)
            try:
                command(*arguments)
            except Crash:
                return True
        return False

    return run


def check(command, killed, name, moments):
    arguments = ("-m", *SWEEPS[name], *COMMON)
    assert command(*arguments, "hydra.sweep.dir=whole").code == 0
    for at in moments:
        shutil.rmtree("sweep", ignore_errors=True)
        if not killed(at, *arguments, "hydra.sweep.dir=sweep"):
            break
        killed(3, *arguments, "hydra.sweep.dir=sweep")  # and once more, soon after it goes on
        ended = command(*arguments, "hydra.sweep.dir=sweep")
        assert ended.code == 0, ended.err
        whole, again = nettrain.Sweep("whole"), nettrain.Sweep("sweep")
        assert len(again.runs) == len(whole.runs)
        for one, other in zip(whole.runs, again.runs, strict=True):
            assert_equal(one, other)
        tables = [pandas.read_csv(f"{folder}/results.csv").drop(columns="seconds") for folder in ("whole", "sweep")]
        pandas.testing.assert_frame_equal(*tables, check_exact=True)
    else:
        at += 1
    return at


@pytest.mark.sample(2)
@pytest.mark.parametrize(("name", "at"), [("one row lasts longer", 14), ("successive halving", 17)])
def test_a_sweep_that_is_killed_ends_like_one_that_was_not(command, killed, name, at):
    check(command, killed, name, [at])


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_that_is_killed_at_any_save_ends_like_one_that_was_not(command, killed, name):
    assert check(command, killed, name, range(1, 1000, 3)) > 15


def test_a_row_that_halving_has_ended_does_not_train_on(command, killed, monkeypatch):
    """It was killed after the checkpoints behind the rung, before the summaries."""
    from nettrain.training.logging.run_log import RunLog

    def crash(record, *arguments):
        raise Crash

    arguments = ("-m", *SWEEPS["successive halving"], *COMMON, "hydra.sweep.dir=sweep")
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "end", crash)
        with pytest.raises(Crash):
            command(*arguments)
    reasons = [load_checkpoint(path)["pruned"] for path in sorted(Path("sweep").glob("*/checkpoints/last.pt"))]
    assert len([reason for reason in reasons if reason]) == 3
    assert command(*arguments).code == 0
    assert sorted(run.summary["epochs"] for run in nettrain.Sweep("sweep").runs) == [2, 2, 2, 4, 4, 6]


def test_a_row_of_a_stack_that_goes_on_alone_keeps_the_bits_of_the_stack(command, killed):
    arguments = ("-m", "seed=range(3)", "epochs=4", *COMMON)
    assert command(*arguments, "hydra.sweep.dir=whole").code == 0
    assert killed(9, *arguments, "hydra.sweep.dir=sweep")
    assert_equal(nettrain.Run("whole/1"), nettrain.train(["resume=sweep/1", "quiet=true"]))


def table(path, shift=0):
    path.write_text("x,y\n" + "".join(f"{i + shift},{'ab'[i % 2]}\n" for i in range(40)))


@pytest.mark.sample(2)
@pytest.mark.parametrize("launcher", ["stacked", "basic"])
@pytest.mark.parametrize("state", ["ended", "interrupted"])
def test_runs_of_a_sweep_whose_data_have_changed_are_not_mixed_with_others(command, tmp_path, launcher, state):
    csv = (
        "data=csv",
        "recipe=plain",
        "data.path=t.csv",
        "data.target=y",
        "epochs=2",
        "quiet=true",
        f"hydra/launcher={launcher}",
    )
    table(tmp_path / "t.csv")
    assert command("-m", "seed=1,2", *csv, "hydra.sweep.dir=sweep").code == 0
    if state == "interrupted":
        for k in (0, 1):
            (tmp_path / f"sweep/{k}/summary.json").unlink()
    before = {path: path.read_bytes() for path in tmp_path.glob("sweep/*/*") if path.is_file()}
    table(tmp_path / "t.csv", shift=1)
    ended = command("-m", "seed=1,2,3", *csv, "hydra.sweep.dir=sweep")
    sentence = f"t.csv: the data have changed since the run in {tmp_path}/sweep/0 was trained with them; "
    assert (ended.code, ended.err.splitlines()[0]) == (
        3,
        f"nettrain: {sentence}restore them or choose another folder.",
    )
    assert {path: path.read_bytes() for path in tmp_path.glob("sweep/*/*") if path.is_file()} == before
    table(tmp_path / "t.csv")
    assert command("-m", "seed=1,2,3", *csv, "hydra.sweep.dir=sweep").code == 0


def test_a_run_that_cannot_go_on_fails_and_the_sweep_says_so(command, tmp_path):
    arguments = ("-m", "seed=range(3)", "epochs=4", *COMMON, "hydra.sweep.dir=sweep")
    assert command(*arguments).code == 0
    folder = tmp_path / "sweep" / "1"
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    for path in folder.glob("checkpoints/*.pt"):
        path.write_bytes(b"damaged")
    ended = command(*arguments)
    assert ended.code == 5
    assert f"{folder}/checkpoints/" in ended.err
    assert pandas.read_csv(tmp_path / "sweep" / "results.csv")["status"].tolist() == [
        "completed",
        "failed",
        "completed",
    ]
