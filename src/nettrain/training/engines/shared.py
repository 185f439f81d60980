"""The updates of a run that several ranks share: each computes the gradient of its part of every batch."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.samples import X
from nettrain.training.engines.eager import Eager
from nettrain.training.stack.sharded_group import ShardedGroup, padded


class Shared(Eager):
    """As `Eager`; z are the logits of this rank's samples.

    Of a gradient that is sharded an update leaves this rank's part, until `layer_statistics` has it whole.
    """

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        super().begin_epoch(epoch, rates, first)
        self.left = self._own(self.left, epoch, first)

    def _own(self, left: Iterator[Any], epoch: int, first: int) -> Iterator[Any]:
        """Weights and noise of this rank's samples alone; `whole` is the size of the batch that they are a part of."""
        batches = self.stack.batches
        sizes = itertools.chain(itertools.repeat(batches.bs, batches.per_epoch - 1 - first), [batches.last])
        all_samples = batches.samples_of_epoch(epoch, first)
        for (batch, weights, scalars, noise), samples, self.whole in zip(left, all_samples, sizes, strict=True):
            if weights is not None:
                weights = weights.index_select(0, samples)
            yield batch, weights, scalars, noise and replace(noise, samples=samples, whole=self.whole)

    def _gradient(self, x: X, y: Tensor, noise: Noise | None, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        stack, objective, w = self.stack, self.objective, self.stack.w
        if len(y):
            z, g = objective.gradient(w, x, y, noise, weights, self.whole)
        else:  # of a batch with fewer samples than there are ranks
            z, g = w.new_empty(*w.shape[:-1], 0, stack.runs[0].outputs), objective.room_for(w).zero_()
        with stage("exchange"):
            if self.sharded:
                stack.ranks.sum_of_part_(padded(g, stack.ranks))
            else:
                stack.ranks.sum_(g)
        return z, g

    @property
    def sharded(self) -> bool:
        """Whether the state of the rule is."""
        return isinstance(self.stack.rule_groups[0], ShardedGroup)

    def _loss(self, z: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        own = super()._loss(z, y, weights) * (len(y) / self.whole) if len(y) else z.new_zeros(z.shape[:-2])
        return self.stack.ranks.sum_(own)

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        if gradient is not None and self.sharded:
            self.stack.ranks.gather_parts_(padded(gradient, self.stack.ranks))
        return super().layer_statistics(gradient, change)
