"""A run of several members: what they predict together, their honest estimate, their folder."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import accuracy_score, log_loss, r2_score

import nettrain
from nettrain.random import member_seed

IRIS = load_iris(as_frame=True).frame
WORDS = (
    "data=iris data.standardize=false precision=float64 model.hidden=[8] optimizer.lr=0.1 epochs=30 "
    "early_stopping.patience=2 figures=never quiet=true"
)


def splits_of(run):
    return [run.data.members[i] for i in range(len(run.data.members))]


def probabilities(run, table):
    return run.predict(table).filter(like="probability_").to_numpy()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return nettrain.train(f"{WORDS} members=3 seed=7", folder=tmp_path_factory.mktemp("members") / "run")


def test_members_predict_the_mean_of_the_runs_that_they_would_be_alone(three, tmp_path):
    """Without statistics in the encoder a run alone on the same rows, with the same seed, is the same."""
    features, best, alone = IRIS.drop(columns="target"), [], []
    for i, splits in enumerate(splits_of(three)):
        data = {name: IRIS.iloc[rows] for name, rows in splits.items()}
        words = f"{WORDS} data.target=target data.task=multiclass seed={member_seed(7, i)}".replace("data=iris ", "")
        run = nettrain.train(words, folder=tmp_path / str(i), data=data)
        alone.append(probabilities(run, features))
        best.append(run.summary["best_epoch"])
        single = three.model.members[i](torch.tensor(features.to_numpy())).softmax(-1).detach().numpy()
        np.testing.assert_allclose(single, alone[-1], rtol=1e-9)
    np.testing.assert_allclose(probabilities(three, features), np.mean(alone, axis=0), rtol=1e-9)
    assert len(set(best)) > 1  # each ended where it would have ended alone
    spread = three.predict(features)["spread"].to_numpy()
    chosen = np.mean(alone, axis=0).argmax(1)
    by_hand = np.std([p[np.arange(150), chosen] for p in alone], axis=0, ddof=1)
    np.testing.assert_allclose(spread, by_hand, rtol=1e-7)


def test_the_last_of_many_members_is_the_run_that_it_would_be_alone(tmp_path):
    words = WORDS.replace("epochs=30", "epochs=3")
    many, last = nettrain.train(f"{words} members=18 seed=7", folder=tmp_path / "run"), 17
    splits = splits_of(many)
    assert len({tuple(rows["val"]) for rows in splits}) == len(splits) == 18
    data = {name: IRIS.iloc[rows] for name, rows in splits[last].items()}
    words = f"{words} data.target=target data.task=multiclass seed={member_seed(7, last)}".replace("data=iris ", "")
    alone = probabilities(nettrain.train(words, folder=tmp_path / "alone", data=data), IRIS.drop(columns="target"))
    single = many.model.members[last](torch.tensor(IRIS.drop(columns="target").to_numpy())).softmax(-1).detach()
    np.testing.assert_allclose(single, alone, rtol=1e-9)


def test_members_have_the_test_rows_in_common_and_validation_rows_of_their_own(three):
    first, *others = splits_of(three)
    plain = nettrain.data.load(nettrain.data.shipped.Iris(), 7)
    for name, rows in plain.splits.items():
        np.testing.assert_array_equal(first[name], rows)
    for splits in others:
        np.testing.assert_array_equal(splits["test"], first["test"])
        assert len(splits["val"]) == len(first["val"])
        assert set(splits["val"]) != set(first["val"])
        assert sorted(np.concatenate(list(splits.values()))) == list(range(150))


def test_the_estimate_is_that_of_members_that_have_not_trained_on_a_row(three):
    x, y = torch.tensor(IRIS.drop(columns="target").to_numpy()), IRIS["target"].to_numpy()
    rows = sorted({row for splits in splits_of(three) for row in splits["val"]})
    together = []
    for row in rows:
        members = [m for m, s in zip(three.model.members, splits_of(three), strict=True) if row not in s["train"]]
        with torch.no_grad():
            together.append(np.mean([member(x[row : row + 1]).softmax(-1)[0].numpy() for member in members], axis=0))
    assert three.summary["best_val_loss"] == pytest.approx(log_loss(y[rows], np.array(together)), rel=1e-9)
    accuracy = accuracy_score(y[rows], np.argmax(together, 1))
    assert three.summary["best_val_accuracy"] == pytest.approx(accuracy)
    test = splits_of(three)[0]["test"]
    p = probabilities(three, IRIS.iloc[test].drop(columns="target"))
    assert three.summary["test_loss"] == pytest.approx(log_loss(y[test], p), rel=1e-9)


def test_the_scores_of_folds_are_those_of_the_runs_of_each_fold(tmp_path):
    words = f"{WORDS} data.test_fraction=0"
    run = nettrain.train(f"{words} folds=4 seed=3", folder=tmp_path / "folds")
    p, y = np.full((150, 3), np.nan), IRIS["target"].to_numpy()
    for fold in range(4):
        of_fold = f"split=fold split.folds=4 split.fold={fold} data.split_seed=3 seed={member_seed(3, fold)}"
        alone = nettrain.train(f"{words} {of_fold}", folder=tmp_path / str(fold))
        rows = alone.data.splits["val"]
        assert np.isnan(p[rows]).all()
        p[rows] = probabilities(alone, IRIS.iloc[rows].drop(columns="target"))
    assert run.summary["best_val_loss"] == pytest.approx(log_loss(y, p), rel=1e-9)
    assert run.summary["best_val_accuracy"] == pytest.approx(accuracy_score(y, p.argmax(1)))
    np.testing.assert_allclose(run.head.mean(run.logits_of("val")).numpy(), p, rtol=1e-8)
    recall, count = run.classes["recall"], run.classes["rows"]  # of predictions that are none of training rows
    assert (recall * count).sum() / 150 == pytest.approx(run.summary["best_val_accuracy"])
    assert "test_loss" not in run.summary


@pytest.mark.parametrize("head", ["identity_mse", "huber", "normal", "quantile"])
def test_members_predict_numbers_in_the_units_of_the_target(head, tmp_path):
    table = load_diabetes(as_frame=True, scaled=False).frame
    words = f"data=diabetes members=3 head={head} epochs=4 precision=float64 model.hidden=[8] figures=never quiet=true"
    run = nettrain.train(words, folder=tmp_path / "run")
    new = table.drop(columns="target")
    x = torch.tensor(run.encoder.features(run.encoder.read(new)))
    scale, mean = run.encoder.target_scale, run.encoder.target_mean
    with torch.no_grad():
        alone = [run.head.predict(member(x)).numpy() * scale + mean for member in run.model.members]
        assert run.model(x).shape == run.model.members[0](x).shape
    predicted = run.predict(new)
    np.testing.assert_allclose(predicted["prediction"], np.mean(alone, axis=0), rtol=1e-9)
    np.testing.assert_allclose(predicted["spread"], np.std(alone, axis=0, ddof=1), rtol=1e-6)
    assert run.evaluate(table)["r2"] == pytest.approx(r2_score(table["target"], predicted["prediction"]))
    test = run.data.splits["test"]
    r2 = r2_score(table["target"].iloc[test], np.mean(alone, axis=0)[test])
    assert run.summary["test_r2"] == pytest.approx(r2)


class Stop(nettrain.Callback):
    """Sends this process a signal after an epoch."""

    def __init__(self, epoch):
        self.at = epoch

    def epoch(self, run):
        if run.epoch == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def flat(content, path=""):
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from flat(value, f"{path}/{key}")
    else:
        yield path, content.tolist() if isinstance(content, torch.Tensor) else content


def saved(folder):
    """All that a run's checkpoint and metrics hold, but for times."""
    content = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    values = {key: value for key, value in flat(content) if "seconds" not in key and not key.startswith("/config")}
    lines = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return repr(values), [line[:2] + line[3:] for line in lines]


