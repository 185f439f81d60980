"""Updates one by one, as torch computes their operations."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.objective import Objective, samples_at_once
from nettrain.optimizers.pieces import Step
from nettrain.problem import Counts
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.samples import X
from nettrain.training.engines.layer_statistics import layer_statistics
from nettrain.training.engines.protocol import Updates, gradient_costs
from nettrain.training.stack.going_back import leave_out, snapshot
from nettrain.training.stack.rates import coefficients, noises
from nettrain.training.stack.stack import Stack
from nettrain.training.stack.torch_group import TorchGroup

Evaluate = Callable[[], tuple[Tensor, Tensor]]  # the logits z of a batch, and the gradient g of its loss


class Eager:
    """The updates of a stack, each by some dozens of operations on whole tensors.

    `step` is the rules' step, and `objective` has the gradients, where they are computed in another way; the engine is
    then called `name`.
    """

    updates_per_call = 1

    def __init__(
        self, stack: Stack, step: Step | None = None, name: str = "eager", objective: Objective | None = None
    ) -> None:
        self.stack, self.step, self.name = stack, step, name
        self.objective = objective or stack.objective
        self.by_closure = any(isinstance(group, TorchGroup) and group.by_closure for group in stack.rule_groups)

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        stack = self.stack
        for group in stack.rule_groups:
            group.switch(stack.w[group.rows], training=True)
        self.left: Iterator[Any] = zip(
            stack.batches.of_epoch(epoch, first),
            stack.batches.weights_of_epoch(epoch, first),
            itertools.islice(coefficients(stack, epoch, rates), first, None),
            itertools.islice(noises(stack, epoch), first, None),
            strict=True,
        )

    def advance(self, number: int, last: bool) -> Updates:
        zs, w, before, counts = [], self.stack.w, None, Counts()
        for i, ((x, y), weights, scalars, noise) in enumerate(itertools.islice(self.left, number)):
            if last and i == number - 1:
                before = w.clone()
            evaluate = partial(self._gradient, x, y, noise, weights)
            if self.by_closure:
                z, g = self._update_by_closure(evaluate, y, weights, scalars, counts)
            else:
                z, g = self._update(evaluate, y, scalars)
            zs.append(z)
        change = None if before is None else torch.sub(w, before, out=before)
        costs = counts if self.by_closure else gradient_costs(number)
        return Updates(zs[0] if number == 1 else torch.cat(zs, -2), g, change, costs)

    def _gradient(self, x: X, y: Tensor, noise: Noise | None, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """The logits z of a batch, and the gradient g of its loss."""
        return self.objective.gradient(self.stack.w, x, y, noise, weights)

    def _update(self, evaluate: Evaluate, y: Tensor, scalars: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """z and g of a batch, by which the rules have made one update."""
        stack = self.stack
        before = snapshot(stack) if stack.skips is not None else None
        z, g = evaluate()
        with stage("update"):
            for group, c in zip(stack.rule_groups, scalars, strict=True):
                group.step(stack.w[group.rows], g[group.rows], c, self.step)
        if before is not None:
            leave_out(stack, before, z, y, g)
        return z, g

    def _update_by_closure(
        self, evaluate: Evaluate, y: Tensor, weights: Tensor | None, scalars: Sequence[Any], counts: Counts
    ) -> tuple[Tensor, Tensor]:
        """z and g of a batch before an update for which the optimizer evaluates it as often as it likes."""
        (group,), (c,) = self.stack.rule_groups, scalars
        assert isinstance(group, TorchGroup)
        first: list[Tensor] = []

        def closure() -> tuple[Tensor, Tensor]:
            z, g = evaluate()
            if not first:
                first.extend((z, g.clone()))
            counts.function_evaluations += 1
            counts.gradient_evaluations += 1
            return self._loss(z, y, weights), g

        with stage("update"):
            group.step_by_closure(self.stack.w, c, closure)
        z, g = first
        return z, g

    def _loss(self, z: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """The mean loss of a batch with logits z, (...)."""
        return self.stack.objective.mean_loss(z, y, weights)

    def forward(self, split: str, w: Tensor) -> Tensor:
        return forward(self.stack, split, w)

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        return layer_statistics(self.stack, gradient, change)


def forward(stack: Stack, split: str, w: Tensor) -> Tensor:
    """The logits (..., n, outputs) of a whole split, in as few forward passes as memory allows.

    Of several ranks each computes those of its part.
    """
    ranks, part = stack.ranks, slice(None)
    if ranks.size > 1:
        part = ranks.part(stack.batches.size[split])
    parts = stack.batches.parts(split, samples_at_once(w, stack.objective.inputs), part)
    zs = [stack.objective.logits(w, x) for x, y in parts if len(y)]
    return ranks.joined(torch.cat(zs, -2) if zs else w.new_empty(*w.shape[:-1], 0, stack.runs[0].outputs), -2)
