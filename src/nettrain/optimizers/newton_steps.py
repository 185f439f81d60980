"""One update of Newton's method that is safe far from the minimum: the model is trusted within a region alone.

The model of the objective around w is m(d) = f + g.d + d.Hd / 2. The gain ratio of an update d is
rho = (f(w) - f(w + d)) / (m(0) - m(d)): near 1 where the model is right, and negative where f rose.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nettrain.optimizers.solvers import State, read, rounding
from nettrain.optimizers.trust_region import cholesky, exact_step, solve, steihaug
from nettrain.problem import Problem

FLOOR = 1e-4  # of the scale of a parameter, as a part of the largest one
TRIALS = 60  # of one update, each within a smaller region


class Step(NamedTuple):
    """The best d within the region: with H d, its length in the norm of the region, and whether it lies inside."""

    d: Tensor
    product: Tensor
    length: float
    inside: bool


Propose = Callable[[float], Step]


class Trial(NamedTuple):
    """What came of an update: whether w moved, the gain ratio, and the expected gain m(0) - m(d)."""

    moved: bool
    ratio: float
    expected: float
    negligible: bool  # no more than the rounding of f was expected and gained, so that the ratio says nothing


def trust_region_update(problem: Problem, state: State, w: Tensor, propose: Propose) -> float | None:
    """Nocedal and Wright (2006), algorithm 4.1: `propose` minimises m within a radius, state["radius"] at first.

    Changes w, state["value"], state["gradient"] and state["radius"] in place, and only where f does not rise. Returns
    the gain that the model expects of the full Newton step, infinite where it has no minimum or that is out of reach,
    and None where no update could be found.
    """
    radius = float(state["radius"])
    for _ in range(TRIALS):
        step = propose(radius)
        if not (step.length > 0 and math.isfinite(step.length)):
            return None
        if not step.inside:
            radius = min(radius, step.length)
        trial = _try(problem, state, w, step)
        if trial.ratio < 0.25:
            radius = 0.25 * step.length
        elif trial.ratio > 0.75:
            radius = max(radius, 2 * step.length)
        if trial.negligible:
            return trial.expected if step.inside else None
        if trial.moved:
            state["radius"].fill_(radius)
            return trial.expected if step.inside else math.inf
    return None


def dense_model(problem: Problem, state: State, w: Tensor, tolerance_grad: float) -> Propose:
    """The model with H (P, P) itself, in the norm |S d|, S_i^2 the largest norm that row i of H has had so far.

    Such a region follows valleys in badly scaled coordinates, and S that never falls keeps it from being narrow where
    a parameter lost its curvature for a while (More, 1978, has both for least squares). It begins with all space where
    H is positive definite, else with the length of -g in this norm.
    """
    hessian = problem.hessian(w)
    state["scale"] = torch.maximum(state["scale"], hessian.norm(dim=1).sqrt())
    (largest,) = read(state["scale"].max())
    scale = state["scale"].clamp(min=FLOOR * largest or 1.0)
    hessian.div_(scale).div_(scale.unsqueeze(1))
    g = state["gradient"] / scale
    max_gradient, length_g = read(state["gradient"].abs().max(), g.norm())
    factor = cholesky(hessian, 0.0, problem.go_on)
    newton = None if factor is None else -solve(factor, g)
    del factor
    first = length_g if max_gradient > tolerance_grad else 1.0  # at a saddle, g says nothing

    def propose(radius: float) -> Step:
        if newton is None and radius == math.inf:
            radius = first
        d, length, inside = exact_step(hessian, g, radius, newton, problem.go_on)
        return Step(d / scale, scale * (hessian @ d), length, inside)

    return propose


def product_model(problem: Problem, state: State, w: Tensor) -> Propose:
    """The model by products H v alone, in the norm |d|."""
    g = state["gradient"]

    def propose(radius: float) -> Step:
        d, product, length = steihaug(lambda v: problem.hvp(w, v), g, radius)
        return Step(d, product, length, length < 0.99 * radius)

    return propose


def _try(problem: Problem, state: State, w: Tensor, step: Step) -> Trial:
    """Move by the step if f does not rise."""
    value, gradient = problem.gradient(w + step.d)
    model = -(state["gradient"].dot(step.d) + 0.5 * step.d.dot(step.product))
    before, after, expected, slope = read(state["value"], value, model, gradient.abs().max())
    negligible = max(expected, before - after) <= rounding(state["value"].dtype, before)
    moved = after <= before and math.isfinite(slope) and math.isfinite(after)
    if moved:
        w.add_(step.d)
        state["value"], state["gradient"] = value, gradient
    ratio = (1.0 if negligible else (before - after) / expected) if moved else -math.inf
    return Trial(moved, ratio, expected, negligible)
