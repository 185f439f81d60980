"""What the slope of an activation tells: whether units can die, whether they can saturate, and where they do."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


@cache
def slopes(activation: Activation) -> Tensor:
    """|f'|, as autograd uses it, on an even grid over [-8, 8]."""
    x = _GRID.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(x).sum(), x)
    return slope.abs()


_GRID = torch.linspace(-8, 8, 16_001, dtype=torch.float64)


@cache
def can_die(activation: Activation) -> bool:
    """Whether f' is exactly 0 on one side, as that of ReLU: a unit that is always there learns nothing any more."""
    return not bool(slopes(activation)[[0, -1]].all())


@cache
def can_saturate(activation: Activation) -> bool:
    """Whether f' vanishes towards both sides, as those of sigmoid and tanh do."""
    slope = slopes(activation)
    return bool(slope.max() > 0) and bool((slope[[0, -1]] < 0.01 * slope.max()).all())


@cache
def steep(activation: Activation, share: float) -> tuple[float, float]:
    """The ends of the interval, to a thousandth, in which |f'| is above `share` of its maximum; they are outside of it.

    An end is infinite where the slope stays above that as far as the grid goes; the interval is empty, (inf, inf),
    where it nowhere is.
    """
    slope = slopes(activation)
    inside = (slope > share * slope.max()).nonzero().flatten().tolist()
    if not inside:
        return math.inf, math.inf
    first, last = inside[0], inside[-1]
    low = -math.inf if first == 0 else float(_GRID[first - 1])
    high = math.inf if last == len(_GRID) - 1 else float(_GRID[last + 1])
    return low, high
