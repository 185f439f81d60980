"""Targets with heavy tails: transformed before they are scaled, and back in their own units wherever they are seen."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import yeojohnson

import nettrain
from nettrain.data.target_power import best_power, powered, unpowered

DRAW = np.random.default_rng(3)
HEAVY = {
    "incomes": np.exp(DRAW.normal(3, 1, 400)),
    "both sides": DRAW.standard_t(2, 400) * 4,
    "losses": -np.exp(DRAW.normal(0, 0.7, 400)),
    "normal": DRAW.normal(2, 1, 400),
}


@pytest.mark.parametrize("y", HEAVY.values(), ids=HEAVY.keys())
def test_the_power_is_the_most_likely_one_and_the_transform_scipys(y):
    expected, power = yeojohnson(y)
    assert best_power(y) == pytest.approx(np.clip(power, 0, 2), abs=1e-3)
    if 0 <= power <= 2:
        np.testing.assert_allclose(powered(y, np.array(power)), expected, rtol=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.4, 1.0, 1.6, 2.0])
def test_it_is_undone_for_any_number(power):
    y = np.concatenate([[0.0], DRAW.normal(0, 30, 50), 10.0 ** np.arange(-8, 9), -(10.0 ** np.arange(-8, 9))])
    np.testing.assert_allclose(unpowered(powered(y, np.array(power)), np.array(power)), y, rtol=1e-7)
    if power == 0:
        np.testing.assert_allclose(powered(abs(y), np.array(power)), np.log1p(abs(y)), rtol=1e-12)


def test_one_value_alone_is_not_transformed():
    assert best_power(np.full(5, 7.0)) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heavy")
    x = DRAW.normal(size=300)
    y = np.exp(2 * x + 0.1 * DRAW.normal(size=300))
    pd.DataFrame({"x": x, "y": y, "other": 3 - y, "kind": np.where(x > 0, "a", "b")}).to_csv(
        folder / "t.csv", index=False
    )
    return folder


@pytest.mark.parametrize("words", [["model=linear"], ["data.target_transform=log"], ["members=2", "model=linear"]])
def test_predictions_are_kept_within_the_range_of_the_training_rows(folder, tmp_path, monkeypatch, words):
    """They are those of the run's own model, in the target's units, and clipped; so is what is measured."""
    monkeypatch.chdir(tmp_path)
    run = trained(folder, *words, "data.clip_predictions=true", "data.test_fraction=0.3", "optimizer.lr=0.05")
    members = "members=2" in words
    table, rows = pd.read_csv(folder / "t.csv"), np.setdiff1d(np.arange(300), run.data.splits["test"])
    low, high = (function(table["y"][rows if members else run.data.splits["train"]]) for function in (np.min, np.max))
    table.loc[:3, "x"] = [-9.0, 9.0, -1.0, 1.0]
    x = torch.as_tensor(run.encoder.features(run.encoder.read(table))).float()
    free = run.encoder.in_units(run.model(x).detach().double().numpy()[:, 0])
    assert ((free < low) | (free > high)).sum() > 1
    np.testing.assert_allclose(run.predict(table)["prediction"], np.clip(free, low, high), rtol=1e-4, atol=1e-4)
    test = run.data.splits["test"]
    true = run.encoder.in_units(run.data.y[test])
    of_test = run.encoder.in_units(run.logits_of("test").double().numpy()[:, 0])
    assert min(of_test) > low - 1e-4
    assert max(of_test) < high + 1e-4
    assert run.summary["test_rmse"] == pytest.approx(np.sqrt(np.mean((of_test - true) ** 2)), rel=1e-4)


def test_each_row_of_a_stack_has_its_own_range(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["model=linear", "data.clip_predictions=true", "precision=float64"]
    common = ["data=csv", f"data.path={folder / 't.csv'}", "data.drop=[other,kind]", "data.target=y", "epochs=20"]
    rows = nettrain.sweep([*common, *words, "quiet=true", "seed=range(5)"], folder="sweep")
    assert len({tuple(run.encoder.target_range[0]) for run in rows.runs}) > 1
    for seed in (1, 4):
        alone = trained(folder, *words, f"seed={seed}")
        assert rows.runs[seed].summary["val_rmse"] == pytest.approx(alone.summary["val_rmse"], rel=1e-9)


def trained(folder, *words):
    basic = [
        "data=csv",
        f"data.path={folder / 't.csv'}",
        "data.drop=[other,kind]",
        "data.target=y",
        "epochs=20",
        "quiet=true",
    ]
    return nettrain.train([*basic, *words])


@pytest.mark.parametrize("members", [1, 2])
def test_what_is_predicted_and_measured_is_in_the_targets_units(folder, members, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = trained(folder, "model=mlp", "data.target_transform=log", "data.test_fraction=0.2", f"members={members}")
    table = pd.read_csv(folder / "t.csv")
    rows = run.data.splits["train"]
    if members == 1:
        logs = np.log1p(table["y"].to_numpy())
        np.testing.assert_allclose(run.data.y, (logs - logs[rows].mean()) / logs[rows].std(), atol=1e-9)
    predicted = run.predict(table)["prediction"].to_numpy()
    test = run.data.splits["test"]
    rmse = np.sqrt(np.mean((predicted[test] - table["y"].to_numpy()[test]) ** 2))
    assert run.summary["test_rmse"] == pytest.approx(rmse, rel=1e-4)
    assert run.evaluate(table.iloc[test])["rmse"] == pytest.approx(rmse, rel=1e-4)
    if members > 1:
        each = [np.expm1(z) for z in _in_logs(run, table)]
        np.testing.assert_allclose(predicted, np.expm1(np.mean(_in_logs(run, table), axis=0)), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(run.predict(table)["spread"], np.std(each, axis=0, ddof=1), rtol=1e-3, atol=1e-4)


def _in_logs(run, table):
    """What each member predicts of log(1 + y)."""
    z = run.member_logits(run.encoder.features(run.data.table))[..., 0].double().numpy()
    return z * run.encoder.target_scale + run.encoder.target_mean


def test_intervals_several_targets_and_rows_of_a_stack(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = ["data.target=[y,other]", "data.drop=[kind]", "data.target_transform=yeo_johnson", "head=normal"]
    alone = trained(folder, *both)
    low, high = alone.encoder.target_power
    assert low < 0.1
    assert high > 1.9
    rows = nettrain.sweep(
        [
            "data=csv",
            f"data.path={folder / 't.csv'}",
            "epochs=20",
            "quiet=true",
            *both,
            "seed=0,1",
            "precision=float64",
        ],
        folder=tmp_path / "sweep",
    )
    again = trained(folder, *both, "seed=1", "precision=float64")
    assert rows.runs[1].summary["val_rmse"] == pytest.approx(again.summary["val_rmse"], rel=1e-6)
    assert rows.runs[1].encoder.target_power == again.encoder.target_power != rows.runs[0].encoder.target_power
    table = pd.read_csv(folder / "t.csv").iloc[:20]
    predicted = alone.predict(table, interval=0.8)
    for name in ("y", "other"):
        assert (predicted[f"lower_{name}"] <= predicted[f"prediction_{name}"]).all()
        assert (predicted[f"prediction_{name}"] <= predicted[f"upper_{name}"]).all()
    assert predicted["lower_y"].min() > -1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["data.target=kind", "data.target_transform=log"],
            2,
            "data.target_transform=log: the target 'kind' holds classes; a transform is for numbers.",
        ),
        (
            ["data.target=y", "data.target_transform=yeo_johnson", "head=quantile", "data.stream=true"],
            2,
            "data.target_transform=yeo_johnson: the target of a table that is read in parts is not transformed; use",
        ),
        (
            ["data.target=kind", "data.clip_predictions=true"],
            2,
            "data.clip_predictions=true: head=sigmoid_bce predicts classes; use head=identity_mse or huber.",
        ),
        (
            ["data.target=y", "data.clip_predictions=true", "head=normal"],
            2,
            "data.clip_predictions=true: head=normal predicts more of a target than a number that may be clipped; use",
        ),
        (
            ["data.target=other", "data.target_transform=log"],
            3,
            "takes numbers of at least 0; use yeo_johnson.",
        ),
        (
            ["data.target=y", "data.target_transform=sqrt"],
            2,
            "data.target_transform=sqrt: data.target_transform must be one of none, log, yeo_johnson.",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(words, code, said, command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    ended = command("data=csv", "data.path=t.csv", "epochs=1", *words)
    assert ended.code == code, ended.err
    assert said in ended.err, ended.err


def test_counts_are_not_transformed(command, tmp_path):
    pd.DataFrame({"x": [1.0, 2, 3, 4] * 10, "y": [0, 1, 2, 4] * 10}).to_csv(tmp_path / "counts.csv", index=False)
    words = ["data=csv", "data.path=counts.csv", "data.target=y", "data.task=regression", "head=poisson", "epochs=1"]
    ended = command(*words, "data.target_transform=log")
    assert (ended.code, ended.err) == (
        2,
        "nettrain: data.target_transform=log: head=poisson takes the target in its own units; use a head for any real "
        "number, such as head=identity_mse.\n",
    )
