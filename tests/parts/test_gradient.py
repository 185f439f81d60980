"""The gradient of the mean loss, which our own networks compute by formulas, is the one that autograd finds."""

import itertools

import pytest
import torch

from nettrain.config.build import build_activation
from nettrain.config.schema import parts
from nettrain.objective import Objective
from nettrain.parts.models import MLP, Polynomial
from nettrain.random import Noise
from nettrain.vector import flatten

HEADS = {name: part for name, part in parts("head").items() if name not in ("auto", "loss")}  # loss names another


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
    model = MLP(hidden=[6, 5], dropout=0.3).build(
        4, head.outputs(3), build_activation(parts("activation")[activation]())
    )
    keys = torch.tensor([11, 12, 13]).view(3, 1, 1)
    check(model, head, *problem(head))
    check(model, head, *problem(head), Noise(11, 0.3))
    check(model, head, *problem(head, 3), Noise(keys, 0.3), rows=3)
    check(model, head, *problem(head), rows=3)  # one batch for all rows


@pytest.mark.parametrize("activation", ["leaky_relu", "elu"])
def test_a_parameter_of_the_activation_is_in_the_gradient(activation):
    head = HEADS["softmax_ce"]()
    check(
        MLP(hidden=[6]).build(4, 3, build_activation(parts("activation")[activation](alpha=0.5))), head, *problem(head)
    )


def test_polynomials():
    head = HEADS["identity_mse"]()
    model = Polynomial(degree=3).build(1, 1, torch.tanh)
    check(model, head, *problem(head, features=1))
    check(model, head, *problem(head, 3, features=1), rows=3)


def test_an_activation_without_a_closed_form_is_differentiated_by_autograd():
    head = HEADS["softmax_ce"]()
    check(MLP(hidden=[6, 5]).build(4, 3, lambda x: x.sin() * x), head, *problem(head))


@pytest.mark.parametrize("rows", [None, 3])
@pytest.mark.parametrize("parts_", [2, 4, 9, 20])
def test_a_batch_in_parts_has_the_gradient_of_the_whole_dropout_included(rows, parts_):
    head = HEADS["softmax_ce"]()
    model = MLP(hidden=[6, 5], dropout=0.3).build(4, 3, torch.tanh).double()
    w = torch.stack([flatten(model) + i / 10 for i in range(3)]) if rows else flatten(model)
    noise = Noise(torch.tensor([11, 12, 13]).view(3, 1, 1) if rows else 11, 0.3)
    x, y = problem(head, rows)  # nine samples
    z, g = Objective(model, head).gradient(w, x, y, noise)
    in_parts = Objective(model, head, accumulate=parts_)
    for own, whole in zip(in_parts.gradient(w, x, y, noise), (z, g), strict=True):
        torch.testing.assert_close(own, whole, rtol=1e-12, atol=1e-14)


def test_a_foreign_module_in_parts():
    model, head = (
        torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)),
        HEADS["softmax_ce"](),
    )
    w, (x, y) = flatten(model.double()), problem(head)
    _, whole = Objective(model, head).gradient(w, x, y, Noise(1, 0.0))
    _, parts_ = Objective(model, head, accumulate=4).gradient(w, x, y, Noise(1, 0.0))
    torch.testing.assert_close(parts_, whole, rtol=1e-12, atol=1e-14)


def test_bf16_computes_the_passes_in_bfloat16_and_all_else_in_float32():
    model, head = MLP(hidden=[64]).build(4, 3, torch.tanh), HEADS["softmax_ce"]()
    w, (x, y) = flatten(model), problem(head)
    x = x.float()
    z, g = Objective(model, head).gradient(w, x, y)
    z16, g16 = Objective(model, head, autocast=torch.bfloat16).gradient(w, x, y)
    assert z16.dtype == g16.dtype == torch.float32
    assert torch.equal(z16, z16.bfloat16().float())
    assert not torch.equal(z, z16)
    torch.testing.assert_close(g16, g, rtol=0.05, atol=0.02 * float(g.abs().max()))
