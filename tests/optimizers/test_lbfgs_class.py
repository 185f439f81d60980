"""`nettrain.optim.LBFGS` beside `torch.optim.LBFGS`: the same iterates, the same state."""

import copy

import pytest
import torch
from problems import MGH

from nettrain.optim.lbfgs import LBFGS
from nettrain.optimizers.curvature import LBFGS as Solver
from nettrain.problem import Problem

ARGUMENTS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7},
    {"line_search_fn": "strong_wolfe", "lr": 0.3, "max_iter": 4, "max_eval": 9},
    {"lr": 0.01, "max_iter": 5, "history_size": 2},
    {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-3},
    {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-3},
    {"line_search_fn": "strong_wolfe", "max_iter": 1},
]


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()


X = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = X.sin().sum(1, keepdim=True)


def train(model, optimizer, steps):
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = (model(X) - Y).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        losses.append(optimizer.step(closure).item())
    return losses


def assert_equal(a, b):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_the_iterates_are_torchs(arguments):
    ours, theirs = network(), network()
    a, b = LBFGS(ours.parameters(), **arguments), torch.optim.LBFGS(theirs.parameters(), **arguments)
    for _ in range(6):
        assert train(ours, a, 1) == train(theirs, b, 1)
        assert_equal(ours, theirs)
    mine, other = (o.state[o.param_groups[0]["params"][0]] for o in (a, b))
    assert (mine["n_iter"], mine["func_evals"]) == (other["n_iter"], other["func_evals"])


@pytest.mark.parametrize("problem", MGH, ids=lambda p: p.name)
@pytest.mark.parametrize("history_size", [2, 100])
def test_the_solver_takes_torchs_iterates_as_long_as_both_learn_from_every_update(problem, history_size):
    w = torch.tensor(problem.start, dtype=torch.float64)
    x = w.clone().requires_grad_()
    f, solver = Problem(problem.fun), Solver(history_size=history_size)
    state = solver.init(f, w, 0)
    theirs = torch.optim.LBFGS(
        [x],
        max_iter=1,
        max_eval=26,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=history_size,
        line_search_fn="strong_wolfe",
    )

    def closure():
        theirs.zero_grad()
        loss = problem.fun(x)
        loss.backward()
        return loss

    for t in range(1, 26):
        before, gradient = w.clone(), state["gradient"]
        solver.step(f, state, w, t, 0)
        theirs.step(closure)
        rounded = problem.name == "jennrich_sampson" and torch.allclose(w, x.detach(), rtol=1e-10)  # after ten trials
        assert torch.equal(w, x.detach()) or rounded, t
        if state["converged"] or state["fresh"] or (w - before).dot(state["gradient"] - gradient) <= 1e-10:
            assert t > 1
            break


@pytest.mark.parametrize("names", [("ours", "theirs"), ("theirs", "ours"), ("ours", "ours")])
def test_each_goes_on_from_the_others_state(names):
    classes = {"ours": LBFGS, "theirs": torch.optim.LBFGS}
    first, second = (classes[name] for name in names)
    arguments = {"line_search_fn": "strong_wolfe", "max_iter": 3, "history_size": 4}
    whole, parts = network(), network()
    train(whole, first(whole.parameters(), **arguments), 8)

    before = first(parts.parameters(), **arguments)
    train(parts, before, 4)
    after = second(parts.parameters(), lr=7.0)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    train(parts, after, 4)
    assert_equal(whole, parts)


def test_parameters_without_gradient_stay():
    a, b = torch.ones(3, requires_grad=True), torch.ones(2, 2, requires_grad=True)
    optimizer = LBFGS([a, b], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (a - 4).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(a.detach(), torch.full((3,), 4.0))
    assert torch.equal(b.detach(), torch.ones(2, 2))


def test_a_loss_that_is_not_finite_is_stepped_back_from():
    w = torch.tensor([4.0], dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([w], lr=100.0, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = w.sqrt().sum()  # NaN below 0
        loss.backward()
        return loss

    optimizer.step(closure)
    assert w.isfinite().all()
    assert 0 <= w.item() < 4


def test_mistakes_are_refused():
    p = [torch.zeros(1, requires_grad=True)]
    for arguments in ({"lr": -1.0}, {"line_search_fn": "armijo"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            LBFGS(p, **arguments)
    with pytest.raises(ValueError, match="group"):
        LBFGS([{"params": p}, {"params": [torch.zeros(2, requires_grad=True)]}])
