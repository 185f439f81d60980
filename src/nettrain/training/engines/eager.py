"""Updates one by one, as torch computes their operations."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain.optimizers.rules import Coefficients, State
from nettrain.random import Noise
from nettrain.training.engines.fused import Fused
from nettrain.training.engines.layer_statistics import watched
from nettrain.training.stack.stack import Stack

Step = Callable[[State, Tensor, Tensor, Coefficients], None]  # as `Rule.step`


class Eager:
    """The updates of a stack, each by some dozens of operations on whole tensors.

    With `fused`, torch computes the gradient of a run alone, and that is the rule's step.
    """

    most = 1
    watched = staticmethod(watched)

    def __init__(self, fused: Fused | None = None) -> None:
        self.name = "fused" if fused else "eager"
        self.step: Step | None = fused.step if fused else None

    def begin(self, stack: Stack, epoch: int, rates: np.ndarray, start: int) -> None:
        """Get ready for the updates of an epoch from number `start` on; `rates` are their learning rates."""
        coefficients, noises = stack.coefficients(epoch, rates), stack.noises(epoch)
        self.stack = stack
        self.left = itertools.islice(zip(stack.samples.batches(epoch), coefficients, noises, strict=True), start, None)

    def advance(self, number: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Make so many updates; z (..., samples, outputs) of them, and the gradient g (..., P) of the last one.

        The weights before the last one are written into `before`, if given.
        """
        zs = []
        for i, ((x, y), coefficients, noise) in enumerate(itertools.islice(self.left, number)):
            if before is not None and i == number - 1:
                before.copy_(self.stack.w)
            z, g = update(self.stack, x, y, coefficients, noise, self.step)
            zs.append(z)
        return zs[0] if number == 1 else torch.cat(zs, -2), g


def update(
    stack: Stack,
    x: Tensor,
    y: Tensor,
    coefficients: Sequence[Coefficients],
    noise: Noise | None,
    step: Step | None = None,
) -> tuple[Tensor, Tensor]:
    """z and g of a batch, by which the rules have made one update, or `step` instead of them."""
    before = stack.snapshot() if stack.skips is not None else None
    z, g = stack.objective.gradient(stack.w, x, y, noise)  # forward, loss, backward
    for block, c in zip(stack.blocks, coefficients, strict=True):
        (step or block.rule.step)(block.state, stack.w[block.rows], g[block.rows], c)  # update
    if before is not None:
        stack.leave_out(before, z, y, g)
    return z, g
