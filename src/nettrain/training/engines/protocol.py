"""What the loop asks of an engine."""

from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from nettrain.problem import Counts


class Updates(NamedTuple):
    """What some updates leave behind.

    The logits z (..., samples, outputs) of their batches; of the last update its gradient and what it changed in w,
    both (..., P), where they are known; and what all of them cost.
    """

    z: Tensor
    gradient: Tensor | None
    change: Tensor | None
    costs: Counts


def gradient_costs(updates: int) -> Counts:
    """What updates by a gradient rule cost: the loss and its gradient, once each."""
    return Counts(function_evaluations=updates, gradient_evaluations=updates)


class Engine(Protocol):
    """How the updates of a stack, its predictions and the numbers of its layers are computed."""

    name: str

    @property
    def updates_per_call(self) -> int:
        """How many updates `advance` should be asked for at once."""

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        """Get ready for the updates of an epoch from number `first` on; `rates` are their learning rates."""

    def advance(self, number: int, last: bool) -> Updates:
        """Make so many updates; with `last`, what the last of them changes is asked for.

        Raises `Abandoned` where a signal came in the middle of an update, which then has not been made.
        """

    def forward(self, split: str, w: Tensor) -> Tensor:
        """The logits (..., n, outputs) of a whole split with the weights w (..., P)."""

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        """The numbers of the inside of the network, each (...), as `layer_statistics` gives them."""
