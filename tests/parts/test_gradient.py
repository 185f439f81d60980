"""The gradient of the mean loss, which our own networks compute by formulas, is the one that autograd finds."""

import itertools

import pytest
import torch

from nettrain.app.config import parts
from nettrain.objective import Objective
from nettrain.parts.models import MLP, Polynomial
from nettrain.parts.random import Noise
from nettrain.vector import flatten

HEADS = {name: part for name, part in parts("head").items() if name != "auto"}


def problem(head, rows=None, samples=9, features=4):
    generator = torch.Generator().manual_seed(0)
    shape = (samples,) if rows is None else (rows, samples)
    x = torch.randn(*shape, features, dtype=torch.float64, generator=generator)
    if head.tasks[0] == "regression":
        return x, torch.randn(shape, dtype=torch.float64, generator=generator)
    return x, torch.randint(head.outputs(3) if head.outputs(3) > 1 else 2, shape, generator=generator)


def check(model, head, x, y, noise=None, rows=None):
    objective = Objective(model.double(), head)
    w = flatten(model) if rows is None else torch.stack([flatten(model) + i / 10 for i in range(rows)])
    z, g = objective.gradient(w, x, y, noise)
    leaf = w.clone().requires_grad_()
    (expected,) = torch.autograd.grad(objective.value(leaf, x, y, noise).sum(), leaf)
    torch.testing.assert_close(g, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(z, objective.logits(w, x, noise), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("activation", "head"), [*itertools.product(parts("activation"), HEADS)])
def test_every_activation_with_every_head_one_run_and_three(activation, head):
    head = HEADS[head]()
    model = MLP(hidden=[6, 5], dropout=0.3).build(4, head.outputs(3), parts("activation")[activation]())
    keys = torch.tensor([11, 12, 13]).view(3, 1, 1)
    check(model, head, *problem(head))
    check(model, head, *problem(head), Noise(11, 0.3))
    check(model, head, *problem(head, 3), Noise(keys, 0.3), rows=3)
    check(model, head, *problem(head), rows=3)  # one batch for all rows


@pytest.mark.parametrize("activation", ["leaky_relu", "elu"])
def test_a_parameter_of_the_activation_is_in_the_gradient(activation):
    head = HEADS["softmax_ce"]()
    check(MLP(hidden=[6]).build(4, 3, parts("activation")[activation](alpha=0.5)), head, *problem(head))


def test_polynomials():
    head = HEADS["identity_mse"]()
    model = Polynomial(degree=3).build(1, 1, torch.tanh)
    check(model, head, *problem(head, features=1))
    check(model, head, *problem(head, 3, features=1), rows=3)


def test_an_activation_without_a_closed_form_is_differentiated_by_autograd():
    head = HEADS["softmax_ce"]()
    check(MLP(hidden=[6, 5]).build(4, 3, lambda x: x.sin() * x), head, *problem(head))
