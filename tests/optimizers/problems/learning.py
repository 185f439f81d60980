"""Likelihoods of data: regressions with one minimum, and small networks with several.

The data are scikit-learn's, or follow from a formula. The minima were found from many starts by SciPy's trust-exact and
by Newton's method without safeguards, to a gradient below 1e-10; the first two are those that scikit-learn's
`LogisticRegression` gives.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_iris
from torch import Tensor

from problems.function import TestFunction


def _data(load: Callable[..., tuple], standardize: bool = True) -> tuple[Tensor, Tensor]:
    x, y = (torch.as_tensor(part) for part in load(return_X_y=True))
    return (x - x.mean(0)) / x.std(0, correction=0) if standardize else x, y


def _logistic(x: Tensor, y: Tensor, decay: float) -> Callable[[Tensor], Tensor]:
    """The mean cross-entropy of sigma(x w + b), w and b in one vector, and decay / 2 |w|^2."""

    def loss(w: Tensor) -> Tensor:
        z = x @ w[:-1] + w[-1]
        return F.binary_cross_entropy_with_logits(z, y.to(z)) + decay / 2 * w[:-1].square().sum()

    return loss


def _softmax(x: Tensor, y: Tensor, decay: float) -> Callable[[Tensor], Tensor]:
    classes, inputs = int(y.max()) + 1, x.shape[1]

    def loss(w: Tensor) -> Tensor:
        weights, biases = w.split([classes * inputs, classes])
        z = x @ weights.view(classes, inputs).T + biases
        return F.cross_entropy(z, y) + decay / 2 * weights.square().sum()

    return loss


def _network(x: Tensor, hidden: int, outputs: int) -> tuple[Callable[[Tensor], Tensor], int]:
    """The outputs (n, outputs) of a network with one layer of tanh units as a function of w (P,), and P."""
    sizes = [hidden * x.shape[1], hidden, outputs * hidden, outputs]

    def z(w: Tensor) -> Tensor:
        w1, b1, w2, b2 = w.split(sizes)
        return torch.tanh(x @ w1.view(hidden, -1).T + b1) @ w2.view(outputs, -1).T + b2

    return z, sum(sizes)


def _start(size: int) -> list[float]:
    """Some numbers between -1/2 and 1/2."""
    return [(0.5 * torch.tensor(2.0 * i * i, dtype=torch.float64).sin()).item() for i in range(1, size + 1)]


CANCER, RAW, IRIS = _data(load_breast_cancer), _data(load_breast_cancer, False), _data(load_iris)
LINE = torch.linspace(-1, 1, 40, dtype=torch.float64).unsqueeze(1)


def poisson(w: Tensor) -> Tensor:
    """Counts y = round(exp(1 + 2 x)), whose logarithm of the mean is a polynomial in x."""
    x = LINE.squeeze(1)
    y, z = (1 + 2 * x).exp().round(), torch.stack([x**k for k in range(len(w))], 1) @ w
    return (z.exp() - y * z).mean()


def _regression_network() -> TestFunction:
    """One hidden layer on a sine, with weight decay."""
    z, size = _network(LINE, 4, 1)
    y = (3 * LINE).sin()
    return TestFunction(
        "network_sine",
        lambda w: (z(w) - y).square().mean() + 1e-4 * w.square().sum(),
        _start(size),
        [0.0027411030437, 0.0027666217],
    )


def _teacher() -> TestFunction:
    """A network that learns the outputs of another one: it can have no loss at all."""
    x = torch.stack(
        [(i + 1.0) * torch.linspace(-1, 1, 50, dtype=torch.float64).mul(2.3 + i).sin() for i in range(2)], 1
    )
    z, size = _network(x, 2, 1)
    y = z(2 * torch.tensor(_start(size), dtype=torch.float64).flip(0))
    return TestFunction(
        "network_teacher", lambda w: (z(w) - y).square().mean(), _start(size), [0, 3.48929e-5, 0.0014891139]
    )


def _classifier() -> TestFunction:
    """One hidden layer on the iris data, with weight decay."""
    (_, y), (z, size) = IRIS, _network(IRIS[0], 3, 3)
    return TestFunction(
        "network_iris",
        lambda w: F.cross_entropy(z(w), y) + 1e-3 / 2 * w.square().sum(),
        _start(size),
        [0.07180269034, 0.0736971948, 0.0742210461],
    )


LEARNING = [
    TestFunction("logistic_breast_cancer", _logistic(*CANCER, 1e-2), [0] * 31, [0.099591375485]),
    TestFunction("logistic_breast_cancer_raw", _logistic(*RAW, 1e-2), [0] * 31, [0.102997307213]),
    TestFunction("logistic_breast_cancer_weak", _logistic(*CANCER, 1e-5), [0] * 31, [0.031636907985]),
    TestFunction("softmax_iris", _softmax(*IRIS, 1e-2), [0] * 15, [0.243677226649]),
    TestFunction("softmax_iris_weak", _softmax(*IRIS, 1e-6), [0] * 15, [0.039940212335]),
    TestFunction("poisson", poisson, [0] * 4, [-5.637244572957]),
    _regression_network(),
    _teacher(),
    _classifier(),
]
