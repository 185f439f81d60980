"""Updates one by one, as torch computes their operations."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain.objective import samples_at_once
from nettrain.optimizers.rules import Coefficients, State
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.samples import X
from nettrain.training.engines.layer_statistics import layer_statistics
from nettrain.training.engines.protocol import Updates, gradient_costs
from nettrain.training.stack.going_back import leave_out, snapshot
from nettrain.training.stack.rates import coefficients, noises
from nettrain.training.stack.stack import Stack

Step = Callable[[State, Tensor, Tensor, Coefficients], None]  # as `Rule.step`


class Eager:
    """The updates of a stack, each by some dozens of operations on whole tensors.

    `step` is the rules' step where it is computed in another way; the engine is then called `name`.
    """

    updates_per_call = 1

    def __init__(self, stack: Stack, step: Step | None = None, name: str = "eager") -> None:
        self.stack, self.step, self.name = stack, step, name

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        stack = self.stack
        batches = zip(
            stack.batches.of_epoch(epoch),
            stack.batches.weights_of_epoch(epoch),
            coefficients(stack, epoch, rates),
            noises(stack, epoch),
            strict=True,
        )
        self.left = itertools.islice(batches, first, None)

    def advance(self, number: int, last: bool) -> Updates:
        zs, w, before = [], self.stack.w, None
        for i, ((x, y), weights, scalars, noise) in enumerate(itertools.islice(self.left, number)):
            if last and i == number - 1:
                before = w.clone()
            z, g = self._update(x, y, weights, scalars, noise)
            zs.append(z)
        change = None if before is None else torch.sub(w, before, out=before)
        return Updates(zs[0] if number == 1 else torch.cat(zs, -2), g, change, gradient_costs(number))

    def _update(
        self, x: X, y: Tensor, weights: Tensor | None, scalars: Sequence[Coefficients], noise: Noise | None
    ) -> tuple[Tensor, Tensor]:
        """z and g of a batch, by which the rules have made one update."""
        stack = self.stack
        before = snapshot(stack) if stack.skips is not None else None
        z, g = stack.objective.gradient(stack.w, x, y, noise, weights)
        with stage("update"):
            for group, c in zip(stack.rule_groups, scalars, strict=True):
                (self.step or group.rule.step)(group.state, stack.w[group.rows], g[group.rows], c)
        if before is not None:
            leave_out(stack, before, z, y, g)
        return z, g

    def forward(self, split: str, w: Tensor) -> Tensor:
        return forward(self.stack, split, w)

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        return layer_statistics(self.stack, gradient, change)


def forward(stack: Stack, split: str, w: Tensor) -> Tensor:
    """The logits (..., n, outputs) of a whole split, in as few forward passes as memory allows."""
    parts = stack.batches.parts(split, samples_at_once(w, stack.objective.inputs))
    return torch.cat([stack.objective.logits(w, x) for x, _ in parts], -2)
