"""Weights of rows and of classes, in training, in measuring, and in what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from sklearn.utils.class_weight import compute_class_weight
from test_engines import assert_engines_agree
from test_rows import assert_equal_to_alone

import nettrain
from nettrain.errors import ConfigError, DataError

N = 200
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 2))
WEIGHT = RANDOM.integers(0, 4, N)
LABEL = np.where(X[:, 0] + X[:, 1] + RANDOM.normal(size=N) > 1, "yes", "no")
TABLE = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "w": WEIGHT, "y": LABEL})
WHOLE = ["data.val_fraction=0", "data.test_fraction=0", "data.standardize=false", "precision=float64", "bs=full"]
FIT = [*WHOLE, "model=linear", "optimizer=lbfgs", "epochs=100"]


def train(table, *options, folder="run"):
    table.to_csv("t.csv", index=False)
    settings = ["data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "quiet=true", "tensorboard=false"]
    return nettrain.train([*settings, *options], folder=folder)


def coefficients(run):
    weight, bias = run.model.state_dict().values()
    return np.array([*weight[0].tolist(), float(bias[0])])


def test_weighted_logistic_regression_is_scikit_learn_s(here):
    run = train(TABLE, *FIT, "data.weight=w")
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(X, LABEL, sample_weight=WEIGHT)
    np.testing.assert_allclose(coefficients(run), [*reference.coef_[0], *reference.intercept_], rtol=1e-4)
    assert run.encoder.feature_names == ["a", "b"]
    p = reference.predict_proba(X)
    assert run.summary["train_loss"] == pytest.approx(log_loss(LABEL, p, sample_weight=WEIGHT), rel=1e-6)
    accuracy = accuracy_score(LABEL, reference.predict(X), sample_weight=WEIGHT)
    assert run.summary["train_accuracy"] == pytest.approx(accuracy)
    assert run.evaluate(TABLE) == pytest.approx({k: run.summary[f"train_{k}"] for k in run.evaluate(TABLE)}, rel=1e-6)
    with pytest.raises(DataError, match="there is no column 'w', which says how much each row counts"):
        run.evaluate(TABLE.drop(columns="w"))


@pytest.mark.parametrize("asked", ["balanced", "{yes: 5}", "{yes: 5, no: 0.5}"])
def test_class_weights_are_scikit_learn_s(here, asked):
    weights = {"balanced": "balanced", "{yes: 5}": {"yes": 5}, "{yes: 5, no: 0.5}": {"yes": 5, "no": 0.5}}[asked]
    run = train(TABLE.drop(columns="w"), *FIT, f"class_weight={asked}")
    reference = LogisticRegression(C=np.inf, tol=1e-10, class_weight=weights).fit(X, LABEL)
    np.testing.assert_allclose(coefficients(run), [*reference.coef_[0], *reference.intercept_], rtol=1e-4)
    expected = compute_class_weight(weights, classes=np.array(["no", "yes"]), y=LABEL)
    np.testing.assert_allclose(run.encoder.class_weights, expected)


def test_balanced_classes_make_accuracy_the_mean_recall(here):
    run = train(TABLE.drop(columns="w"), *FIT, "class_weight=balanced")
    assert run.summary["train_accuracy"] == pytest.approx(run.summary["train_balanced_accuracy"])


def test_weights_of_rows_and_classes_are_multiplied(here):
    both = train(TABLE, *FIT, "data.weight=w", "class_weight={yes: 5}", folder="both")
    once = train(TABLE.assign(w=WEIGHT * np.where(LABEL == "yes", 5, 1)), *FIT, "data.weight=w", folder="once")
    np.testing.assert_allclose(coefficients(both), coefficients(once), rtol=1e-6)


@pytest.mark.parametrize("head", ["identity_mse", "poisson"])
def test_weighted_regression_is_scikit_learn_s(here, head):
    y = RANDOM.poisson(np.exp(X[:, 0] / 2))
    run = train(TABLE.assign(y=y), *FIT, "data.weight=w", f"head={head}", "data.task=regression")
    reference = LinearRegression() if head == "identity_mse" else PoissonRegressor(alpha=0, tol=1e-10, max_iter=1000)
    reference.fit(X, y, sample_weight=WEIGHT)
    predicted = run.predict(TABLE)["prediction"]
    np.testing.assert_allclose(predicted, reference.predict(X), rtol=1e-4, atol=1e-6)
    expected = mean_squared_error(y, reference.predict(X), sample_weight=WEIGHT)
    assert run.summary["train_mse"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", ["model.hidden=[4]", "model._target_=torch.nn.Linear"])
def test_whole_weights_are_repetitions_of_rows(here, model):
    options = [*WHOLE, "optimizer=adam", "epochs=20", model, "engine=eager"]
    weighted = train(TABLE, *options, "data.weight=w", folder="weighted")
    repeated = TABLE.loc[TABLE.index.repeat(TABLE["w"])].drop(columns="w")
    again = train(repeated, *options, folder="again")
    for name, tensor in again.model.state_dict().items():
        torch.testing.assert_close(weighted.model.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model", ["model.hidden=[5]", "model._target_=torch.nn.Linear model=module"])
def test_batches_in_parts_have_the_gradient_of_the_whole(here, model):
    options = ["data.weight=w", "epochs=3", "precision=float64", "data.split_seed=0", "bs=32", "engine=eager"]
    one = train(TABLE, *options, *model.split(), folder="one")
    other = train(TABLE, *options, *model.split(), "accumulate=3", folder="other")
    for name, tensor in one.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)


@pytest.fixture
def weighted(here):
    TABLE.to_csv("t.csv", index=False)
    return [
        "data=csv",
        "recipe=plain",
        f"data.path={here / 't.csv'}",
        "data.target=y",
        "data.weight=w",
        "class_weight=balanced",
    ]


def test_rows_of_a_stack_are_weighted_as_alone(here, weighted):
    rows = ["seed=1", "seed=2 epochs=3", "seed=1 optimizer.lr=0.1", "seed=3"]
    assert_equal_to_alone(here, *weighted, "epochs=5", "model.hidden=[4]", "bs=16", rows=rows)


@pytest.mark.parametrize("rows", [[""], ["seed=1", "seed=2"]])
def test_weights_are_compiled(here, weighted, rows):
    assert_engines_agree(here, *weighted, "epochs=5", "model.hidden=[4]", "bs=16", rows=rows)


def test_a_weighted_run_goes_on_as_if_it_had_not_stopped(here):
    options = ["data.weight=w", "class_weight=balanced", "model.hidden=[4]", "engine=eager"]
    whole = train(TABLE, *options, "epochs=4", folder="whole")
    train(TABLE, *options, "epochs=2", folder="part")
    resumed = nettrain.train(["resume=part", "epochs=4"])
    assert all(torch.equal(a, resumed.model.state_dict()[name]) for name, a in whole.model.state_dict().items())
    train(TABLE.assign(w=WEIGHT + 1), *options, "epochs=0", folder="other")
    with pytest.raises(DataError, match="have changed"):
        nettrain.train(["resume=part", "epochs=5"])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (-1, "t.csv, row 5, column 'w': found -1; a weight is a number of at least 0."),
        (np.nan, "t.csv, row 5, column 'w': the weight is missing; a weight is a number of at least 0."),
        (np.inf, "t.csv, row 5, column 'w': found inf; numbers must be finite"),
        ("many", "t.csv, row 5, column 'w': "),
    ],
)
def test_a_bad_weight_is_named_with_its_row(here, value, found):
    table = TABLE.astype({"w": object})
    table.loc[3, "w"] = value
    with pytest.raises(DataError) as error:
        train(table, "data.weight=w")
    assert found in str(error.value)
    assert "run" not in [path.name for path in here.iterdir()]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["data.weight=v"], "t.csv: there is no column 'v', which data.weight names"),
        (["data.weight=y"], "t.csv: data.weight names the target 'y'; it is for another column."),
        (
            ["class_weight=equal"],
            "class_weight=equal: it must be balanced, or a weight for each class, such as {no: 2}.",
        ),
        (["class_weight={maybe: 2}"], "there is no class maybe; the classes are no, yes."),
        (["class_weight={yes: -2}"], "the weight of yes must be a number of at least 0."),
        (["class_weight={yes: much}"], "the weight of yes must be a number of at least 0."),
        (["class_weight={yes: 0, no: 0}"], "t.csv: all rows of the train split have the weight 0; at least one must"),
        (["data.target=a", "class_weight=balanced"], "class_weight=balanced: the target has numbers, not classes"),
    ],
)
def test_bad_weights_are_one_sentence_each(here, options, found):
    with pytest.raises((ConfigError, DataError)) as error:
        train(TABLE, *options)
    assert found in str(error.value)


def test_data_that_were_handed_over_in_python_are_weighted_and_scaled_as_they_were_trained(here):
    counts = TABLE.assign(y=RANDOM.poisson(np.exp(X[:, 0] / 2)))
    options = ["data.target=y", "data.weight=w", "head=poisson", "data.task=regression", "epochs=1", "quiet=true"]
    run = nettrain.train(options, data=counts, folder="counts")
    assert run.data.y.tolist() == counts["y"].tolist()
    weighted = nettrain.train(
        ["data.target=y", "class_weight=balanced", "epochs=1", "quiet=true"], data=TABLE, folder="c"
    )
    rows = weighted.data.splits["test"]
    for i, name in enumerate(weighted.encoder.classes):
        expected = (LABEL[rows] == name).sum() * weighted.encoder.class_weights[i]
        assert weighted.classes["rows"][i] == pytest.approx(expected)
