"""Several targets are learnt together: numbers as by least squares, labels as each by itself; in stacks, in one go."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, r2_score

import nettrain
from nettrain.errors import ConfigError

NUMBERS, LABELS = ["low", "high"], ["rain", "sun", "wind"]
EXACT = "model=linear optimizer=newton bs=full precision=float64 data.test_fraction=0.2 data.val_fraction=0"
QUIET = "quiet=true figures=never"


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(150, 4))
    numbers = x @ draw.normal(size=(4, 2)) * [1, 50] + [0, 1000] + draw.normal(size=(150, 2))
    labels = (x @ draw.normal(size=(4, 3)) + draw.normal(size=(150, 3)) > [0, 0.5, -0.5]).astype(int)
    columns = dict(zip([*"abcd", *NUMBERS, *LABELS], np.hstack([x, numbers, labels]).T, strict=True))
    return pd.DataFrame(columns).assign(w=draw.integers(1, 4, 150)).astype(dict.fromkeys(LABELS, int))


def of_numbers(*overrides):
    return [f"data.target={NUMBERS}", f"data.drop={[*LABELS, 'w']}", *QUIET.split(), *overrides]


def of_labels(*overrides):
    return [f"data.target={LABELS}", f"data.drop={NUMBERS}", *QUIET.split(), *overrides]


def test_a_linear_model_is_the_least_squares_fit(table, tmp_path):
    run = nettrain.train(of_numbers(*EXACT.split(), "epochs=3"), tmp_path / "run", data=table)
    train, test = (table.iloc[run.data.splits[name]] for name in ("train", "test"))
    x, x_test = (np.column_stack([part[[*"abcd"]], np.ones(len(part))]) for part in (train, test))
    fitted = np.linalg.lstsq(x, train[NUMBERS].to_numpy(), rcond=None)[0]
    predicted = run.predict(test)
    assert list(predicted.columns) == ["prediction_low", "prediction_high"]
    np.testing.assert_allclose(predicted, x_test @ fitted, rtol=1e-8)
    of_each = r2_score(test[NUMBERS], x_test @ fitted, multioutput="raw_values")
    reached = [run.summary[f"test_r2_{name}"] for name in NUMBERS]
    assert reached == pytest.approx(of_each.tolist())
    assert run.summary["test_r2"] == pytest.approx(of_each.mean())
    assert run.evaluate(test)["r2"] == pytest.approx(of_each.mean())
    scale = train[NUMBERS].std(ddof=0).to_numpy()
    squares = (((test[NUMBERS].to_numpy() - x_test @ fitted) / scale) ** 2).sum(1)
    assert run.summary["test_loss"] == pytest.approx(squares.mean())  # the sum over the targets, in their own scales


def test_labels_are_logistic_regressions_side_by_side(table, tmp_path):
    overrides = of_labels(*EXACT.split(), "epochs=30", "data.weight=w", "class_weight=balanced", "split=random")
    run = nettrain.train(overrides, tmp_path / "run", data=table)
    train, test = (table.iloc[run.data.splits[name]] for name in ("train", "test"))
    p, taken = run.predict(test)[[f"probability_{name}" for name in LABELS]].to_numpy(), []
    for j, name in enumerate(LABELS):
        n_c = [train["w"][train[name] == c].sum() for c in (0, 1)]
        weights = train["w"] * train[name].map({c: train["w"].sum() / (2 * n_c[c]) for c in (0, 1)})
        fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        fit.fit(train[[*"abcd"]], train[name], weights)
        np.testing.assert_allclose(p[:, j], fit.predict_proba(test[[*"abcd"]])[:, 1], rtol=1e-4)
        taken.append(fit.predict(test[[*"abcd"]]))
    predicted = run.predict(test)[[f"prediction_{name}" for name in LABELS]]
    np.testing.assert_array_equal(predicted, np.stack(taken, axis=1))
    measured = run.evaluate(test)
    assert measured["exact_match"] == pytest.approx(run.summary["test_exact_match"])
    assert list(run.classes["label"]) == LABELS


def test_a_label_may_weigh_more_than_its_absence(table, tmp_path):
    overrides = of_labels(
        *EXACT.split(), "epochs=30", "class_weight={rain: 5}", "split=random", "data.target=[rain,sun]"
    )
    run = nettrain.train([*overrides, "data.drop=[low,high,wind,w]"], tmp_path / "run", data=table)
    train = table.iloc[run.data.splits["train"]]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    fit.fit(train[[*"abcd"]], train["rain"], np.where(train["rain"] == 1, 5, 1))
    p = run.predict(table)["probability_rain"]
    np.testing.assert_allclose(p, fit.predict_proba(table[[*"abcd"]])[:, 1], rtol=1e-4)


@pytest.mark.parametrize("engine", ["eager", "compiled"])
@pytest.mark.parametrize("of", [of_numbers, of_labels])
def test_a_row_of_a_stack_is_the_run_alone(table, tmp_path, of, engine):
    overrides = of("epochs=3", "bs=16", "precision=float64", f"engine={engine}")
    if of is of_labels:
        overrides += ["data.weight=w", "class_weight=balanced"]
    sweep = nettrain.sweep([*overrides, "optimizer=sgd,adam", "seed=1,2"], tmp_path / "sweep", data=table)
    row = next(run for run in sweep.runs if (run.config.seed, run.config.optimizer.name) == (2, "adam"))
    alone = nettrain.train([*overrides, "optimizer=adam", "seed=2"], tmp_path / "alone", data=table)
    tolerance = 0 if engine == "compiled" else 1e-12
    for one, other in zip(row.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
    measured = [name for name, value in alone.summary.items() if isinstance(value, float) and name != "seconds"]
    assert {name: row.summary[name] for name in measured} == pytest.approx(
        {name: alone.summary[name] for name in measured}, rel=tolerance, abs=tolerance
    )


@pytest.mark.parametrize("of", [of_numbers, of_labels])
def test_engines_and_parts_of_batches_agree(table, tmp_path, of):
    overrides = of("epochs=3", "bs=16", "precision=float64", *(["data.weight=w"] if of is of_labels else []))
    runs = [
        nettrain.train([*overrides, more], tmp_path / str(i), data=table)
        for i, more in enumerate(["engine=eager", "engine=compiled", "accumulate=3"])
    ]
    expected = runs[0].predict(table).to_numpy()
    for run in runs[1:]:
        np.testing.assert_allclose(run.predict(table).to_numpy(), expected, rtol=1e-10)


def test_a_run_that_goes_on_ends_like_one_in_one_go(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    overrides = [*of_numbers("engine=eager"), "data=csv", "recipe=plain", f"data.path={tmp_path / 't.csv'}"]
    whole = nettrain.train([*overrides, "epochs=4"], tmp_path / "whole")
    nettrain.train([*overrides, "epochs=2"], tmp_path / "parts")
    on = nettrain.train([f"resume={tmp_path / 'parts'}", "epochs=4"])
    assert all(torch.equal(*pair) for pair in zip(whole.model.parameters(), on.model.parameters(), strict=True))
    later = nettrain.Run(tmp_path / "parts")
    assert later.evaluate(tmp_path / "t.csv") == whole.evaluate(tmp_path / "t.csv")
    assert list(later.metrics.columns) == list(whole.metrics.columns)


def test_an_own_metric_is_given_all_targets(table, tmp_path):
    run = nettrain.train(
        of_labels("epochs=2", "metrics=[f1_score]", "monitor=val_f1_score"), tmp_path / "l", data=table
    )
    test = table.iloc[run.data.splits["test"]]
    taken = run.predict(test)[[f"prediction_{name}" for name in LABELS]]
    assert run.evaluate(test)["f1_score"] == pytest.approx(f1_score(test[LABELS], taken, average="macro"))


def test_a_metric_of_one_target_can_be_monitored(table, tmp_path):
    run = nettrain.train(of_numbers("epochs=4", "monitor=val_r2_high"), tmp_path / "run", data=table)
    assert run.summary["best_val_r2_high"] == pytest.approx(run.metrics["val_r2_high"].max())


def test_the_baseline_is_the_mean_of_each_target(table, tmp_path):
    run = nettrain.train(of_numbers("epochs=1"), tmp_path / "run", data=table)
    train, test = (table.iloc[run.data.splits[name]][NUMBERS] for name in ("train", "test"))
    expected = np.sqrt(((test - train.mean()) ** 2).mean())
    assert run.summary["baseline_rmse_high"] == pytest.approx(expected["high"])
    assert run.summary["baseline_rmse"] == pytest.approx(expected.mean())


def test_intervals_and_quantiles_have_a_column_for_each_target(table, tmp_path):
    run = nettrain.train(of_numbers("epochs=2", "head=normal", "precision=float64"), tmp_path / "run", data=table)
    found = run.predict(table, interval=0.9)
    names = [f"{kind}_{name}" for kind in ("prediction", "lower", "upper") for name in NUMBERS]
    assert list(found.columns) == names
    z = run.logits(run.data.x)
    for j, name in enumerate(NUMBERS):
        scale = (z[:, 2 * j + 1] / 2).exp().numpy() * run.encoder.target_scale[j]
        half = 1.6448536269514722 * scale
        np.testing.assert_allclose(found[f"upper_{name}"] - found[f"prediction_{name}"], half, rtol=1e-6)


def test_a_target_that_a_head_cannot_have_is_named_with_its_row(table, tmp_path):
    with pytest.raises(nettrain.errors.DataError, match=r"row 1, column 'low': found .*; head=poisson takes whole"):
        nettrain.train(of_numbers("head=poisson"), tmp_path / "run", data=table)


@pytest.mark.parametrize(
    ("of", "overrides", "words"),
    [
        (of_numbers, "head=softmax_ce", "holds 2 numbers; use head=identity_mse"),
        (of_labels, "head=normal", "holds 3 labels; use head=sigmoid_bce or data.task=regression"),
        (of_labels, "data.positive=1", "has labels, not two classes"),
        (of_labels, "data.order=[0,1]", "has labels, not classes"),
        (of_numbers, "class_weight=balanced", "the target has numbers, not classes"),
        (of_labels, "class_weight={snow:2}", "there is no label snow; the labels are rain, sun, wind"),
        (of_numbers, "metrics=[max_error]", "Multioutput not supported"),
        (of_labels, "metrics=[log_loss]", "it measures one target"),
        (of_labels, "metrics=[f1_score] class_weight=balanced", "class_weight weighs each label"),
        (of_numbers, "monitor=val_rmse_zz", "choose from val_loss, .*val_rmse_low"),
    ],
)
def test_what_several_targets_cannot_have_is_refused(table, tmp_path, of, overrides, words):
    with pytest.raises(ConfigError, match=words):
        nettrain.train(of("epochs=1", *overrides.split()), tmp_path / "run", data=table)
    assert not (tmp_path / "run").exists()
