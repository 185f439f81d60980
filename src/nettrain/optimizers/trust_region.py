"""The trust-region subproblem: the step that minimises the model m(d) = g.d + d.Hd / 2 within |d| <= radius.

`exact_step` factorises H, `steihaug` needs only products H v.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nettrain.optimizers.solvers import read

ENOUGH = 0.1  # of the best gain in the model that a step may miss
FACTORS = 30  # of one step; three or four are usual
INVERSE_ITERATIONS = 4
BLOCK = 256  # columns of a factor between two looks at whether to go on


def exact_step(
    hessian: Tensor, g: Tensor, radius: float, newton: Tensor | None, go_on: Callable[[], None]
) -> tuple[Tensor, float, bool]:
    """d, |d|, and whether the region has no say in it: More and Sorensen (1983), Conn, Gould and Toint (2000), 7.3.

    `newton` is -H^-1 g where H is positive definite. If it lies outside, or there is none, d = -(H + mu I)^-1 g with
    a mu > 0 that Newton's method finds for 1 / |d| = 1 / radius, between bounds of which the lower one makes
    H + mu I positive definite. Where g has no part along the eigenvector of the lowest eigenvalue (the "hard case", a
    saddle for one), that vector, from inverse iteration, is added up to the boundary.
    """
    length_g, size_h, lowest = read(g.norm(), hessian.norm(), hessian.diagonal().min())
    if newton is not None:
        (length,) = read(newton.norm())
        if length <= radius:
            return newton, length, True
    lower, upper = max(0.0, -lowest), length_g / radius + size_h
    d, length, mu = -g * (radius / length_g if length_g else 0.0), radius if length_g else 0.0, _between(lower, upper)
    for _ in range(FACTORS):
        factor = cholesky(hessian, mu, go_on)
        if factor is None:
            lower, mu = mu, _between(mu, upper)
            continue
        d = solve(factor, -g)
        length, energy = read(d.norm(), -g.dot(d))
        if abs(length - radius) <= ENOUGH * radius:
            break
        if length > radius:
            lower = mu
        else:
            upper = mu
            best = energy + mu * length**2
            if mu * (radius**2 - length**2) <= ENOUGH * best:
                break
            v, curvature = _lowest_eigenvector(factor)
            (along,) = read(d.dot(v))
            tau = positive_root(1.0, abs(along), length**2 - radius**2)
            if tau**2 * curvature <= ENOUGH * (energy + mu * radius**2):
                return d + math.copysign(tau, along) * v, radius, False
            lower = max(lower, mu - curvature)
        inverse = torch.linalg.solve_triangular(factor, d.unsqueeze(1), upper=False)
        (length_inverse,) = read(inverse.norm())
        following = mu + (length / length_inverse) ** 2 * (length - radius) / radius if length_inverse else lower
        mu = following if lower < following < upper else _between(lower, upper)
    return d, length, False


def cholesky(hessian: Tensor, mu: float, go_on: Callable[[], None]) -> Tensor | None:
    """L (P, P) with L L^T = H + mu I, or None where that is not positive definite.

    A large factor is made of blocks of columns; `go_on` is called before each, and may raise `Abandoned`.
    """
    factor = hessian.clone()
    factor.diagonal().add_(mu)
    for first in range(0, len(factor), BLOCK):
        go_on()
        last = first + BLOCK
        block, info = torch.linalg.cholesky_ex(factor[first:last, first:last])
        if info:
            return None
        factor[first:last, first:last] = block
        below = factor[last:, first:last]
        below.copy_(torch.linalg.solve_triangular(block, below.T, upper=False).T)
        factor[last:, last:].addmm_(below, below.T, alpha=-1)
    return factor.tril_()


def solve(factor: Tensor, g: Tensor) -> Tensor:
    """(L L^T)^-1 g for g (P,)."""
    return torch.cholesky_solve(g.unsqueeze(1), factor).squeeze(1)


def _between(lower: float, upper: float) -> float:
    return max(math.sqrt(lower * upper), lower + 0.01 * (upper - lower))


def _lowest_eigenvector(factor: Tensor) -> tuple[Tensor, float]:
    """A vector v of length 1 along which v.Av is nearly the lowest eigenvalue of A = L L^T, and v.Av."""
    v = torch.arange(1, len(factor) + 1).to(factor).sin()
    for _ in range(INVERSE_ITERATIONS):
        v = solve(factor, v / v.norm())
    v = v / v.norm()
    (curvature,) = read((factor.T @ v).square().sum())
    return v, curvature


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
        to_boundary = positive_root(pp, dp, length**2 - radius**2)
        if not 0 < alpha < to_boundary:
            return d + to_boundary * p, hd + to_boundary * hp, radius
        d, hd, r = d + alpha * p, hd + alpha * hp, r + alpha * hp
        before, (rr,) = rr, read(r.dot(r))
        length = math.sqrt(max(length**2 + 2 * alpha * dp + alpha**2 * pp, 0.0))
        p = -r + (rr / before) * p
    return d, hd, length


def positive_root(a: float, b: float, c: float) -> float:
    """tau > 0 with a tau^2 + 2 b tau + c = 0, for a > 0 and c <= 0."""
    return (-b + math.sqrt(max(b * b - a * c, 0.0))) / a
