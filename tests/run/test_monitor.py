"""Metrics that somebody names, the number by which epochs and runs are compared, and the baseline of a result."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from sklearn.dummy import DummyClassifier, DummyRegressor
from test_rows import assert_equal_to_alone

import nettrain
from nettrain.app import tools
from nettrain.errors import ConfigError

N = 240
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 2))
CLASS = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + RANDOM.normal(size=N) / 2, [-0.3, 1])]
WEIGHT = RANDOM.integers(0, 4, N)
TABLE = pd.DataFrame({"u": X[:, 0], "v": X[:, 1], "w": WEIGHT, "y": CLASS})
FAST = ["quiet=true", "tensorboard=false", "model.hidden=[8]", "optimizer.lr=0.03", "data.split_seed=0"]
OWN = """
import numpy as np

def profit(y, predicted):
    return float((y == predicted).sum() - 2 * (y != predicted).sum())

def brier(y, probabilities):
    return float(((np.eye(probabilities.shape[1])[y] - probabilities) ** 2).sum(1).mean())

def broken(y, predicted):
    raise ValueError("no such thing")
"""


def train(table, *options, folder="run"):
    table.to_csv("t.csv", index=False)
    return nettrain.train(
        ["data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", *FAST, *options], folder=folder
    )


@pytest.fixture
def own(here, monkeypatch):
    """A module of somebody's own, `my_metrics`."""
    (here / "my_metrics.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(here))
    yield
    sys.modules.pop("my_metrics", None)


def test_named_metrics_of_classes_are_scikit_learn_s_with_weights_and_one_s_own(own):
    names = ["matthews_corrcoef", "sklearn.metrics.precision_score", "roc_auc_score", "log_loss"]
    mine = ["my_metrics.profit", "my_metrics.brier"]
    run = train(TABLE, "epochs=3", "data.weight=w", f"metrics=[{','.join([*names, *mine])}]")
    measured, predicted = run.evaluate(TABLE), run.predict(TABLE)
    p = predicted[["probability_a", "probability_b", "probability_c"]].to_numpy()
    y, given = (np.searchsorted(["a", "b", "c"], v) for v in (CLASS, predicted["prediction"]))
    m, of_rows = sklearn.metrics, {"sample_weight": WEIGHT}
    expected = {
        "matthews_corrcoef": m.matthews_corrcoef(y, given, **of_rows),
        "precision_score": m.precision_score(y, given, average="macro", **of_rows),
        "roc_auc_score": m.roc_auc_score(y, p, multi_class="ovr", **of_rows),
        "log_loss": m.log_loss(y, p, **of_rows),
        "profit": (y == given).sum() - 2 * (y != given).sum(),
        "brier": ((np.eye(3)[y] - p) ** 2).sum(1).mean(),
    }
    assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert run.metrics["val_profit"].notna().all()
    assert {"train_brier", "val_log_loss", "best_val_profit", "test_roc_auc_score"} <= run.summary.keys()


def test_of_two_classes_the_positive_one_has_the_probability(here):
    table = TABLE[CLASS != "c"]
    run = train(table, "epochs=2", "metrics=[average_precision_score,recall_score]", "data.positive=a")
    predicted, y = run.predict(table), table["y"] == "a"
    assert run.evaluate(table)["average_precision_score"] == pytest.approx(
        sklearn.metrics.average_precision_score(y, predicted["probability_a"]), rel=1e-5
    )
    assert run.evaluate(table)["recall_score"] == sklearn.metrics.recall_score(y, predicted["prediction"] == "a")


def test_named_metrics_of_numbers_are_in_the_units_of_the_target(here):
    table = TABLE.assign(y=1000 + 100 * X[:, 0])
    run = train(table, "epochs=2", "metrics=[median_absolute_error]")
    predicted = run.predict(table)["prediction"]
    expected = sklearn.metrics.median_absolute_error(table["y"], predicted)
    assert run.evaluate(table)["median_absolute_error"] == pytest.approx(expected, rel=1e-5)
    assert run.evaluate(table)["rmse"] == pytest.approx(np.sqrt(np.mean((table["y"] - predicted) ** 2)), rel=1e-5)


def test_rows_have_the_named_metrics_and_best_epochs_of_runs_alone(here):
    common = ["data=iris", "metrics=[matthews_corrcoef]", "monitor=val_matthews_corrcoef", "monitor_mode=max"]
    rows = ["seed=1", "seed=2 early_stopping.patience=2", "seed=3 schedule=plateau schedule.patience=0"]
    assert_equal_to_alone(here, *common, "optimizer.lr=0.03", "epochs=12", rows=rows)


NOISY = ["epochs=25", "optimizer.lr=0.1", "bs=8", "seed=1"]


@pytest.mark.parametrize(("monitor", "more"), [("val_accuracy", True), ("val_rank_loss", False), ("val_loss", False)])
def test_the_best_epoch_is_that_of_the_monitored_number(here, monkeypatch, monitor, more):
    (here / "ranks.py").write_text("def rank_loss(y, predicted):\n    return abs(y - predicted).mean()\n")
    monkeypatch.syspath_prepend(str(here))
    run = train(TABLE, *NOISY, "metrics=[ranks.rank_loss]", f"monitor={monitor}")
    column = run.metrics[monitor]
    best = int(column.argmax() if more else column.argmin()) + 1
    assert run.summary["best_epoch"] == best
    assert run.summary[f"best_{monitor}"] == column[best - 1]
    assert run.summary["monitor"] == monitor
    if more:
        assert best != int(run.metrics["val_loss"].argmin()) + 1
    sys.modules.pop("ranks")


def test_early_stopping_waits_for_the_monitored_number(here):
    run = train(TABLE, *NOISY, "epochs=60", "monitor=val_accuracy", "early_stopping.patience=4")
    accuracy = run.metrics["val_accuracy"].to_numpy()
    best = np.maximum.accumulate(accuracy)
    since = [epoch - int(np.argmax(best == best[epoch])) for epoch in range(len(best))]
    assert run.summary["epochs"] == len(best) == next(i for i, n in enumerate(since) if n == 4) + 1


def test_plateau_watches_the_monitored_number(here):
    run = train(
        TABLE, *NOISY, "monitor=val_accuracy", "schedule=plateau", "schedule.patience=1", "schedule.threshold=0"
    )
    best, bad, lr = -1.0, 0, 0.1
    for accuracy, rate in zip(run.metrics["val_accuracy"], run.metrics["lr"], strict=True):
        assert rate == pytest.approx(lr)
        bad = 0 if accuracy > best else bad + 1
        best = max(best, accuracy)
        if bad > 1:
            lr, bad = lr / 2, 0


def test_a_resumed_run_goes_on_monitoring(here):
    whole = train(TABLE, *NOISY, "monitor=val_accuracy", folder="whole")
    train(TABLE, *NOISY, "monitor=val_accuracy", "epochs=11", folder="part")
    resumed = nettrain.train(["resume=part", "epochs=25"])
    assert resumed.summary["best_epoch"] == whole.summary["best_epoch"]
    assert resumed.summary["best_val_accuracy"] == whole.summary["best_val_accuracy"]
    with pytest.raises(ConfigError, match="monitor"):
        nettrain.train(["resume=part", "monitor=val_loss"])


def test_the_leaderboard_and_successive_halving_go_by_the_monitored_number(command, tmp_path):
    options = ["data=iris", "monitor=val_accuracy", "optimizer.lr=1e-5,0.003,0.1", "model.hidden=[4]", "seed=0,1"]
    ended = command("-m", *options, "epochs=10", "hydra.sweep.dir=sweep", "tensorboard=false")
    assert ended.code == 0, ended.err
    runs = [nettrain.Run(tmp_path / "sweep" / str(i)) for i in range(6)]
    means = {}
    for run in runs:
        means.setdefault(run.config.optimizer.lr, []).append(run.summary["best_val_accuracy"])
    table = ended.out[ended.out.index("best_val_accuracy") :].splitlines()
    shown = [float(line.split()[0]) for line in table[1:4]]
    assert [np.mean(means[lr]) for lr in shown] == sorted(map(np.mean, means.values()), reverse=True)
    assert np.mean(means[shown[0]]) > np.mean(means[shown[-1]])
    baseline = np.mean([run.summary["baseline_accuracy"] for run in runs])
    assert f"test_accuracy {baseline:.4g}" in ended.out
    halved = command("-m", *options, "epochs=10", "hydra.launcher.reduction_factor=6", "hydra.launcher.min_epochs=4",
                     "hydra.sweep.dir=halved", "tensorboard=false")  # fmt: skip
    assert halved.code == 0, halved.err
    fourth = [run.metrics["val_accuracy"][:4].max() for run in runs]
    ran_on = [i for i in range(6) if nettrain.Run(tmp_path / "halved" / str(i)).summary["epochs"] == 10]
    assert [fourth[i] for i in ran_on] == [max(fourth)]


MISTAKES = {
    "metrics=[nope]": "metrics=sklearn.metrics.nope: sklearn.metrics has no 'nope'.",
    "metrics=[my_metrics.broken]": "metrics=my_metrics.broken: it cannot be computed: ValueError: no such thing.",
    "metrics=[no.such]": "metrics=no.such: there is no module 'no', neither in the working directory nor installed",
    "metrics=[confusion_matrix]": "metrics=confusion_matrix: it cannot be computed: TypeError: only",
    "metrics=[mean_squared_error]": "metrics=mean_squared_error: it measures numbers, and the target has 3 classes.",
    "metrics=[recall_score,sklearn.metrics.recall_score]": "there is a metric recall_score already.",
    "data=diabetes metrics=[roc_auc_score]": "metrics=roc_auc_score: it measures probabilities, and the head predicts "
    "numbers.",
    "monitor=val_acc": "monitor=val_acc: choose from val_loss, val_accuracy, val_balanced_accuracy, val_f1.",
    "monitor=accuracy": "monitor=accuracy: choose from val_loss",
    "monitor=test_accuracy": "monitor=test_accuracy: choose from val_loss",
    "data.val_fraction=0 monitor=val_accuracy": "monitor=val_accuracy: there are no validation rows; choose from "
    "train_loss, train_accuracy",
    "metrics=[my_metrics.profit] monitor=val_profit": "monitor=val_profit: its name does not say whether more or less "
    "of it is better; set monitor_mode=max or monitor_mode=min.",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_what_cannot_be_measured_or_monitored_is_one_sentence(own, options):
    with pytest.raises(ConfigError) as error:
        nettrain.train(["data=iris", "quiet=true", *options.split()], folder="run")
    assert MISTAKES[options] in str(error.value)


def test_a_metric_from_a_run_s_folder_is_imported_only_if_it_is_trusted(own, here, capsys, monkeypatch):
    train(TABLE, "epochs=1", "metrics=[my_metrics.profit]")
    untrusted = nettrain.Run("run")
    assert len(untrusted.predict(TABLE)) == N
    for does in (lambda: untrusted.evaluate(TABLE), lambda: nettrain.train(["resume=run", "epochs=2"])):
        with pytest.raises(
            ConfigError, match=r"it measures my_metrics.profit, code that belongs neither to nettrain nor"
        ):
            does()
    assert "profit" in nettrain.Run("run", trust=True).evaluate(TABLE)
    assert nettrain.train(["resume=run", "epochs=2", "trust=true"]).summary["epochs"] == 2
    monkeypatch.setattr(sys, "argv", ["nettrain-evaluate", "run=run", "data.path=t.csv", "trust=true"])
    tools.evaluate()
    assert "profit" in capsys.readouterr().out


def test_the_baseline_is_scikit_learn_s_dummy(here, capsys):
    run = train(TABLE, "epochs=1", "data.weight=w", "quiet=false", "metrics=[matthews_corrcoef,log_loss]")
    split = run.data.splits
    y = run.data.y
    dummy = DummyClassifier(strategy="prior").fit(X[split["train"]], y[split["train"]], WEIGHT[split["train"]])
    test = X[split["test"]], y[split["test"]]
    weights = {"sample_weight": WEIGHT[split["test"]]}
    predicted = dummy.predict(test[0])
    assert run.summary["baseline_accuracy"] == pytest.approx(dummy.score(*test, **weights))
    assert run.summary["baseline_f1"] == pytest.approx(
        sklearn.metrics.f1_score(test[1], predicted, average="macro", **weights)
    )
    loss = sklearn.metrics.log_loss(test[1], dummy.predict_proba(test[0]), labels=[0, 1, 2], **weights)
    assert run.summary["baseline_log_loss"] == pytest.approx(loss)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("accuracy"))
    assert line.split()[-1] == f"{run.summary['baseline_accuracy']:.4g}"


def test_the_baseline_of_numbers_is_the_mean_of_the_training_rows(here):
    y = 1000 + 100 * X[:, 0]
    run = train(TABLE.assign(y=y), "epochs=1", "data.test_fraction=0", "data.weight=w")
    rows = run.data.splits["val"]
    train_rows = run.data.splits["train"]
    dummy = DummyRegressor().fit(X[train_rows], y[train_rows], WEIGHT[train_rows])
    predicted, of_rows = dummy.predict(X[rows]), {"sample_weight": WEIGHT[rows]}
    assert run.summary["baseline_r2"] == pytest.approx(dummy.score(X[rows], y[rows], **of_rows))
    errors = {"mae": sklearn.metrics.mean_absolute_error, "rmse": sklearn.metrics.root_mean_squared_error}
    for name, function in errors.items():
        assert run.summary[f"baseline_{name}"] == pytest.approx(function(y[rows], predicted, **of_rows))


def test_each_class_has_its_precision_and_recall(here):
    run = train(TABLE, "epochs=5", "data.weight=w", "figures=always")
    rows = run.data.splits["test"]
    predicted = run.predict(TABLE.iloc[rows])["prediction"]
    expected = sklearn.metrics.precision_recall_fscore_support(
        CLASS[rows], predicted, labels=["a", "b", "c"], sample_weight=WEIGHT[rows], zero_division=np.nan
    )
    table = run.classes
    assert list(table) == ["class", "precision", "recall", "f1", "rows"]
    assert table["class"].tolist() == ["a", "b", "c"]
    for column, values in zip(("precision", "recall", "f1", "rows"), expected, strict=True):
        np.testing.assert_allclose(table[column], values)
    page = (here / "run" / "report.html").read_text()
    assert "precision" in page
    assert f"{table['recall'][1]:.4g}" in page
    with pytest.raises(ConfigError, match="there are no classes"):
        train(TABLE.assign(y=X[:, 0]), "epochs=1", folder="numbers").classes  # noqa: B018


def test_the_search_looks_for_more_of_what_is_better(command, tmp_path):
    pytest.importorskip("optuna")
    options = ["data=iris", "monitor=val_accuracy", "hydra/sweeper=tpe", "hydra.sweeper.trials=6", "tensorboard=false"]
    ended = command("-m", *options, "optimizer.lr=tag(log,interval(1e-5,0.1))", "epochs=5", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    import optuna

    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'sweep' / 'study.db'}")
    best = [json.loads((tmp_path / "sweep" / str(i) / "summary.json").read_text()) for i in range(6)]
    assert max(s["best_val_accuracy"] for s in best) == -study.best_value
