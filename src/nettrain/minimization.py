"""`minimize`: every optimizer of the library on a plain function of a vector, without a network or a config."""

import dataclasses
import difflib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.optimizers import cma_es, curvature, rules, search  # noqa: F401 -- so that all of them are known
from nettrain.optimizers.numerics import as_in
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.pieces import Pieces
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.solvers import CHANGE, DIVERGED, GRADIENT, REASONS, RUNNING, Solver, State
from nettrain.problem import Function, Problem
from nettrain.registry import check, check_range, named_parts, subclasses
from nettrain.vector import Layout

Optimizer = Rule | Solver


@dataclass
class Result:
    """What `minimize` found: `w` (P,) with its `value`, what it cost, and why it stopped.

    `converged` says that the optimizer's own test for a minimum held; a budget that ran out leaves it False.
    """

    w: Tensor
    value: float
    updates: int
    function_evaluations: int
    gradient_evaluations: int
    hessian_vector_products: int
    seconds: float
    status: str
    converged: bool


@dataclass
class Descent(Solver):
    """A gradient rule as a solver: the gradient at w is known, the rule moves w, the new gradient is evaluated."""

    rule: Rule = dataclasses.field(default_factory=rules.SGD)
    tolerance_grad: float = 1e-8

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = self.rule.init(w)
        state["converged"] = torch.tensor(RUNNING)
        self.renew(problem, state, w)
        return state

    def renew(self, problem: Problem, state: State, w: Tensor) -> None:
        state["value"], state["gradient"] = problem.gradient(w)

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        scalars = self.rule.all_coefficients(t, self.rule.lr)
        numbers = as_in(w.dtype, np.array(list(scalars.values()), dtype=float)).tolist()
        pieces = Pieces(Layout(("w",), (tuple(w.shape),)), [Factors()], self.rule.by_layer)
        of_rule = {name: tensor for name, tensor in state.items() if name not in ("value", "gradient", "converged")}
        pieces.step(self.rule, of_rule, w, state["gradient"], dict(zip(scalars, numbers, strict=True)))
        self.renew(problem, state, w)
        largest = state["gradient"].abs().max()
        finite = state["value"].isfinite() & largest.isfinite()
        reason = torch.where(finite, GRADIENT * (largest <= self.tolerance_grad), DIVERGED)
        state["converged"] = reason


def minimize(
    fun: Function,
    w0: Tensor,
    optimizer: str | Optimizer = "bfgs",
    *,
    max_updates: int = 1000,
    max_function_evaluations: int | None = None,
    max_gradient_evaluations: int | None = None,
    max_hessian_vector_products: int | None = None,
    max_seconds: float | None = None,
    seed: int = 0,
    **options: Any,
) -> Result:
    """Minimise `fun`, a function of w (P,) that gives a 0-d tensor, from w0.

    `optimizer` is a name (sgd, momentum, adagrad, rmsprop, adam, adamw, newton, bfgs, lbfgs, genetic, cma_es,
    hill_climb, simulated_annealing) or an instance such as `LBFGS(history_size=10)`; `options` are its fields. It
    stops where the optimizer's own test says so, or after the first update with which a budget `max_...` is used up.
    `w0` is not changed, and its dtype and device are those of the computation. Only search methods use `seed`.

    Raises `ConfigError` for an unknown optimizer or option, an option out of its range, a `w0` that is not a vector of
    floating point numbers, and a `fun` that gives no finite scalar at w0.
    """
    part = _optimizer(optimizer, options)
    if not isinstance(w0, Tensor) or w0.dim() != 1 or not w0.is_floating_point() or not len(w0):
        raise ConfigError("w0 must be a vector, a floating point tensor of shape (P,) with P >= 1.")
    check_range(part, w0.dtype)
    solver = Descent(rule=part) if isinstance(part, Rule) else part
    budgets = {
        "updates": max_updates,
        "function_evaluations": max_function_evaluations,
        "gradient_evaluations": max_gradient_evaluations,
        "hessian_vector_products": max_hessian_vector_products,
        "seconds": max_seconds,
    }
    start = time.perf_counter()
    problem, w, updates = Problem(fun), w0.detach().clone(), 0
    state = solver.init(problem, w, seed)
    if not torch.isfinite(state["value"]):
        raise ConfigError(f"fun(w0) is {float(state['value'])}: the start has to have a finite value.")

    def spent() -> dict[str, Any]:
        return {"updates": updates, **vars(problem.counts), "seconds": time.perf_counter() - start}

    reason, status = RUNNING, ""
    while not status:
        used_up = next((name for name, used in spent().items() if _reached(used, budgets[name])), None)
        if reason != RUNNING:
            status = REASONS[reason]
        elif used_up:
            status = f"stopped: max_{used_up}={budgets[used_up]} reached"
        else:
            updates += 1
            solver.step(problem, state, w, updates, seed)
            reason = int(state["converged"])
    return Result(w, float(state["value"]), **spent(), status=status, converged=reason in (GRADIENT, CHANGE))


def optimizers() -> dict[str, type[Optimizer]]:
    """Every optimizer by its name."""
    return named_parts(subclasses(Rule, Solver))


def _optimizer(optimizer: str | Optimizer, options: dict[str, Any]) -> Optimizer:
    """The optimizer with its options replaced and checked."""
    if isinstance(optimizer, str):
        known = optimizers()
        if optimizer not in known:
            raise ConfigError(f"optimizer={optimizer}: there is no such optimizer{_nearest(optimizer, list(known))}.")
        optimizer = known[optimizer]()
    fields = [f.name for f in dataclasses.fields(optimizer) if f.name != "name"]
    for key, value in options.items():
        if key not in fields:
            raise ConfigError(f"{key}={value}: {type(optimizer).__name__} has no such option{_nearest(key, fields)}.")
    optimizer = dataclasses.replace(optimizer, **options)
    check(optimizer)
    return optimizer


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}" if near else f"; there are {', '.join(sorted(known))}"


def _reached(used: float, budget: float | None) -> bool:
    return budget is not None and used >= budget
