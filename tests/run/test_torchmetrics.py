"""Metrics of torchmetrics, beside scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

import nettrain
from nettrain.errors import ConfigError
from nettrain.parts.named_metrics import named_metric

torchmetrics = pytest.importorskip("torchmetrics")

QUIET = {"quiet": True, "figures": "never", "tensorboard": False}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("torchmetrics.AUROC", lambda y, p: sklearn_metrics.roc_auc_score(y, p, multi_class="ovr")),
        ("torchmetrics.functional.auroc", lambda y, p: sklearn_metrics.roc_auc_score(y, p, multi_class="ovr")),
        ("torchmetrics.MatthewsCorrCoef", lambda y, p: sklearn_metrics.matthews_corrcoef(y, p.argmax(1))),
        (
            "torchmetrics.classification.MulticlassF1Score",
            lambda y, p: sklearn_metrics.f1_score(y, p.argmax(1), average="macro"),
        ),
    ],
)
def test_of_classes_they_are_scikit_learn_s(path, theirs):
    p = RNG.dirichlet(np.ones(3), 50)
    y = RNG.integers(0, 3, 50)
    found = named_metric(path, 3)(y, p.argmax(1), p)
    assert found == pytest.approx(theirs(y, p), rel=1e-5)
    assert named_metric(path, 3)(y, p.argmax(1), p) == found


def test_of_two_classes_the_second_one_has_the_probability():
    p, y = RNG.random(50), RNG.integers(0, 2, 50)
    found = named_metric("torchmetrics.AveragePrecision", 2)(y, p > 0.5, np.stack([1 - p, p], 1))
    assert found == pytest.approx(sklearn_metrics.average_precision_score(y, p), rel=1e-5)


def test_of_numbers_they_are_scikit_learn_s():
    y, predicted = RNG.normal(size=(2, 40))
    for path in ("torchmetrics.MeanAbsoluteError", "torchmetrics.functional.mean_absolute_error"):
        assert named_metric(path, 0)(y, predicted, None) == pytest.approx(np.abs(y - predicted).mean())


def test_a_run_is_monitored_by_one_whose_direction_it_says_itself(here):
    config = {"data": "wine", "epochs": 6, "metrics": ["torchmetrics.AUROC"], "monitor": "val_AUROC", **QUIET}
    run = nettrain.train(config)
    values = run.metrics["val_AUROC"]
    assert run.summary["monitor_sign"] == -1
    assert run.summary["best_epoch"] == values.idxmax() + 1
    rows = run.data.splits["test"]
    p = run.head.mean(run.logits(run.data.x[rows]))
    theirs = torchmetrics.functional.auroc(p, torch.as_tensor(run.data.y[rows]), task="multiclass", num_classes=3)
    assert run.summary["test_AUROC"] == pytest.approx(float(theirs), rel=1e-5)
    assert nettrain.Run(run.folder).model is not None  # and needs no trust
    numbers = nettrain.train({"data": "diabetes", "epochs": 1, "metrics": ["torchmetrics.PearsonCorrCoef"], **QUIET})
    assert -1 <= numbers.summary["val_PearsonCorrCoef"] <= 1


MISTAKES = [
    ("iris", "torchmetrics.MeanSquaredError", "it measures numbers, and the target has 3 classes"),
    ("diabetes", "torchmetrics.Accuracy", "it measures classes, and the head predicts numbers"),
    (
        "diabetes",
        "torchmetrics.MinkowskiDistance",
        "MinkowskiDistance: it needs p; write {_target_: torchmetrics.MinkowskiDistance, p: <value>}",
    ),
    ("iris", "torchmetrics.Nothing", "metrics=torchmetrics.Nothing: torchmetrics has no 'Nothing'"),
]


@pytest.mark.parametrize(("data", "path", "sentence"), MISTAKES)
def test_what_does_not_fit_gets_a_sentence(here, data, path, sentence):
    with pytest.raises(ConfigError, match=sentence):
        nettrain.train({"data": data, "metrics": [path], **QUIET})


def test_a_function_whose_direction_nobody_says(here):
    config = {"data": "iris", "metrics": ["torchmetrics.functional.matthews_corrcoef"], **QUIET}
    with pytest.raises(ConfigError, match="whether more or less of it is better; set monitor_mode=max"):
        nettrain.train({**config, "monitor": "val_matthews_corrcoef"})
