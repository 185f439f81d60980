"""The updates of a run whose optimizer is a solver: it evaluates a batch as often as it needs."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nettrain.optimizers.solvers import Solver
from nettrain.parts.models import RowModule
from nettrain.problem import Problem
from nettrain.profile import stage
from nettrain.samples import X
from nettrain.storage.checkpoint_files import require_alike
from nettrain.training.engines.eager import forward
from nettrain.training.engines.layer_statistics import layer_statistics
from nettrain.training.engines.protocol import Updates
from nettrain.training.stack.stack import Stack

SAMPLES = 2**18  # in the forward passes of a population, or of rows of a Hessian, that are computed at once


class SolverEngine:
    """One update of the solver for each batch, left in the middle where `abandon()` is true."""

    name = "eager"
    updates_per_call = 1

    def __init__(self, stack: Stack, solver: Solver, abandon: Callable[[], bool]) -> None:
        self.stack, self.solver, self.abandon = stack, solver, abandon
        if stack.solver_state:  # from a checkpoint
            self.begin_epoch(0, np.empty(0), 0)
            problem, _ = self._problem()
            expected = solver.init(problem, stack.w.clone(), stack.runs[0].config.seed)
            require_alike(stack.solver_state, expected, stack.runs[0].folder / "checkpoints" / "last.pt", "optimizer")

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        self.t = epoch * self.stack.per_epoch + first
        batches = self.stack.batches
        self.left = zip(batches.of_epoch(epoch, first), batches.weights_of_epoch(epoch, first), strict=True)

    def advance(self, number: int, last: bool) -> Updates:
        stack, objective, solver = self.stack, self.stack.objective, self.solver
        problem, x = self._problem()
        # Until the update is over, all is as it was before.
        w, state = stack.w.clone(), {name: tensor.clone() for name, tensor in stack.solver_state.items()}
        seed = stack.runs[0].config.seed
        with stage("update"):
            if not state:
                state = solver.init(problem, w, seed)
            elif stack.per_epoch > 1:
                solver.renew(problem, state, w)
            solver.step(problem, state, w, self.t + 1, seed)
        change = w - stack.w
        stack.w.copy_(w)
        stack.solver_state, self.t = state, self.t + 1
        with torch.no_grad():
            z = objective.logits(w, x)
        return Updates(z, state.get("gradient"), change, problem.counts)

    def _problem(self) -> tuple[Problem, X]:
        """The loss of the next batch as a function of w, and its x."""
        (x, y), weights = next(self.left)
        value, chunk = partial(self.stack.objective.value, x=x, y=y, weights=weights), max(1, SAMPLES // len(y))
        return Problem(value, isinstance(self.stack.objective.model, RowModule), chunk, self.abandon, len(y)), x

    def forward(self, split: str, w: Tensor) -> Tensor:
        return forward(self.stack, split, w)

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        return layer_statistics(self.stack, gradient, change)
