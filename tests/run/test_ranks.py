"""Several ranks share a run: it is that of one process, to rounding, whatever each of them has of a batch."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sharing import shared

from nettrain.config.schema import parts
from nettrain.optimizers.rules import Rule
from nettrain.storage.checkpoint_files import load_checkpoint

RULES = [name for name, part in parts("optimizer").items() if issubclass(part, Rule)]
# 106 training samples: the last of 22 batches has one, fewer than there are ranks.
IRIS = ["data=iris", "bs=5", "epochs=10", "model.hidden=[7]", "model.dropout=0.2"]
STREAM = [
    "data=csv",
    "data.path=parts",
    "data.target=label",
    "data.stream=true",
    "epochs=4",
    "bs=32",
    "model.hidden=[8]",
]
SHARDED = ["sharded=true", "optimizer.clip_norm=0.5", "optimizer.weight_decay=0.01"]
LONG = {
    **{f"{name}, 220 updates": [*IRIS, f"optimizer={name}"] for name in RULES},
    **{f"{name}, sharded, 220 updates": [*IRIS, f"optimizer={name}", *SHARDED] for name in RULES},
}
CASES = {
    "adam": [*IRIS, "optimizer=adam"],
    **{f"{name}, sharded": [*IRIS, f"optimizer={name}", *SHARDED, "epochs=2"] for name in RULES},
    "clipped": [*IRIS, "optimizer.clip_norm=0.5", "schedule=cosine", "epochs=2"],
    "groups, sharded": [
        *IRIS,
        "sharded=true",
        "groups={*.bias:{weight_decay:0,lr:2}}",
        "optimizer.weight_decay=0.01",
        "epochs=2",
    ],
    "torch": [*IRIS, "optimizer=torch", "optimizer._target_=torch.optim.NAdam", "epochs=2"],
    "closure": [
        *IRIS,
        "epochs=1",
        "optimizer=torch",
        "optimizer._target_=torch.optim.LBFGS",
        "+optimizer.lr=0.01",
        "bs=35",
    ],
    "micro-batches": [*IRIS, "accumulate=3", "sharded=true", "epochs=2"],
    "weights": ["data=csv", "data.path=parts", "data.target=label", "data.weight=count", "bs=50", "epochs=5"],
    "class weights": [*IRIS, "class_weight=balanced", "calibrate=auto", "epochs=2"],
    "skipped": [*IRIS, "on_divergence=skip_step", "optimizer=sgd", "optimizer.lr=1e160", "sharded=true", "epochs=2"],
    "halved": [
        *IRIS,
        "on_divergence=restore_and_halve_lr",
        "optimizer=sgd",
        "optimizer.lr=1e160",
        "sharded=true",
        "bs=35",
    ],
    "one batch": [*IRIS, "bs=full"],
    "single samples": ["data=diabetes", "bs=1", "debug.samples=30", "epochs=1"],
    "convolutional": ["data=digits_images", "model=cnn", "model.dropout=0.2", "debug.samples=53", "bs=26", "epochs=1"],
    "transformer": [
        *("data=digits_rows", "model=transformer", "model.width=8", "model.dropout=0.2", "debug.samples=53", "bs=26"),
        "epochs=1",
    ],
    "residual": ["data=wine", "model=resmlp", "model.norm=layer", "model.dropout=0.3", "bs=26", "epochs=10"],
    "module": ["data=iris", "bs=26", "epochs=10", "model=module", "model._target_=own.noisy"],
    "early stopping": [*IRIS, "early_stopping.patience=2", "optimizer.lr=0.1"],
    "budget": [*IRIS, "budget.updates=33", "sharded=true", "watch.histograms_every=1", "tensorboard=true"],
    "stream": [*STREAM, "model.dropout=0.2"],
    "stream, sharded": [*STREAM, "sharded=true", "drop_last=true", "bs=47", "data.weight=count"],
}


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def runs(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    shared(folder, CASES, request.param)
    return folder


@pytest.fixture(scope="module")
def long_runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    shared(folder, LONG, 2)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_shared_run_is_that_of_one_process(name, runs):
    assert_alike(name, runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_every_rule_over_hundreds_of_updates(name, long_runs):
    assert_alike(name, long_runs)


def assert_alike(name, runs):
    one, alone = (runs / kind / name / "0" for kind in ("shared", "alone"))
    for file in ("last.pt", "best.pt"):
        if not (alone / "checkpoints" / file).exists():
            assert not (one / "checkpoints" / file).exists()
            continue
        ours, theirs = (load_checkpoint(folder / "checkpoints" / file) for folder in (one, alone))
        assert ours.keys() == theirs.keys()
        for key in ("model", *(("optimizer",) if file == "last.pt" and name not in ("torch", "closure") else ())):
            for tensor, value in theirs[key].items():
                torch.testing.assert_close(ours[key][tensor], value, rtol=1e-12, atol=1e-12, equal_nan=True)
    ours, theirs = (pd.read_csv(folder / "metrics.csv") for folder in (one, alone))
    assert list(ours) == list(theirs)
    for column in ours:
        if column != "seconds":
            np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-9, atol=1e-12, err_msg=column)
    ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (one, alone))
    assert ours.keys() == theirs.keys()
    assert ours["updates"] == theirs["updates"]
    for key, value in theirs.items():
        if key != "seconds":
            assert ours[key] == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value), key


def test_each_rank_reads_its_share_of_a_table_on_disk(runs):
    for name in ("stream", "stream, sharded"):
        whole = json.loads((runs / f"{name}.alone.json").read_text())
        of_ranks = json.loads((runs / f"{name}.read.json").read_text())
        assert len(of_ranks) > 1
        assert max(of_ranks) < 1.2 * whole / len(of_ranks)


def test_the_leader_alone_writes(runs):
    folders = list(runs.glob("of *"))
    assert folders
    assert not [path for folder in folders for path in folder.rglob("*") if path.is_file()]
