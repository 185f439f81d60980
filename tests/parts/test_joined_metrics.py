"""Metrics joined from those of parts are those of all samples at once, whatever the parts are."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from nettrain.data.target_scale import TargetScale
from nettrain.objective import Objective
from nettrain.parts import joined_metrics
from nettrain.parts.heads import Huber, IdentityMSE, Normal, Ordinal, Poisson, Quantile, SigmoidBCE, SoftmaxCE
from nettrain.parts.joined_metrics import JoinedMetrics

N = 1000
HEADS = [
    *((head, 0) for head in (IdentityMSE(), Huber(), Normal(), Poisson(), Quantile())),
    *((head, 2) for head in (SigmoidBCE(), SoftmaxCE(), Ordinal())),
    *((head, 4) for head in (SoftmaxCE(), Ordinal())),
]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Scores are ranked about 64 at a time."""
    monkeypatch.setattr(joined_metrics, "AT_ONCE", 64)
    monkeypatch.setattr(joined_metrics, "STRIDE", 8)


def samples(head, classes, rows=()):
    torch.manual_seed(0)
    z = (torch.randn(*rows, N, head.outputs(classes), dtype=torch.float64) * 8).round() / 8  # with ties
    y = torch.randint(classes, (N,)) if classes else torch.poisson(torch.full((N,), 3.0))
    weights = torch.rand(N).double()
    weights[torch.rand(N) < 0.3] = 0
    return z, y, weights


def joined(objective, z, y, weights, size) -> JoinedMetrics:
    made = JoinedMetrics()
    for i in range(0, N, size):
        part = slice(i, i + size)
        made = objective.joined(made, z[..., part, :], y[part], None if weights is None else weights[part])
    return made


def objective_of(head) -> Objective:
    mean, scale, power = (torch.tensor([value]).double() for value in (3.0, 2.5, 1.0))
    target = TargetScale(mean, scale, power, plain=True) if isinstance(head, IdentityMSE) else None
    return Objective(torch.nn.Linear(1, 1), head, target)


@pytest.mark.sample(5)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("rows", [(), (3,)], ids=["", "stack"])
@pytest.mark.parametrize("size", [1, 170, N])
@pytest.mark.parametrize(("head", "classes"), HEADS, ids=lambda value: getattr(value, "name", value))
def test_parts_give_the_metrics_of_the_whole(head, classes, size, rows, weighted):
    objective = objective_of(head)
    z, y, weights = samples(head, classes, rows)
    weights = weights if weighted else None
    whole, parts = objective.measure(z, y, weights), joined(objective, z, y, weights, size)
    assert parts.values.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts.values[name], value, rtol=1e-10, atol=1e-12)
    again = JoinedMetrics.of(parts.state).values  # as from a checkpoint
    assert all(torch.equal(again[name], value) for name, value in parts.values.items())


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
def test_auroc_is_scikit_learn_s(weighted):
    head = SigmoidBCE()
    z, y, weights = samples(head, 2)
    weights = weights if weighted else None
    area = joined(objective_of(head), z, y, weights, 170).values["auroc"]
    assert float(area) == pytest.approx(roc_auc_score(y, z[:, 0], sample_weight=weights), rel=1e-12)


def test_one_sample_that_is_not_finite_is_not_lost():
    for head, classes in HEADS:
        z, y, _ = samples(head, classes)
        z[500] = torch.nan
        values = joined(objective_of(head), z, y, None, 170).values
        assert all(value.isnan() for value in values.values()), (head, values)


def test_there_is_no_auroc_of_one_class():
    z, _, _ = samples(SigmoidBCE(), 2)
    values = joined(objective_of(SigmoidBCE()), z, torch.ones(N, dtype=torch.int64), None, 170).values
    assert np.isnan(float(values["auroc"]))
    assert float(values["accuracy"]) == float((z > 0).double().mean())