def test_a_run_with_members_that_was_interrupted_ends_with_the_same_bits(tmp_path):
    words = "data=wine members=4 epochs=60 early_stopping.patience=4 optimizer.lr=3e-3 figures=never quiet=true"
    nettrain.train(words, folder=tmp_path / "whole", callbacks=[Stop(-1)])
    with pytest.raises(KeyboardInterrupt):
        nettrain.train(words, folder=tmp_path / "cut", callbacks=[Stop(25)])
    then = torch.load(tmp_path / "cut" / "checkpoints" / "last.pt", weights_only=True)
    ended = [state["at"][0] < 25 for state in then["members"]]
    assert {True, False} == set(ended)  # some members had ended, others had not
    assert nettrain.Run(tmp_path / "cut", trust=True).summary["status"] == "interrupted"
    nettrain.train(f"resume={tmp_path / 'cut'} trust=true quiet=true", callbacks=[Stop(-1)])
    assert saved(tmp_path / "cut") == saved(tmp_path / "whole")
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("cut", "whole")]
    assert {**summaries[0], "seconds": 0} == {**summaries[1], "seconds": 0}


def test_more_epochs_go_on_with_the_members_that_have_not_ended(tmp_path):
    words = "data=wine members=3 early_stopping.patience=4 optimizer.lr=3e-3 figures=never quiet=true"
    nettrain.train(f"{words} epochs=40", folder=tmp_path / "whole")
    nettrain.train(f"{words} epochs=15", folder=tmp_path / "longer")
    nettrain.train(f"resume={tmp_path / 'longer'} epochs=40 quiet=true")
    assert saved(tmp_path / "longer") == saved(tmp_path / "whole")


