"""Runs on a table that stays on disk: they resume exactly, stack, are measured in parts, and need little memory."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from test_resume import assert_equal, interrupted

import nettrain
from nettrain.data import stream_order, streamed_rows
from nettrain.errors import CheckpointError, ConfigError
from nettrain.preparation.prepared import PreparedRun
from nettrain.training import outputs

ROWS = 600


@pytest.fixture
def keys(tmp_path, monkeypatch) -> list[str]:
    """The overrides of a small run whose table is read in windows of about 64 rows, and measured 96 at a time."""
    monkeypatch.setattr(stream_order, "BATCH", 16)
    monkeypatch.setattr(streamed_rows, "WINDOW_BYTES", 4 * 5 * 64)
    monkeypatch.setattr(outputs, "MEASURED", 96)
    draw = np.random.default_rng(0)
    folder = tmp_path / "parts"
    folder.mkdir()
    x = draw.normal(size=(ROWS, 3))
    kind = draw.choice(["a", "b"], ROWS)
    table = pd.DataFrame(
        {"x": x[:, 0], "y": x[:, 1], "kind": kind, "label": np.where(x[:, 2] + x[:, 0] > 0, "no", "yes")}
    )
    for i in range(3):
        table[200 * i : 200 * (i + 1)].to_parquet(folder / f"{i}.parquet", index=False, row_group_size=70)
    words = [
        "data=csv",
        "recipe=plain",
        f"data.path={folder}",
        "data.target=label",
        "data.stream=true",
        "quiet=true",
        "figures=never",
    ]
    return [*words, "epochs=3", "bs=32", "model.hidden=[8]"]


@pytest.mark.sample(3)
@pytest.mark.parametrize("after", [14, 19], ids=["between epochs", "within an epoch"])
@pytest.mark.parametrize("setting", [[], ["precision=float64"], ["optimizer=lbfgs"]], ids=str)
def test_a_streamed_run_resumes_bit_for_bit(after, setting, keys, tmp_path, monkeypatch):
    whole = nettrain.train([*keys, *setting], folder=tmp_path / "whole")
    interrupted(monkeypatch, tmp_path / "resumed", after, [*keys, *setting])
    resumed = nettrain.train([f"resume={tmp_path / 'resumed'}"])
    assert_equal(whole, resumed)
    assert whole.summary["test_loss"] > 0


def test_the_rows_of_a_stack_read_the_same_batches(keys, command, tmp_path):
    ended = command("-m", *keys, "optimizer.lr=0.01,0.001", "seed=1,2", f"hydra.sweep.dir={tmp_path}/sweep")
    assert ended.code == 0, ended
    rows = nettrain.Sweep(tmp_path / "sweep").runs
    for i, (lr, seed) in enumerate([("0.01", 1), ("0.01", 2), ("0.001", 1), ("0.001", 2)]):
        alone = nettrain.train([*keys, f"optimizer.lr={lr}", f"seed={seed}"], folder=tmp_path / f"{i}")
        row = next(r for r in rows if (str(r.config.optimizer.lr), r.config.seed) == (lr, seed))
        assert row.summary["best_val_loss"] == pytest.approx(alone.summary["best_val_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bs=full"], "bs=full: the table is read in parts"),
        (["engine=compiled"], "engine=compiled: compiled programs read all data in memory"),
        (["split=time", "split.column=x"], "split=time: it has to see the whole table"),
        (["split=fold"], "split=fold: it has to see the whole table"),
    ],
)
def test_what_needs_the_whole_table_is_refused(words, message, keys, tmp_path):
    with pytest.raises(ConfigError, match=message):
        nettrain.train([*keys, *words], folder=tmp_path / "run")


def test_a_finished_run_evaluates_and_reports(keys, tmp_path):
    run = nettrain.train([*keys, "figures=always"], folder=tmp_path / "run")
    assert "left out: the table is read in parts" in (tmp_path / "run" / "report.html").read_text()
    again = nettrain.Run(tmp_path / "run")
    test = pd.concat([pd.read_parquet(p) for p in sorted((tmp_path / "parts").glob("*"))], ignore_index=True)
    test = test.iloc[again.data.splits["test"]]
    assert again.evaluate(test)["loss"] == pytest.approx(run.summary["test_loss"], rel=1e-5)


_MEASURED = """
import resource, sys, nettrain
nettrain.train(sys.argv[2:], folder=sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_table_larger_than_the_memory_that_it_takes(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    rows, features = 500_000, 30
    for i in range(10):
        draw = np.random.default_rng(i)
        x = draw.normal(size=(rows, features))
        table = pd.DataFrame({f"x{j}": x[:, j] for j in range(features)})
        table.assign(y=x.sum(1)).to_parquet(folder / f"{i}.parquet", index=False)
    words = [
        "data=csv",
        "recipe=plain",
        f"data.path={folder}",
        "data.target=y",
        "data.stream=true",
        "quiet=true",
        "figures=never",
    ]
    arguments = [str(tmp_path / "run"), *words, "epochs=1", "bs=8192", "model.hidden=[8]"]
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    mebibytes = int(ended.stdout.split()[-1])
    size = 10 * rows * (features + 1) * 8 / 2**20
    assert size > 1150
    assert mebibytes < 1000, mebibytes


@pytest.mark.parametrize(
    "setting",
    [
        [],
        ["class_weight=balanced", "data.weight=x"],
        ["head=softmax_ce", "calibrate=always"],
        ["data.target=y", "data.drop=[label]"],
        ["data.target=count", "data.task=regression", "data.drop=[label]", "head=poisson", "data.weight=x"],
    ],
    ids=str,
)
def test_what_is_measured_in_parts_is_what_is_measured_of_all_outputs(setting, keys, tmp_path, monkeypatch):
    for path in (tmp_path / "parts").glob("*"):
        table = pd.read_parquet(path)
        table.assign(x=table.x.abs(), count=np.round(np.exp(table.x))).to_parquet(path, index=False)
    parts = nettrain.train([*keys, *setting], folder=tmp_path / "in_parts")
    monkeypatch.setattr(PreparedRun, "holds_outputs", True)
    whole = nettrain.train([*keys, *setting], folder=tmp_path / "whole")
    measured = [name for name in whole.metrics.columns if name.startswith(("train_", "val_"))]
    assert len(measured) >= 8
    np.testing.assert_allclose(parts.metrics[measured], whole.metrics[measured], rtol=1e-6)  # float32 in other parts
    for name, value in whole.summary.items():
        if name.startswith(("test_", "baseline_", "calibrated_", "temperature")):
            assert parts.summary[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_a_streamed_run_that_diverges_says_when(keys, tmp_path, monkeypatch):
    reasons = []
    for held in (False, True):
        monkeypatch.setattr(PreparedRun, "holds_outputs", held)
        words = [*keys, "data.target=y", "data.drop=[label]", "optimizer=sgd", "optimizer.lr=30"]
        run = nettrain.train(words, folder=tmp_path / str(held))
        reasons.append(run.summary["reason"])
    assert reasons[0] == reasons[1]
    assert "is not finite; until then the largest output was" in reasons[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved["sums"].pop("loss"),
        lambda saved: saved["sums"].update(confusion=torch.zeros(3, 3)),
        lambda saved: saved.update(z=torch.zeros(31, 1)),
        lambda saved: saved["sums"].update({"held.positive": torch.zeros(2)}),
    ],
    ids=["no loss", "classes", "batches", "scores"],
)
def test_a_damaged_checkpoint_within_an_epoch_is_refused(damage, keys, tmp_path, monkeypatch):
    interrupted(monkeypatch, tmp_path / "run", 19, keys)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    checkpoint = torch.load(path)
    damage(checkpoint["outputs"])
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match="damaged: outputs"):
        nettrain.train([f"resume={tmp_path / 'run'}"])
