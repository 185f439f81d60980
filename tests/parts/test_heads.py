"""Each head against the distribution that it stands for."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Normal

from nettrain.parts.heads import IdentityMSE, SigmoidBCE, SoftmaxCE

K, N, C = 3, 40, 4
HEADS = [SigmoidBCE(), SoftmaxCE(), IdentityMSE()]
DTYPES = [torch.float32, torch.float64]


def batch(head: Any, rows: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Logits (*rows, N, outputs) and targets (*rows, N) of the kind that the head takes."""
    generator = torch.Generator().manual_seed(1)
    classes = {"sigmoid_bce": 2, "softmax_ce": C, "identity_mse": 0}[head.name]
    z = 2 * torch.randn(*rows, N, head.outputs(classes), dtype=dtype, generator=generator)
    if classes:
        return z, torch.randint(classes, (*rows, N), generator=generator)
    return z, torch.randn(*rows, N, dtype=dtype, generator=generator)


def test_outputs_per_sample() -> None:
    assert [SigmoidBCE().outputs(2), SoftmaxCE().outputs(2), SoftmaxCE().outputs(7)] == [1, 2, 7]
    assert IdentityMSE().outputs(0) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_bce_is_the_negative_log_likelihood_of_a_bernoulli(dtype: torch.dtype) -> None:
    z, y = batch(SigmoidBCE(), dtype=dtype)
    y_family = Bernoulli(logits=z.squeeze(-1))
    torch.testing.assert_close(SigmoidBCE().loss(z, y), -y_family.log_prob(y.to(dtype)))
    torch.testing.assert_close(SigmoidBCE().mean(z)[..., 1], y_family.mean)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_ce_is_the_negative_log_likelihood_of_a_categorical(dtype: torch.dtype) -> None:
    z, y = batch(SoftmaxCE(), dtype=dtype)
    torch.testing.assert_close(SoftmaxCE().loss(z, y), -Categorical(logits=z).log_prob(y))
    torch.testing.assert_close(SoftmaxCE().mean(z), Categorical(logits=z).probs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_error_is_twice_the_negative_log_likelihood_of_a_normal_without_its_constant(
    dtype: torch.dtype,
) -> None:
    z, y = batch(IdentityMSE(), dtype=dtype)
    negative_log_likelihood = -Normal(z.squeeze(-1), 1).log_prob(y)
    expected = 2 * (negative_log_likelihood - math.log(2 * math.pi) / 2)
    torch.testing.assert_close(IdentityMSE().loss(z, y), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(IdentityMSE().loss(z, y).mean(), torch.nn.MSELoss()(z.squeeze(-1), y))


def test_binary_softmax_is_the_sigmoid_of_the_difference() -> None:
    z, y = batch(SigmoidBCE())
    two = torch.cat([torch.zeros_like(z), z], dim=-1)
    torch.testing.assert_close(SoftmaxCE().loss(two, y), SigmoidBCE().loss(z, y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [100.0, 1e4])
def test_extreme_logits_give_exact_losses_and_finite_gradients(dtype: torch.dtype, size: float) -> None:
    right_wrong = torch.tensor([0.0, size], dtype=dtype)
    z = torch.tensor([[size], [-size]], dtype=dtype, requires_grad=True)
    loss = SigmoidBCE().loss(z, torch.tensor([1, 1]))
    torch.testing.assert_close(loss, right_wrong, rtol=1e-6, atol=1e-30)
    torch.testing.assert_close(torch.autograd.grad(loss.sum(), z)[0].squeeze(-1), torch.tensor([0, -1]).to(dtype))

    z = torch.tensor([[size, -size, 0], [-size, size, 0]], dtype=dtype, requires_grad=True)
    loss = SoftmaxCE().loss(z, torch.tensor([0, 2]))
    torch.testing.assert_close(loss, right_wrong, rtol=1e-6, atol=1e-30)
    expected = torch.tensor([[0.0, 0, 0], [0, 1, -1]], dtype=dtype)
    torch.testing.assert_close(torch.autograd.grad(loss.sum(), z)[0], expected)

    z = torch.tensor([[size], [-size]], dtype=dtype, requires_grad=True)
    loss = IdentityMSE().loss(z, torch.tensor([size, size], dtype=dtype))
    torch.testing.assert_close(loss, torch.tensor([0, 4 * size**2], dtype=dtype))
    assert torch.autograd.grad(loss.sum(), z)[0].isfinite().all()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_gradient_agrees_with_finite_differences(head: Any) -> None:
    z, y = batch(head)
    assert torch.autograd.gradcheck(lambda z: head.loss(z, y), z.requires_grad_())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_rows_are_single_runs(head: Any) -> None:
    z, y = batch(head, rows=(K,))
    single = [(head.loss(z[k], y[k]), head.mean(z[k]), head.predict(z[k])) for k in range(K)]
    for stacked, parts in zip((head.loss(z, y), head.mean(z), head.predict(z)), zip(*single, strict=True), strict=True):
        torch.testing.assert_close(stacked, torch.stack(parts), rtol=1e-14, atol=1e-14)
    measured = head.metrics(z, y)
    for k in range(K):
        for name, value in head.metrics(z[k], y[k]).items():
            assert measured[name].shape == (K,)
            torch.testing.assert_close(measured[name][k], value, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_prediction_is_the_mode_or_the_mean(head: Any) -> None:
    z, _ = batch(head, rows=(K,))
    mean, predicted = head.mean(z), head.predict(z)
    assert predicted.shape == (K, N)
    if head.name == "identity_mse":
        torch.testing.assert_close(predicted, mean)
    else:
        torch.testing.assert_close(mean.sum(-1), torch.ones(K, N, dtype=mean.dtype))
        assert torch.equal(predicted, mean.argmax(-1))


def test_a_probability_of_exactly_one_half_predicts_the_first_class() -> None:
    assert SigmoidBCE().predict(torch.zeros(1, 1)).tolist() == [0]
    assert SoftmaxCE().predict(torch.zeros(1, 3)).tolist() == [0]


def test_names_of_the_metrics() -> None:
    names = {head.name: set(head.metrics(*batch(head))) for head in HEADS}
    assert names == {
        "sigmoid_bce": {"accuracy", "balanced_accuracy", "f1", "auroc"},
        "softmax_ce": {"accuracy", "balanced_accuracy", "f1"},
        "identity_mse": {"mse", "rmse", "mae", "r2"},
    }