def test_predictions_have_a_column_of_doubt(three, monkeypatch, capsys):
    IRIS.drop(columns="target").to_csv(three.folder / "new.csv", index=False)
    from nettrain.app.tools import predict

    monkeypatch.setattr("sys.argv", ["nettrain-predict", f"run={three.folder}", f"data.path={three.folder}/new.csv"])
    predict()
    header = (three.folder / "predictions.csv").read_text().splitlines()[0]
    assert header.split(",") == ["prediction", *(f"probability_{c}" for c in three.encoder.classes), "spread"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["members=0"], 2, "members=0: members must be at least 1."),
        (["folds=1"], 2, "folds=1: folds must be at least 2."),
        (["members=3", "folds=3"], 2, "members=3 and folds=3: a run has a member for each fold; leave out one of"),
        (["folds=200"], 3, "folds=200: there are 128 rows; use at most 128 folds."),
        (
            ["folds=3", "data.val_fraction=0.3"],
            2,
            "data.val_fraction=0.3: folds says itself which rows are those of val",
        ),
        (
            ["folds=3", "split=fold", "split.fold=1"],
            2,
            "folds=3: each of them validates a member; leave out split.fold=1.",
        ),
        (
            ["folds=3", "data=quadratic", "split=time", "split.column=x"],
            2,
            "folds=3: split=time says itself which rows",
        ),
        (
            ["members=3", "optimizer=lbfgs"],
            2,
            "members=3: members train together, as rows of a stack, and optimizer=lbfgs",
        ),
        (
            ["members=2", "data.numbers=piecewise", "data.binning=tree"],
            2,
            "members=2: data.binning=tree looks at the targets of all rows on which a member trains, and others",
        ),
        (["members=100000"], 2, "members=100000: so many do not fit into the free memory; about "),
    ],
)
def test_mistakes(command, words, code, text):
    ended = command("data=iris", *words, "quiet=true", "hydra.run.dir=run")
    assert ended.code == code
    assert text in ended.err
    assert ended.err.count("\n") == 1


TIRING = """
from dataclasses import dataclass
from nettrain.data.splitting import Stratified

drawn = []

@dataclass
class Tiring(Stratified):
    name: str = "tiring_of_mine"

    def redrawn(self, table, partition, seed):
        drawn.append(seed)
        assert len(drawn) < 1000
        return super().redrawn(table, partition, seed)
"""


@pytest.mark.parametrize("words", [[], ["optimizer=lbfgs"]])
def test_more_members_than_fit_are_refused_before_they_are_made(command, tmp_path, parts_are_forgotten, words):
    (tmp_path / "parts.py").write_text(TIRING)
    ended = command("parts=[parts.py]", "data=iris", "split=tiring_of_mine", "members=1000000000", "quiet=true", *words)
    assert ended.code == 2
    assert ended.err.startswith("nettrain: members=1000000000: ")
    assert ended.err.count("\n") == 1


def test_a_module_of_somebody_else_s_that_stacks_has_members(tmp_path):
    words = "data=iris members=3 model._target_=torch.nn.Linear epochs=3 figures=never quiet=true"
    run = nettrain.train(words, folder=tmp_path / "run")
    p = torch.stack([m(torch.tensor(run.data.x[:9]).float()).softmax(-1) for m in run.model.members]).mean(0)
    np.testing.assert_allclose(probabilities(run, IRIS.iloc[:9].drop(columns="target")), p.detach(), rtol=1e-5)


