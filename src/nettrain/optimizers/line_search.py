"""The step length: a line search for the strong Wolfe conditions, shared by the methods that choose a direction d.

phi(t) = f(w + t d) is the objective along d. A step t is accepted when

    phi(t) <= phi(0) + c1 t phi'(0)     (sufficient decrease, Armijo),
    |phi'(t)| <= -c2 phi'(0)            (curvature).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nettrain.optimizers.solvers import read
from nettrain.problem import Problem


class Point(NamedTuple):
    """phi at t: its value and slope phi'(t) = g . d, and the gradient g (P,) there."""

    t: float
    value: float
    slope: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.slope)


Line = Callable[[float], Point]


def line(problem: Problem, w: Tensor, d: Tensor) -> Line:
    """phi(t) of a problem; each call is one function and one gradient evaluation, and one host read."""

    def phi(t: float) -> Point:
        value, g = problem.gradient(torch.add(w, d, alpha=t))
        f, slope = read(value, g.dot(d))
        return Point(t, f, slope, g)

    return phi


def strong_wolfe(
    phi: Line,
    start: Point,
    t: float,
    length: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance: float = 1e-9,
    max_steps: int = 25,
) -> Point:
    """The first point found that satisfies both conditions, or else the lowest one; `start` itself is a failure.

    Nocedal and Wright (2006), algorithms 3.5 (bracket) and 3.6 (zoom), with cubic interpolation and the safeguards
    of minFunc (Schmidt, 2005), whose decisions `torch.optim.LBFGS` also takes: `start` is phi(0), `t` the first
    trial, `length` max|d|; a bracket shorter than `tolerance` in every parameter is not divided further, and
    at most `max_steps` trials follow the first. A trial that is not finite counts as infinitely high.
    """

    def trial(t: float) -> Point:
        point = phi(t)
        return point if point.finite else point._replace(value=math.inf)

    def too_high(point: Point) -> bool:
        return point.value > start.value + c1 * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    previous, new = start, trial(t)
    steps = 0
    while steps < max_steps:
        if too_high(new) or (steps > 1 and new.value >= previous.value):
            break
        if flat(new):
            return new
        if new.slope >= 0:
            break
        bounds = (new.t + 0.01 * (new.t - previous.t), 10 * new.t)
        previous, new = new, trial(cubic_minimum(previous, new, *bounds))
        steps += 1
    bracket = [start if steps == max_steps else previous, new]

    stuck = False  # the last interpolation came close to an end of the bracket
    low = _lowest(bracket)
    while steps < max_steps:
        left, right = sorted(point.t for point in bracket)
        if (right - left) * length <= tolerance:
            break
        t, stuck = _inside(cubic_minimum(bracket[0], bracket[1], left, right), left, right, stuck)
        new = trial(t)
        steps += 1
        if too_high(new) or new.value >= bracket[low].value:
            bracket[1 - low] = new
            low = _lowest(bracket)
            continue
        if flat(new):
            return new
        if new.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = new
    return bracket[low]


def cubic_minimum(a: Point, b: Point, lower: float, upper: float) -> float:
    """The minimiser within [lower, upper] of the cubic through the values and slopes of two points.

    Nocedal and Wright (2006), equation 3.59. Without a minimum it is the middle; next to a point that is not
    finite, a tenth of the way from the other one.
    """
    if a.t > b.t:
        a, b = b, a
    if not (a.finite and b.finite):
        return lower + 0.1 * (upper - lower)
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (lower + upper) / 2
    d2 = math.sqrt(square)
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return (lower + upper) / 2
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / denominator)
    return min(max(t, lower), upper)


def _lowest(bracket: list[Point]) -> int:
    return 0 if bracket[0].value <= bracket[1].value else 1


def _inside(t: float, left: float, right: float, stuck: bool) -> tuple[float, bool]:
    """A trial that makes progress: the second one in a row that is near an end is moved a tenth inside."""
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not (stuck or t >= right or t <= left):
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False
