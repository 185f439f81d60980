from dataclasses import dataclass

import torch

from nettrain.optimizers.rules import Rule
from nettrain.registry import option


@dataclass
class Lion(Rule):
    """Steps of one length: w <- w - lr sign(b1 m + (1 - b1) g), then m <- b2 m + (1 - b2) g (Chen et al., 2023)."""

    name: str = "lion"
    beta1: float = option(0.9, "weight of the memory in the step (b1)", minimum=0, below=1)
    beta2: float = option(0.99, "how much of the memory is kept (b2)", minimum=0, below=1)

    def init(self, w):
        return {"m": torch.zeros_like(w)}

    def coefficients(self, t, lr):
        return {"b1": self.beta1, "1-b1": 1 - self.beta1, "b2": self.beta2, "1-b2": 1 - self.beta2, "step": -lr}

    def update(self, state, w, g, c):
        m = state["m"]
        w.add_(torch.sign(m * c["b1"] + g * c["1-b1"]) * c["step"])
        m.mul_(c["b2"]).add_(g * c["1-b2"])
