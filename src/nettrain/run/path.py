"""The path of one run through the space of its weights: where it stood after some epochs, for figures of the way."""

from typing import Any

import torch
from torch import Tensor

from nettrain.run.stack import to_host

POINTS = 30  # that are kept of a whole run, evenly over its epochs
NUMBERS = 2**22  # at most, so that a large model's checkpoint stays small


class Path:
    """The weights (S, P) after the epochs (S,), the initial ones first; nothing where the model is too large for it."""

    def __init__(self, epochs: int, parameters: int) -> None:
        points = min(POINTS, NUMBERS // parameters)
        self.wanted = {round(i * epochs / points) for i in range(points + 1)} if points >= 4 else set()
        self.epochs: list[int] = []
        self.w: list[Tensor] = []

    def observe(self, epoch: int, w: Tensor, last: bool = False) -> None:
        """Keep the weights w (P,) after this epoch if it is a wanted one, or the last."""
        if not self.wanted or not (last or epoch in self.wanted):
            return
        if self.epochs and self.epochs[-1] == epoch:  # the last update may be one within an epoch
            del self.epochs[-1], self.w[-1]
        self.epochs.append(epoch)
        self.w.append(to_host(w))

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint holds."""
        return {"epochs": self.epochs, "w": torch.stack(self.w)} if self.w else None

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take back what a checkpoint holds."""
        if state:
            self.epochs, self.w = list(state["epochs"]), list(state["w"])