def test_a_sweep_trains_each_run_with_members_as_a_stack_of_its_own(command, tmp_path):
    ended = command("-m", "data=iris", "epochs=3", "members=1,3", "seed=0,1", "hydra.sweep.dir=sweep")
    assert ended.code == 0
    assert "4 runs -> 1 stack of 2, 2 alone" in ended.out
    assert "2 alone: a run with members=3 is a stack of its own" in ended.out
    sweep = nettrain.Sweep(tmp_path / "sweep")
    assert sweep.results["members"].tolist() == [1, 1, 3, 3]
    for number, seed in (("2", 0), ("3", 1)):
        alone = nettrain.train(f"data=iris epochs=3 members=3 seed={seed} quiet=true", folder=tmp_path / number)
        for name in ("best_val_loss", "test_loss"):
            assert nettrain.Run(tmp_path / "sweep" / number).summary[name] == alone.summary[name]


def test_successive_halving_refuses_runs_with_members(command):
    ended = command(
        *("-m", "data=iris", "epochs=9", "members=3", "seed=0,1", "hydra.launcher.reduction_factor=3"),
        *("hydra.launcher.min_epochs=1", "hydra.sweep.dir=sweep"),
    )
    assert ended.code == 2
    assert "members=3: successive halving compares the rows of a stack" in ended.err


def test_members_of_a_group_split_keep_groups_whole(tmp_path):
    table = IRIS.assign(patient=np.arange(150) // 5)
    words = "data.target=target data.task=multiclass split=group split.column=patient epochs=2 figures=never quiet=true"
    for key in ("members=3", "folds=3"):
        run = nettrain.train(f"{words} {key}", folder=tmp_path / key, data=table)
        assert len(splits_of(run)) == 3
        for splits in splits_of(run):
            groups = [set(table["patient"].iloc[rows]) for rows in splits.values()]
            assert sum(map(len, groups)) == 30


def test_a_member_that_diverged_at_once_is_left_out_and_the_others_predict(tmp_path, capsys):
    words = "data=diabetes members=6 optimizer=sgd optimizer.lr=0.45 epochs=12 model.hidden=[16] precision=float64"
    run = nettrain.train(f"{words} figures=never quiet=true", folder=tmp_path / "run")
    left_out = run.summary["members_left_out"]
    assert 0 < left_out < 6
    assert run.summary["status"] == "completed"
    assert len(run.model.members) == 6 - left_out
    assert "of 6 diverged" in capsys.readouterr().err
    assert np.isfinite(run.predict(load_diabetes(as_frame=True, scaled=False).data)).all(axis=None)
    assert run.summary["best_val_loss"] == pytest.approx(float(loss_of_validation(run)))


def loss_of_validation(run):
    """On the rows that any of the members in the model was validated on, by these alone."""
    seen = [set(run.data.members[i]["val"]) for i in saved_members(run)]
    rows = np.array(sorted(set.union(*seen)))
    z = run.member_logits(run.data.rows(rows)).squeeze(-1)
    counts = torch.tensor([[row in of for row in rows] for of in seen], dtype=z.dtype)
    predicted = (z * counts).sum(0) / counts.sum(0)
    return (predicted - torch.as_tensor(run.data.y[rows])).square().mean()


def saved_members(run):
    return torch.load(run.folder / "checkpoints" / "best.pt", weights_only=True)["members"]


def test_if_all_members_diverge_the_run_has(command):
    ended = command(
        "data=diabetes", "members=3", "optimizer=sgd", "optimizer.lr=1e9", "quiet=true", "hydra.run.dir=run"
    )
    assert ended.code == 4
    assert json.loads(Path("run/summary.json").read_text())["status"] == "diverged"


def test_a_callback_sees_all_members_and_can_end_the_run(tmp_path):
    class End(nettrain.Callback):
        def epoch(self, run):
            x, _ = run.samples("test")
            run.record("seen", float(len(run.model.members)))
            assert run.best_model(x).shape == (len(x), 3)
            return "enough" if run.epoch == 3 else None

    words = "data=iris members=3 epochs=9 figures=never quiet=true"
    summary = nettrain.train(words, folder=tmp_path / "run", callbacks=[End()]).summary
    assert (summary["epochs"], summary["seen"], summary["reason"]) == (3, 3.0, "callbacks.End: enough")


def test_folds_of_a_single_row_have_no_r2_each_but_one_together(tmp_path):
    table = load_diabetes(as_frame=True).frame.iloc[:9]
    words = "folds=9 data.target=target data.test_fraction=0 epochs=2 figures=never quiet=true"
    summary = nettrain.train(words, folder=tmp_path / "run", data=table).summary
    assert summary["status"] == "completed"
    assert np.isfinite(summary["best_val_r2"])
    assert summary["spread_val_r2"] is None
    assert summary["spread_val_loss"] > 0
