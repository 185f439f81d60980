"""One update of Newton's method that is safe far from the minimum: damped, or within a trust region.

The model of the objective around w is m(d) = f + g.d + d.Hd / 2. The gain ratio of an update d is
rho = (f(w) - f(w + d)) / (m(0) - m(d)): near 1 where the model is right, and negative where f rose.

Both functions change w, state["value"] and state["gradient"] in place, and only where f does not rise. They return the
gain m(0) - m(d) that the model expected, infinite where d was damped or cut short, or None if they did not move.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nettrain.parts.solvers import State
from nettrain.problem import Problem

SMALLEST, LARGEST = 1e-6, 1e12  # of the damping lambda, beside the 0 of the pure method
FLOOR = 1e-12  # of D's elements, as a part of H's largest
TRIALS = 60  # of one update, each with a larger damping or a smaller radius


def damped_newton(problem: Problem, state: State, w: Tensor, tolerance_grad: float) -> float | None:
    """d = -(H + lambda D)^-1 g with D = diag |H|, lambda in state["damping"].

    lambda grows tenfold until H + lambda D has a Cholesky factor and f falls, and shrinks where the gain ratio is high
    (Marquardt, 1963; More, 1978): to 0, the pure method with its quadratic convergence, where H is positive definite.
    At a saddle, where g vanishes but H is not positive semidefinite, d is the direction of most negative curvature.
    """
    g, damping = state["gradient"], float(state["damping"])
    hessian = problem.hessian(w)
    largest, max_gradient = torch.stack([hessian.abs().max(), g.abs().max()]).tolist()
    if not math.isfinite(largest):
        return None
    scale = state["scale"] = torch.maximum(state["scale"], hessian.diagonal().abs().clamp(min=FLOOR * largest or 1.0))
    if max_gradient <= tolerance_grad:
        if not torch.linalg.cholesky_ex(hessian + SMALLEST * scale.diag()).info:
            return None
        return math.inf if _leave_saddle(problem, state, w, hessian) else None
    for _ in range(TRIALS):
        factor, info = torch.linalg.cholesky_ex(hessian + damping * scale.diag() if damping else hessian)
        ratio = expected = -math.inf
        if not info:
            d = -torch.cholesky_solve(g.unsqueeze(1), factor).squeeze(1)
            ratio, expected = _try(problem, state, w, d, hessian @ d)
        used = damping
        if ratio < 0.25:
            damping = max(10 * damping, SMALLEST)
        elif ratio > 0.75:
            damping = damping / 10 if damping > SMALLEST else 0.0
        if ratio >= 0:
            state["damping"].fill_(damping)
            return math.inf if used else expected
        if used >= LARGEST:
            break
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
        used = radius
        ratio, expected = _try(problem, state, w, d, product)
        if ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.99 * radius:
            radius = 2 * radius
        if ratio >= 0:
            state["radius"].fill_(radius)
            return expected if length < 0.99 * used else math.inf
    return None


def steihaug(product: Callable[[Tensor], Tensor], g: Tensor, radius: float) -> tuple[Tensor, Tensor, float]:
    """d, H d and |d| of the truncated conjugate gradients for H d = -g: Nocedal and Wright (2006), algorithm 7.2.

    It ends at the boundary |d| = radius, along a direction of negative curvature or on the way out, or inside it where
    |g + H d| <= min(1/2, sqrt|g|) |g|. `product` gives H v.
    """
    d, hd, r, p = torch.zeros_like(g), torch.zeros_like(g), g, -g
    rr = float(g.dot(g))
    enough = min(0.25, math.sqrt(rr)) * rr
    length = 0.0
    for _ in range(2 * len(g)):
        if not rr > enough:
            break
        hp = product(p)
        curvature, pp, dp = torch.stack([p.dot(hp), p.dot(p), d.dot(p)]).tolist()
        if not pp * abs(curvature) > 0:
            break
        alpha = rr / curvature
        to_boundary = _positive_root(pp, dp, length**2 - radius**2)
        if not 0 < alpha < to_boundary:
            return d + to_boundary * p, hd + to_boundary * hp, radius
        d, hd, r = d + alpha * p, hd + alpha * hp, r + alpha * hp
        rr, before = float(r.dot(r)), rr
        length = math.sqrt(max(length**2 + 2 * alpha * dp + alpha**2 * pp, 0.0))
        p = -r + (rr / before) * p
    return d, hd, length


def _positive_root(a: float, b: float, c: float) -> float:
    """tau > 0 with a tau^2 + 2 b tau + c = 0, for a > 0 and c <= 0."""
    return (-b + math.sqrt(max(b * b - a * c, 0.0))) / a


def _try(problem: Problem, state: State, w: Tensor, d: Tensor, product: Tensor) -> tuple[float, float]:
    """Move by d if f does not rise, where product = H d; the gain ratio, -infinity if not, and the expected gain.

    Where the model expects less than the rounding of f, a value that is not higher counts as a full gain.
    """
    value, gradient = problem.gradient(w + d)
    expected = -(state["gradient"].dot(d) + 0.5 * d.dot(product))
    before, after, gain, slope = torch.stack([state["value"], value, expected, gradient.abs().max()]).tolist()
    if not (after <= before and math.isfinite(slope) and math.isfinite(after)):
        return -math.inf, gain
    w.add_(d)
    state["value"], state["gradient"] = value, gradient
    rounding = torch.finfo(w.dtype).eps * abs(before)
    return (before - after) / gain if gain > rounding else 1.0, gain


def _leave_saddle(problem: Problem, state: State, w: Tensor, hessian: Tensor) -> bool:
    """Move along the eigenvector of the lowest eigenvalue as far as f falls: 1, 1/2, 1/4, ..."""
    v = torch.linalg.eigh(hessian).eigenvectors[:, 0]
    before = float(state["value"])
    for halvings in range(TRIALS):
        d = v * 0.5**halvings
        value, gradient = problem.gradient(w + d)
        if float(value) < before:
            w.add_(d)
            state["value"], state["gradient"] = value, gradient
            return True
    return False
