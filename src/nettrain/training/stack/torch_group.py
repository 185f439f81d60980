"""Rows of a stack whose optimizers are torch's, or somebody's: each row has an instance of its own.

Only so is a row exactly what the run alone is, for any optimizer: one may mix what its parameters have in common.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.errors import CheckpointError
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.row_optimizer import RowOptimizer, update_keys
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.vector import Layout

Scalars = list[tuple[float, int]]  # of one update: each row's learning rate, and the key of its noise


class TorchGroup:
    """Rows of w (K, P), all of them (`...`) where there is one run, and the optimizer of each."""

    def __init__(
        self,
        rows: slice | EllipsisType,
        parts: Sequence[TorchOptimizer],
        seeds: Sequence[int],
        w: Tensor,
        layout: Layout,
        factors: Sequence[Factors],
    ) -> None:
        self.rows, self.layout, self.factors = rows, layout, factors
        self.optimizers = [self._made(*row) for row in zip(parts, torch.atleast_2d(w), seeds, strict=True)]

    def _made(self, part: TorchOptimizer, w: Tensor, seed: int) -> RowOptimizer:
        return RowOptimizer(part, self.layout, self.factors, w, seed)

    def coefficients(self, t: np.ndarray, lr: np.ndarray, device: torch.device, dtype: torch.dtype) -> list[Scalars]:
        """Each row's learning rate and key for each of the updates t (S,); lr (S,) or (S, K, 1)."""
        of_rows = lr[:, None] if lr.ndim == 1 else lr[:, self.rows, 0]
        keys = np.stack([update_keys(optimizer.seed, t) for optimizer in self.optimizers], axis=1)
        return [list(zip(*update, strict=True)) for update in zip(of_rows.tolist(), keys.tolist(), strict=True)]

    def step(self, w: Tensor, g: Tensor, c: Scalars, step: Any = None) -> None:
        """One update of the rows w (rows, P), or (P,), by their gradients g."""
        rows = zip(self.optimizers, torch.atleast_2d(w), torch.atleast_2d(g), c, strict=True)
        for optimizer, row_w, row_g, scalars in rows:
            optimizer.step(row_w, row_g, *scalars)

    def step_by_closure(self, w: Tensor, c: Scalars, evaluate: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """One update of the only row of w, by the loss and the gradient that `evaluate` gives as often as it likes."""
        (optimizer,), (scalars,) = self.optimizers, c
        row = torch.atleast_2d(w)[0]

        def of_row() -> tuple[Tensor, Tensor]:
            loss, g = evaluate()
            return loss.reshape(()), torch.atleast_2d(g)[0]

        optimizer.step(row, row, *scalars, of_row)

    @property
    def by_closure(self) -> bool:
        """Whether the optimizer evaluates the loss itself; it then is that of the only row."""
        return self.optimizers[0].part.traits.by_closure

    @property
    def switches(self) -> bool:
        """Whether some of the optimizers have other weights in evaluation than in training."""
        return any(optimizer.switches for optimizer in self.optimizers)

    def switch(self, w: Tensor, training: bool) -> None:
        """Exchange the weights w of optimizers that have others in training than in evaluation."""
        for optimizer, row in zip(self.optimizers, torch.atleast_2d(w), strict=True):
            optimizer.switch(row, training)

    def states(self) -> list[dict[str, Any]]:
        """The state of every row, on the host."""
        return [optimizer.state() for optimizer in self.optimizers]

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Take back what `states` gave; w is to be what it was then."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.restore(state)

    def require_alike(self, states: Sequence[Any], paths: Sequence[Path]) -> None:
        """Raise `CheckpointError`, which names the file, for a state that cannot be one of its row."""
        for optimizer, state, path in zip(self.optimizers, states, paths, strict=True):
            if not optimizer.part.fits(state):
                raise CheckpointError(f"{path}: damaged: optimizer does not fit this run.")

    def restart(self, mask: Tensor, w: Tensor) -> None:
        """Begin anew from w in the rows of the mask, (rows,) or 0-d."""
        begun = zip(mask.reshape(-1).tolist(), self.optimizers, torch.atleast_2d(w), strict=True)
        self.optimizers = [
            self._made(optimizer.part, row, optimizer.seed) if anew else optimizer for anew, optimizer, row in begun
        ]

    def select(self, inside: list[int], rows: slice, parts: Sequence[TorchOptimizer]) -> "TorchGroup":
        """The group with these of its rows alone, which then are `rows` of the stack."""
        self.rows, self.optimizers = rows, [self.optimizers[row] for row in inside]
        return self
