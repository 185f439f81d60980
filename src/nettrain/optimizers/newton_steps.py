"""One update of Newton's method that is safe far from the minimum: damped, or within a trust region.

The model of the objective around w is m(d) = f + g.d + d.Hd / 2. The gain ratio of an update d is
rho = (f(w) - f(w + d)) / (m(0) - m(d)): near 1 where the model is right, and negative where f rose.

Both functions change w, state["value"] and state["gradient"] in place, and only where f does not rise. They return the
gain that the model expects of the full Newton step, infinite where it has no minimum or that is out of reach, and None
where no update could be found.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nettrain.optimizers.solvers import State, read, rounding
from nettrain.problem import Problem

SMALLEST = 1e-6  # damping lambda beside the 0 of the pure method
FLOOR = 1e-2  # of D's elements, as a part of H's largest: without it, parameters of no curvature would run away
TRIALS = 60  # of one update, each with a larger damping or a smaller radius


class Trial(NamedTuple):
    """What came of an update: whether w moved, the gain ratio, and the expected gain m(0) - m(d)."""

    moved: bool
    ratio: float
    expected: float
    negligible: bool  # the model expects no more than the rounding of f, against which the ratio says nothing


def damped_newton(problem: Problem, state: State, w: Tensor, tolerance_grad: float) -> float | None:
    """d = -(H + lambda D)^-1 g with D_i = max(|H_ii|, max|H| / 100), lambda in state["damping"].

    lambda doubles until H + lambda D has a Cholesky factor, grows tenfold until f falls, and shrinks where the gain
    ratio is high (Marquardt, 1963; More, 1978): to 0, the pure method with its quadratic convergence, where H is
    positive definite. At a saddle, where g says nothing but H is not positive semidefinite, d is the direction of
    most negative curvature.
    """
    g, damping = state["gradient"], float(state["damping"])
    hessian = problem.hessian(w)
    largest, max_gradient = read(hessian.abs().max(), g.abs().max())
    if not math.isfinite(largest):
        return None
    scale = hessian.diagonal().abs().clamp(min=FLOOR * largest or 1.0)
    if max_gradient <= tolerance_grad and _solve(hessian + SMALLEST * scale.diag(), g) is None:
        return _leave_saddle(problem, state, w, hessian)
    newton = _solve(hessian, g)
    expected = math.inf if newton is None else -0.5 * read(g.dot(newton))[0]
    for _ in range(TRIALS):
        pure = damping == 0
        d = newton if pure else _solve(hessian + damping * scale.diag(), g)
        if d is None:
            damping = max(2 * damping, SMALLEST)
            continue
        trial = _try(problem, state, w, d, hessian @ d)
        if trial.ratio < 0.25:
            damping = max(10 * damping, SMALLEST)
        elif trial.ratio > 0.75:
            damping = damping / 10 if damping > SMALLEST else 0.0
        if trial.negligible and newton is None:
            return _leave_saddle(problem, state, w, hessian)
        if trial.negligible and not pure:
            damping = 0.0  # damped too much to tell: only the full step can
        elif trial.moved or trial.negligible:
            state["damping"].fill_(damping)
            return expected
    return None


def trust_region_newton(problem: Problem, state: State, w: Tensor, tolerance_grad: float) -> float | None:
    """d approximately minimises m(d) within |d| <= Delta, by products H v alone; Delta in state["radius"].

    Nocedal and Wright (2006), algorithm 4.1, with the subproblem solved by algorithm 7.2 (Steihaug, 1983).
    """
    g, radius = state["gradient"], float(state["radius"])
    for _ in range(TRIALS):
        d, product, length = steihaug(lambda v: problem.hvp(w, v), g, radius)
        if length == 0:
            return None
        trial = _try(problem, state, w, d, product)
        inside = length < 0.99 * radius
        if trial.ratio < 0.25:
            radius = 0.25 * length
        elif trial.ratio > 0.75 and not inside:
            radius = 2 * radius
        if trial.negligible:
            return trial.expected if inside else None
        if trial.moved:
            state["radius"].fill_(radius)
            return trial.expected if inside else math.inf
    return None


def _solve(matrix: Tensor, g: Tensor) -> Tensor | None:
    """-A^-1 g by Cholesky's factorisation, or None where A is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return None if info else -torch.cholesky_solve(g.unsqueeze(1), factor).squeeze(1)


def steihaug(product: Callable[[Tensor], Tensor], g: Tensor, radius: float) -> tuple[Tensor, Tensor, float]:
    """d, H d and |d| of the truncated conjugate gradients for H d = -g: Nocedal and Wright (2006), algorithm 7.2.

    It ends at the boundary |d| = radius, along a direction of negative curvature or on the way out, or inside it where
    |g + H d| <= min(1/2, sqrt|g|) |g|. `product` gives H v.
    """
    d, hd, r, p = torch.zeros_like(g), torch.zeros_like(g), g, -g
    (rr,) = read(g.dot(g))
    enough = min(0.25, math.sqrt(rr)) * rr
    length = 0.0
    for _ in range(2 * len(g)):
        if not rr > enough:
            break
        hp = product(p)
        curvature, pp, dp = read(p.dot(hp), p.dot(p), d.dot(p))
        if not pp * abs(curvature) > 0:
            break
        alpha = rr / curvature
        to_boundary = _positive_root(pp, dp, length**2 - radius**2)
        if not 0 < alpha < to_boundary:
            return d + to_boundary * p, hd + to_boundary * hp, radius
        d, hd, r = d + alpha * p, hd + alpha * hp, r + alpha * hp
        before, (rr,) = rr, read(r.dot(r))
        length = math.sqrt(max(length**2 + 2 * alpha * dp + alpha**2 * pp, 0.0))
        p = -r + (rr / before) * p
    return d, hd, length


def _positive_root(a: float, b: float, c: float) -> float:
    """tau > 0 with a tau^2 + 2 b tau + c = 0, for a > 0 and c <= 0."""
    return (-b + math.sqrt(max(b * b - a * c, 0.0))) / a


def _try(problem: Problem, state: State, w: Tensor, d: Tensor, product: Tensor) -> Trial:
    """Move by d if f does not rise, where product = H d."""
    value, gradient = problem.gradient(w + d)
    model = -(state["gradient"].dot(d) + 0.5 * d.dot(product))
    before, after, expected, slope = read(state["value"], value, model, gradient.abs().max())
    negligible = expected <= rounding(state["value"].dtype, before)
    moved = after <= before and math.isfinite(slope) and math.isfinite(after)
    if moved:
        w.add_(d)
        state["value"], state["gradient"] = value, gradient
    ratio = (1.0 if negligible else (before - after) / expected) if moved else -math.inf
    return Trial(moved, ratio, expected, negligible)


def _leave_saddle(problem: Problem, state: State, w: Tensor, hessian: Tensor) -> float | None:
    """Move along the eigenvector of the lowest eigenvalue as far as f falls: 1, 1/2, 1/4, ..."""
    v = torch.linalg.eigh(hessian).eigenvectors[:, 0]
    (before,) = read(state["value"])
    for halvings in range(TRIALS):
        d = v * 0.5**halvings
        value, gradient = problem.gradient(w + d)
        if read(value)[0] < before:
            w.add_(d)
            state["value"], state["gradient"] = value, gradient
            return math.inf
    return None
