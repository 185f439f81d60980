"""What a problem of the bank is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class TestFunction:
    """A function of w (P,) with its standard start and the values of its local minima, the global one first.

    `value_at_start` is the published one where there is one.
    """

    __test__ = False

    name: str
    fun: Callable[[Tensor], Tensor]
    start: list[float]
    minima: list[float]
    value_at_start: float = math.nan

    @property
    def w0(self) -> Tensor:
        return torch.tensor(self.start, dtype=torch.float64)

    def solved(self, value: float, accuracy: float = 1e-6) -> bool:
        """Whether a value is one of the minima to this accuracy, relative; for a minimum of 0 to its square."""
        return any(value - m <= accuracy * (abs(m) or accuracy * min(1.0, self._first)) for m in self.minima)

    @cached_property
    def _first(self) -> float:
        return float(self.fun(self.w0))
