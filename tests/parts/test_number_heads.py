"""Heads for numbers and for ordered classes, and the softened losses: each against an independent likelihood."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import sklearn.metrics
import torch
import torch.nn.functional as F
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.parts.heads import Head, Huber, Normal, Ordinal, Poisson, Quantile, SigmoidBCE, SoftmaxCE

K, N, C = 3, 40, 4
SOFT = [(0.1, 0.0), (0.0, 2.0), (0.2, 0.5)]
HEADS: list[Any] = [
    Huber(delta=0.7),
    Normal(),
    Poisson(),
    Quantile(levels=[0.1, 0.25, 0.5, 0.9]),
    Quantile(levels=[0.5]),
    Ordinal(),
    *(SoftmaxCE("", smoothing, focal) for smoothing, focal in SOFT),
    *(SigmoidBCE("", smoothing, focal) for smoothing, focal in SOFT),
]


def batch(head: Head, *rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Logits (*rows, N, outputs) and targets (*rows, N) of the kind that the head takes."""
    generator = torch.Generator().manual_seed(1)
    classes = 0 if not head.for_classes else 2 if isinstance(head, SigmoidBCE) else C
    z = 2 * torch.randn(*rows, N, head.outputs(classes), dtype=dtype, generator=generator)
    if classes or isinstance(head, Poisson):
        y = torch.randint(classes or 9, (*rows, N), generator=generator)
        return z, y if classes else y.to(dtype)
    return z, torch.randn(*rows, N, dtype=dtype, generator=generator)


def test_normal_is_scipy_s_with_a_spread_of_its_own() -> None:
    z, y = batch(Normal())
    scipys = scipy.stats.norm(z[:, 0].numpy(), np.exp(z[:, 1].numpy() / 2))
    np.testing.assert_allclose(Normal().loss(z, y), -scipys.logpdf(y.numpy()), rtol=1e-12)
    np.testing.assert_allclose(Normal().predict(z), scipys.mean())
    np.testing.assert_allclose(Normal().interval(z, 0.9), np.stack(scipys.interval(0.9), -1), rtol=1e-12)


def test_poisson_is_scipy_s_and_its_deviance_scikit_learn_s() -> None:
    z, y = batch(Poisson())
    mu = np.exp(z[:, 0].numpy())
    np.testing.assert_allclose(Poisson().loss(z, y), -scipy.stats.poisson(mu).logpmf(y.numpy()), rtol=1e-10)
    np.testing.assert_allclose(Poisson().predict(z), mu, rtol=1e-12)
    for level in (0.5, 0.9, 0.99):
        expected = np.stack(scipy.stats.poisson(mu).interval(level), -1)
        np.testing.assert_array_equal(Poisson().interval(z, level), expected)
    deviance = sklearn.metrics.mean_poisson_deviance(y.numpy(), mu)
    assert float(Poisson().metrics(z, y)["deviance"]) == pytest.approx(deviance, rel=1e-12)
    assert not Poisson().standardizes


def test_huber_is_torch_s_loss_and_a_proper_density() -> None:
    head = Huber(delta=0.7)
    z, y = batch(head)
    torch.testing.assert_close(head.loss(z, y).mean(), torch.nn.HuberLoss(delta=0.7)(z[:, 0], y))
    density = head.distribution(torch.zeros(1, 1, dtype=torch.float64))
    total, _ = scipy.integrate.quad(
        lambda v: float(density.log_prob(torch.tensor([v], dtype=torch.float64)).exp()), -60, 60, points=[0]
    )
    assert total == pytest.approx(1, abs=1e-9)
    constant = Head.loss(head, z, y) - head.loss(z, y)
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))


def test_quantiles_never_cross_and_lose_what_scikit_learn_s_pinball_loss_says() -> None:
    head = Quantile(levels=[0.1, 0.25, 0.5, 0.9])
    z, y = batch(head)
    q = head.quantiles(z)
    assert (q.diff(dim=-1) > 0).all()
    losses = [sklearn.metrics.mean_pinball_loss(y, q[:, k], alpha=t) for k, t in enumerate(head.levels)]
    assert float(head.loss(z, y).mean()) == pytest.approx(sum(losses), rel=1e-12)
    constant = Head.loss(head, z[:, :], y.unsqueeze(-1).expand_as(q)) - head.loss(z, y)
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))  # it is a likelihood but for a constant
    torch.testing.assert_close(head.predict(z), q[:, 2])
    assert set(head.predictions(z)) == {"prediction", *(f"quantile_{t:g}" for t in head.levels)}
    inside = ((q[:, 0] <= y) & (y <= q[:, 3])).double().mean()
    assert head.metrics(z, y)["coverage"] == inside


