"""What curvature and search methods share: a solver takes a whole problem, not one gradient, and makes an update."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.problem import Problem, cost
from nettrain.random import mix

State = dict[str, Tensor]

RUNNING, GRADIENT, CHANGE, STALLED, DIVERGED = range(5)
REASONS = {
    GRADIENT: "converged: the gradient is within tolerance_grad of zero",
    CHANGE: "converged: the last update changed less than tolerance_change",
    STALLED: "stopped: no lower point can be found in this precision",
    DIVERGED: "stopped: the value is not finite",
}


@dataclass
class Solver(ABC):
    """A method that advances w (P,) by one update at a time, evaluating a problem as often as it needs.

    `state` holds tensors only, all of them needed to go on: from a copy of (w, state), update t gives the same bits.
    After every update `state["value"]`, 0-d, is the objective at w, and `state["converged"]`, a 0-d integer, is 0
    or a key of `REASONS`.
    """

    name: str = ""

    uses_gradient: ClassVar[bool] = True

    def require(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        """Raise `ConfigError` if what the solver keeps for `size` parameters does not fit on the device."""

    def expected_cost(self, size: int, samples: int) -> float:
        """What an update of `size` parameters costs, in evaluations of a loss of so many samples, as far as known."""
        return cost(1, self.uses_gradient, 0)

    @abstractmethod
    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        """The state before the first update from w."""

    @abstractmethod
    def renew(self, problem: Problem, state: State, w: Tensor) -> None:
        """Evaluate again what the state remembers of the objective, for a problem that has changed (another batch)."""

    @abstractmethod
    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        """Update number t = 1, 2, ..., in place on w and state; its noise depends on (seed, t) alone."""


def read(*scalars: Tensor) -> list[float]:
    """0-d tensors of one dtype as numbers: the host waits for the device, once for all of them."""
    return torch.stack(scalars).to("cpu").tolist()


def rounding(dtype: torch.dtype, value: float) -> float:
    """What may be lost of an objective's value by rounding: a hundred units in the last place, for its many terms."""
    return 100 * torch.finfo(dtype).eps * abs(value)


_SEARCH = 3  # the stream of noise in `nettrain.random`; 1 and 2 are the order of batches and dropout


def generator(seed: int, t: int) -> torch.Generator:
    """A generator on the host for the noise of update t."""
    return torch.Generator().manual_seed(int(mix(_SEARCH, seed, t)) >> 1)


def require_memory(needed: int, device: torch.device, what: str, instead: str) -> None:
    """Raise `ConfigError` if `device` has fewer than `needed` bytes free for `what`; `instead` says what would do."""
    free = free_memory(device)
    if needed > free:
        raise ConfigError(
            f"{what} needs {needed / 2**30:.1f} GiB of memory, {device} has {free / 2**30:.1f} GiB free; use {instead}."
        )


def free_memory(device: torch.device) -> int:
    """Bytes that programs can still take there."""
    import psutil

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
