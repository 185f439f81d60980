"""The way of a run through the space of its weights: where it stood after some epochs, for figures."""

from typing import Any

import torch
from torch import Tensor

POINTS = 30  # that are kept of a whole run: every second one evenly over its epochs, the others denser at the beginning
FEW, ALL = 8, 1000  # of so few weights nearly every epoch is kept: a path that jumps to and fro is seen as it was
NUMBERS = 2**22  # at most, so that a large model's checkpoint stays small
NUMBERS_OF_ALL = 2**26  # at most in a stack


class Trajectory:
    """The weights (S, P) after the epochs (S,), the initial ones first; nothing where there are too many of them."""

    def __init__(self, epochs: int, parameters: int, rows: int = 1) -> None:
        points = min(ALL if parameters <= FEW else POINTS, NUMBERS // parameters, NUMBERS_OF_ALL // (parameters * rows))
        steps = [i / (points // 2) for i in range(points // 2 + 1)] if points >= 4 else []
        even, denser = ({round(s * epochs) for s in steps}, {round(max(epochs, 1) ** s) for s in steps})
        self.wanted = even | denser if epochs else even
        self.epochs: list[int] = []
        self.w: list[Tensor] = []

    def wants(self, epoch: int, last: bool = False) -> bool:
        """Whether the weights after this epoch are to be kept; those after the last one are."""
        return bool(self.wanted) and (last or epoch in self.wanted)

    def keep(self, epoch: int, w: Tensor) -> None:
        """Keep the weights w (P,) after this epoch."""
        if self.epochs and self.epochs[-1] == epoch:  # the last update may be one within an epoch
            del self.epochs[-1], self.w[-1]
        self.epochs.append(epoch)
        self.w.append(w)

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint holds."""
        return {"epochs": self.epochs, "w": torch.stack(self.w)} if self.w else None

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take back what a checkpoint holds."""
        if state:
            self.epochs, self.w = list(state["epochs"]), list(state["w"])