def test_the_constant_with_the_least_pinball_losses_is_the_quantiles_of_the_sample() -> None:
    head = Quantile(levels=[0.1, 0.5, 0.9])
    y = torch.randn(199, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=0.01)
    for _ in range(1500):
        z.grad = head.loss_gradient(z.detach().expand(199, 3), y).mean(0)
        optimizer.step()
    found = head.quantiles(z.detach()[None])[0]
    np.testing.assert_allclose(found, np.quantile(y, head.levels, method="inverted_cdf"), atol=0.05)


def test_an_interval_of_quantiles_is_that_of_their_levels() -> None:
    head = Quantile(levels=[0.1, 0.5, 0.9])
    z, _ = batch(head)
    torch.testing.assert_close(head.interval(z, 0.8), head.quantiles(z)[:, [0, 2]])
    with pytest.raises(ConfigError, match=r"interval=0.5: it lies between the levels 0.25,0.75, and the run has"):
        head.interval(z, 0.5)


@pytest.mark.parametrize("levels", [[0.9, 0.1], [0.5, 0.5], []])
def test_levels_ascend(levels: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"head.levels must ascend"):
        Quantile(levels=levels)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_ordinal_is_the_difference_of_cumulative_probabilities(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(N, classes - 1, dtype=torch.float64, generator=generator)
    y = torch.randint(classes, (N,), generator=generator)
    first, rest = z.numpy()[:, :1], z.numpy()[:, 1:]
    g = np.concatenate([first, first - np.cumsum(np.log1p(np.exp(rest)), axis=1)], axis=1)
    above = np.concatenate([np.ones((N, 1)), 1 / (1 + np.exp(-g)), np.zeros((N, 1))], axis=1)  # P(Y >= c)
    p = above[:, :-1] - above[:, 1:]
    np.testing.assert_allclose(Ordinal().mean(z), p, rtol=1e-9)
    np.testing.assert_allclose(Ordinal().loss(z, y), -np.log(p[range(N), y]), rtol=1e-9)
    measured = Ordinal().metrics(z, y)
    assert measured["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(y, p.argmax(-1)))


def test_ordinal_of_extreme_logits_is_finite() -> None:
    z = torch.tensor([[1e4, -1e4, 1e4], [-1e4, 1e4, 1e4]])
    for y in range(4):
        assert Ordinal().loss(z, torch.tensor([y, y])).isfinite().all()
        assert Ordinal().loss_gradient(z, torch.tensor([y, y])).isfinite().all()


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_is_torch_s(smoothing: float) -> None:
    z, y = batch(SoftmaxCE())
    expected = F.cross_entropy(z, y, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(SoftmaxCE(label_smoothing=smoothing).loss(z, y), expected)
    z, y = batch(SigmoidBCE())
    soft = y.double() * (1 - smoothing) + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(z[:, 0], soft, reduction="none")
    torch.testing.assert_close(SigmoidBCE(label_smoothing=smoothing).loss(z, y), expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_is_that_of_the_paper(gamma: float) -> None:
    z, y = batch(SoftmaxCE())
    p = torch.softmax(z, -1)[range(N), y]
    torch.testing.assert_close(SoftmaxCE(focal=gamma).loss(z, y), -((1 - p) ** gamma) * p.log())
    z, y = batch(SigmoidBCE())
    p = torch.where(y == 1, torch.sigmoid(z[:, 0]), torch.sigmoid(-z[:, 0]))
    torch.testing.assert_close(SigmoidBCE(focal=gamma).loss(z, y), -((1 - p) ** gamma) * p.log())


def test_focal_loss_of_what_is_certain_has_a_finite_derivative() -> None:
    z = torch.tensor([[200.0], [-200.0]])
    for gamma in (0.5, 1.0, 2.0):
        assert SigmoidBCE(focal=gamma).loss_gradient(z, torch.tensor([1, 1])).isfinite().all()


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_gradient_agrees_with_finite_differences_and_rows_are_single_runs(head: Any) -> None:
    z, y = batch(head, K)
    gradient = head.loss_gradient(z, y)
    difference, step = torch.zeros_like(z), 1e-6
    for k in range(z.shape[-1]):
        e = step * F.one_hot(torch.tensor(k), z.shape[-1])
        difference[..., k] = (head.loss(z + e, y) - head.loss(z - e, y)) / (2 * step)
    torch.testing.assert_close(gradient, difference, rtol=1e-5, atol=1e-7)
    for k in range(K):
        for name in ("loss", "loss_gradient", "metrics"):
            all_rows, row = getattr(head, name)(z, y), getattr(head, name)(z[k], y[k])
            for one, other in zip(*(v.values() if name == "metrics" else [v] for v in (all_rows, row)), strict=True):
                torch.testing.assert_close(one[k], other, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(head.loss(z, y, reduction="sum"), head.loss(z, y).sum())
    if head.for_classes:
        torch.testing.assert_close(head.mean(z).sum(-1), torch.ones(K, N, dtype=z.dtype))
    assert math.isfinite(head.loss(*batch(head, dtype=torch.float32)).sum())
