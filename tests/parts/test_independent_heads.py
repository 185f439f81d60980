"""A head of several targets is the distribution of independent ones; its metrics are scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs
from torch import distributions

from nettrain.objective import Objective
from nettrain.parts.heads import (
    Huber,
    IdentityMSE,
    Independent,
    Normal,
    Ordinal,
    Poisson,
    Quantile,
    SigmoidBCE,
    SoftmaxCE,
)
from nettrain.parts.models import Linear
from nettrain.testing import check_head

NAMES = ["a", "b", "c"]
N, M = 40, 3


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def labels(seed=1):
    return (drawn(N, M, seed=seed) > 0).long()


def test_labels_are_independent_bernoullis():
    z, y = drawn(N, M), labels()
    family = distributions.Independent(distributions.Bernoulli(logits=z), 1)
    head = Independent(SigmoidBCE(), NAMES)
    torch.testing.assert_close(head.loss(z, y), -family.log_prob(y.double()), rtol=1e-12, atol=0)
    torch.testing.assert_close(head.mean(z), family.mean)
    torch.testing.assert_close(head.loss(z, y), torch.nn.BCEWithLogitsLoss(reduction="none")(z, y.double()).sum(-1))
    assert head.distribution(z).batch_shape == (N,)
    assert head.distribution(z).event_shape == (M,)


def test_numbers_are_independent_normals():
    z, y = drawn(N, 2 * M), drawn(N, M, seed=1)
    mu, log_variance = z[:, 0::2], z[:, 1::2]
    family = distributions.Independent(distributions.Normal(mu, (log_variance / 2).exp()), 1)
    torch.testing.assert_close(Independent(Normal(), NAMES).loss(z, y), -family.log_prob(y))
    squared = torch.nn.MSELoss(reduction="none")(z[:, :M], y).sum(-1)
    torch.testing.assert_close(Independent(IdentityMSE(), NAMES).loss(z[:, :M], y), squared)


@pytest.mark.parametrize("head", [IdentityMSE(), Huber(), Normal(), Poisson(), Quantile()], ids=lambda head: head.name)
def test_any_head_of_numbers_keeps_its_promises_for_several(head):
    check_head(Independent(head, NAMES))


@pytest.mark.parametrize(
    "head",
    [SigmoidBCE(), SigmoidBCE(label_smoothing=0.1, focal=2.0), SoftmaxCE(), Ordinal()],
    ids=["sigmoid_bce", "focal", "softmax_ce", "ordinal"],
)
def test_any_head_of_two_classes_keeps_its_promises_for_labels(head):
    check_head(Independent(head, NAMES), classes=2)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_metrics_of_labels_are_those_of_scikit_learn(weighted):
    z, y = drawn(N, M), labels()
    rows = drawn(N, seed=5).abs() if weighted else None
    weights = None if rows is None else rows[:, None].expand(N, M)
    measured = Independent(SigmoidBCE(), NAMES).metrics(z, y, weights=weights)
    true, taken, score = y.numpy(), (z > 0).long().numpy(), z.numpy()
    of_rows = None if rows is None else rows.numpy()
    expected = {
        "exact_match": theirs.accuracy_score(true, taken, sample_weight=of_rows),
        "accuracy": 1 - theirs.hamming_loss(true, taken, sample_weight=of_rows),
        "f1": theirs.f1_score(true, taken, average="macro", sample_weight=of_rows),
        "micro_f1": theirs.f1_score(true, taken, average="micro", sample_weight=of_rows),
        "auroc": theirs.roc_auc_score(true, score, average="macro", sample_weight=of_rows),
    }
    for j, name in enumerate(NAMES):
        pair = true[:, j], taken[:, j]
        expected[f"accuracy_{name}"] = theirs.accuracy_score(*pair, sample_weight=of_rows)
        expected[f"balanced_accuracy_{name}"] = theirs.balanced_accuracy_score(*pair, sample_weight=of_rows)
        expected[f"f1_{name}"] = theirs.f1_score(*pair, sample_weight=of_rows)
        expected[f"auroc_{name}"] = theirs.roc_auc_score(true[:, j], score[:, j], sample_weight=of_rows)
    for name, value in expected.items():
        assert float(measured[name]) == pytest.approx(value), name
    assert set(measured) - set(expected) == {"balanced_accuracy"}


@pytest.mark.parametrize("weighted", [False, True])
def test_the_metrics_of_numbers_are_those_of_scikit_learn(weighted):
    z, y = drawn(N, M), drawn(N, M, seed=1)
    scale, mean = torch.tensor([1.0, 10.0, 100.0]), torch.tensor([0.0, -5.0, 3.0])
    rows = drawn(N, seed=5).abs() if weighted else None
    weights = None if rows is None else rows[:, None].expand(N, M)
    measured = Independent(IdentityMSE(), NAMES).metrics(z, y, lambda values: values * scale + mean, weights)
    true, predicted = (y * scale + mean).numpy(), (z * scale + mean).numpy()
    functions = {
        "mse": theirs.mean_squared_error,
        "rmse": theirs.root_mean_squared_error,
        "mae": theirs.mean_absolute_error,
        "r2": theirs.r2_score,
    }
    for name, function in functions.items():
        options = {"sample_weight": None if rows is None else rows.numpy()}
        assert float(measured[name]) == pytest.approx(function(true, predicted, **options))
        of_each = function(true, predicted, multioutput="raw_values", **options)
        assert [float(measured[f"{name}_{target}"]) for target in NAMES] == pytest.approx(of_each.tolist())


def test_a_mean_leaves_out_labels_that_have_no_such_metric():
    z, y = drawn(N, M), labels()
    y[:, 1] = 0
    measured = Independent(SigmoidBCE(), NAMES).metrics(z, y)
    assert np.isnan(float(measured["auroc_b"]))
    assert float(measured["auroc"]) == pytest.approx(float(measured["auroc_a"] + measured["auroc_c"]) / 2)


def test_of_many_targets_there_are_the_means_alone():
    names = [f"t{i}" for i in range(21)]
    assert list(Independent(IdentityMSE(), names).metrics(drawn(5, 21), drawn(5, 21, seed=1))) == [
        *("mse", "rmse", "mae", "r2"),
    ]


def test_names_of_columns_are_told_apart():
    head = Independent(IdentityMSE(), ["a b", "a,b", "a_b"])
    names = [name.removeprefix("mse_") for name in head.metric_names(0) if name.startswith("mse_")]
    assert names == ["a_b", "a_b__2", "a_b__3"]


def test_labels_that_weigh_differently_have_the_gradient_of_the_weighted_sum():
    model = torch.nn.Linear(2, M, dtype=torch.float64)
    x, y, weights = drawn(N, 2), labels(), drawn(N, M, seed=3).abs()
    objective = Objective(model, Independent(SigmoidBCE(), NAMES))
    w = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    _, g = objective.gradient(w, x, y, weights=weights)
    loss = torch.nn.BCEWithLogitsLoss(reduction="none")(model(x), y.double()) * weights
    expected = torch.autograd.grad(loss.sum() / N, list(model.parameters()))
    torch.testing.assert_close(g, torch.cat([part.flatten() for part in expected]))
    by_formulas = Objective(Linear().build(2, M, torch.nn.Identity()).double(), objective.head)
    _, g_by_formulas = by_formulas.gradient(w, x, y, weights=weights)
    torch.testing.assert_close(g_by_formulas, g)
    value = objective.value(w, x, y, weights=weights)
    torch.testing.assert_close(value, (loss.sum() / N).detach())
    per_label = (loss.sum(0) / weights.sum(0)).sum()
    torch.testing.assert_close(objective.measure(model(x).detach(), y, weights)["loss"], per_label.detach())
