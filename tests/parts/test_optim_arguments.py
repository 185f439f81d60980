"""What the drop-in optimizers take, return and refuse: closures, gradients, hyperparameters, hooks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nettrain import optim

each_class = pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW"])


@each_class
def test_a_closure_is_called_once_with_gradients_on_and_its_loss_is_returned(name: str) -> None:
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer, losses = getattr(optim, name)([w], lr=0.1), []

    def closure() -> Tensor:
        optimizer.zero_grad()
        losses.append(w.square().sum())
        losses[-1].backward()
        return losses[-1]

    with torch.no_grad():
        returned = optimizer.step(closure)
    assert len(losses) == 1
    assert returned is losses[0]
    assert returned.item() == 5.0  # the loss before the step
    assert (w < torch.tensor([1.0, 2.0])).all()
    assert optimizer.step() is None


@each_class
def test_a_step_leaves_the_gradient_and_the_graph_alone(name: str) -> None:
    w = nn.Parameter(torch.ones(3))
    w.grad = torch.arange(3.0)
    gradient = w.grad
    optimizer = getattr(optim, name)([w], weight_decay=0.1, maximize=True)
    optimizer.step()
    assert w.grad is gradient
    assert torch.equal(gradient, torch.arange(3.0))
    assert w.requires_grad
    assert w.is_leaf
    optimizer.zero_grad()
    assert w.grad is None


@each_class
@pytest.mark.parametrize(
    "options",
    [{"lr": -1.0}, {"lr": float("nan")}, {"lr": float("inf")}, {"weight_decay": -0.1}, {"lr": torch.tensor(0.1)}],
    ids=str,
)
def test_impossible_arguments_of_every_class_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        getattr(optim, name)([nn.Parameter(torch.ones(1))], **options)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("SGD", {"momentum": -0.5}, "momentum"),
        ("SGD", {"nesterov": True}, "nesterov"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        ("Adagrad", {"lr_decay": -1.0}, "lr_decay"),
        ("Adagrad", {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
        ("Adagrad", {"eps": -1.0}, "eps"),
        ("RMSprop", {"alpha": -0.1}, "alpha"),
        ("RMSprop", {"momentum": -0.1}, "momentum"),
        ("RMSprop", {"eps": -0.1}, "eps"),
        ("Adam", {"betas": (1.0, 0.9)}, "beta1"),
        ("AdamW", {"betas": (0.9, -0.1)}, "beta2"),
        ("Adam", {"eps": -1.0}, "eps"),
    ],
)
def test_impossible_arguments_of_one_class_are_refused(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        getattr(optim, name)([nn.Parameter(torch.ones(1))], **options)


def test_a_refused_group_is_not_added() -> None:
    optimizer = optim.Adam([nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": -1.0})
    assert len(optimizer.param_groups) == 1


@each_class
def test_sparse_and_complex_gradients_are_refused(name: str) -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        getattr(optim, name)(embedding.parameters()).step()
    w = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    w.abs().sum().backward()
    with pytest.raises(RuntimeError, match="complex"):
        getattr(optim, name)([w]).step()


def test_adam_without_bias_correction_and_eps_is_the_plain_rule() -> None:
    w = nn.Parameter(torch.zeros(2))
    w.grad = torch.tensor([3.0, 0.0])
    optim.Adam([w], lr=0.1, eps=0, bias_correction=False).step()
    torch.testing.assert_close(w.detach(), torch.tensor([-0.31622776, 0.0]))  # 0 / 0 counts as 0


@each_class
def test_hooks_and_schedulers_find_an_ordinary_optimizer(name: str) -> None:
    w = nn.Parameter(torch.ones(1))
    optimizer, called = getattr(optim, name)([w], lr=0.1), []
    assert isinstance(optimizer, Optimizer)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    optimizer.step()
    assert called == ["before", "after"]
    assert "lr: 0.1" in repr(optimizer)
