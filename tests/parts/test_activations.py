"""Each activation against its closed form, autograd, finite differences and its documented values at kinks."""

import inspect
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from nettrain.parts import activations

X = torch.cat([torch.linspace(-6, 6, 1201, dtype=torch.float64) + 0.0037, torch.tensor([-30.0, 30.0])])  # no kink


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# name: value, derivative, and the derivative that is used at 0 where the mathematical one does not exist
CLOSED_FORMS = {
    "identity": (lambda x: x, np.ones_like, None),
    "step": (lambda x: np.where(x > 0, 1.0, 0.0), np.zeros_like, 0.0),
    "sigmoid": (logistic, lambda x: logistic(x) * (1 - logistic(x)), None),
    "relu": (lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0), 0.0),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1.0, 0.01), 0.01),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, None),
    "gelu": (lambda x: x * norm.cdf(x), lambda x: norm.cdf(x) + x * norm.pdf(x), None),
    "silu": (lambda x: x * logistic(x), lambda x: logistic(x) + x * logistic(x) * (1 - logistic(x)), None),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), lambda x: np.where(x > 0, 1.0, np.exp(x)), 1.0),
}
PUBLIC = list(activations.ACTIVATIONS)


def derivative(name: str, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    y = getattr(activations, name)(x)
    return torch.autograd.grad(y.sum(), x)[0] if y.requires_grad else torch.zeros_like(x)


def test_every_activation_has_a_closed_form_here() -> None:
    missing = sorted(set(PUBLIC) - CLOSED_FORMS.keys())
    assert not missing, f"write down value and derivative of {missing} in CLOSED_FORMS"
    assert not CLOSED_FORMS.keys() - set(PUBLIC)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_value_is_the_closed_form(name: str) -> None:
    value, _, _ = CLOSED_FORMS[name]
    actual = getattr(activations, name)(X)
    assert actual.dtype == X.dtype
    np.testing.assert_allclose(actual, value(X.numpy()), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_derivative_is_the_closed_form(name: str) -> None:
    _, slope, _ = CLOSED_FORMS[name]
    np.testing.assert_allclose(derivative(name, X), slope(X.numpy()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_derivative_agrees_with_finite_differences(name: str) -> None:
    function, h = getattr(activations, name), 1e-6
    difference = (function(X + h) - function(X - h)) / (2 * h)
    torch.testing.assert_close(derivative(name, X), difference, rtol=1e-7, atol=5e-9)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_value_and_derivative_at_zero_are_the_documented_ones(name: str) -> None:
    value, slope, used = CLOSED_FORMS[name]
    zero = torch.zeros(1, dtype=torch.float64)
    assert getattr(activations, name)(zero).item() == value(np.zeros(1)).item()
    assert derivative(name, zero).item() == (slope(np.zeros(1)).item() if used is None else used)


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_is_propagated_and_finite_inputs_stay_finite(name: str, dtype: torch.dtype) -> None:
    y = getattr(activations, name)(torch.tensor([math.nan, -1e4, 1e4], dtype=dtype))
    assert y.dtype == dtype
    assert y.isnan().tolist() == [True, False, False]
    assert y[1:].isfinite().all()
    assert derivative(name, torch.tensor([-1e4, 1e4], dtype=dtype)).isfinite().all()


@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_alpha_scales_the_negative_side_alone(name: str) -> None:
    function = getattr(activations, name)
    default = inspect.signature(function).parameters["alpha"].default
    scaled = function(X, alpha=0.3)
    torch.testing.assert_close(scaled[X > 0], function(X)[X > 0])
    torch.testing.assert_close(scaled[X < 0], function(X)[X < 0] * 0.3 / default)


def test_leaky_relu_and_elu_slopes_at_zero_are_alpha() -> None:
    for function in (activations.leaky_relu, activations.elu):
        zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        function(zero, alpha=0.3).sum().backward()
        assert zero.grad is not None
        assert zero.grad.item() == pytest.approx(0.3)


def test_tanh_is_two_sigmoid_of_2x_minus_one() -> None:
    torch.testing.assert_close(activations.tanh(X), 2 * activations.sigmoid(2 * X) - 1, rtol=1e-12, atol=1e-15)


def test_tanh_is_not_two_sigmoid_of_x_minus_one() -> None:
    slip = 2 * activations.sigmoid(X) - 1  # that is tanh(x / 2)
    assert (activations.tanh(X) - slip).abs().max() > 0.29
    torch.testing.assert_close(slip, torch.tanh(X / 2), rtol=1e-12, atol=1e-15)


def test_documented_minima_of_gelu_and_silu() -> None:
    for function, at, minimum in [(activations.gelu, -0.75, -0.17), (activations.silu, -1.28, -0.28)]:
        y = function(X)
        assert X[y.argmin()].item() == pytest.approx(at, abs=0.01)
        assert y.min().item() == pytest.approx(minimum, abs=0.005)


def test_gain_of_relu_is_he_and_of_identity_lecun() -> None:
    assert activations.gain(activations.relu) == pytest.approx(math.sqrt(2), rel=1e-6)
    assert activations.gain(activations.identity) == pytest.approx(1, rel=1e-6)
    assert activations.gain(activations.step) == pytest.approx(math.sqrt(2), rel=1e-3)  # its jump lies on the grid
    assert activations.gain(activations.leaky_relu) == pytest.approx(math.sqrt(2 / (1 + 0.01**2)), rel=1e-6)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_gain_keeps_the_mean_square_of_standard_normal_inputs(name: str) -> None:
    function = getattr(activations, name)
    z = torch.randn(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean_square = function(z).square().mean().item()
    assert activations.gain(function) ** 2 * mean_square == pytest.approx(1, abs=0.02)
