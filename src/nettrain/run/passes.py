"""One pass over the training split: the loop of every epoch.

`gradient_pass` is that of the rules, for w of shape (P,) or (K, P); `solver_pass` that of the methods which evaluate
a batch as often as they need.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nettrain.parts.models import RowModule
from nettrain.parts.solvers import REASONS, Solver
from nettrain.problem import Abandoned, Problem
from nettrain.run.books import Books
from nettrain.run.stack import Stack

Stop = Callable[[], bool]

SAMPLES = 2**18  # in the forward passes of a population, or of rows of a Hessian, that are computed at once


@dataclass
class Begun:
    """A pass that was interrupted: how many batches are behind it, and their z."""

    batches: int = 0
    z: list[Tensor] = field(default_factory=list)


@dataclass
class Pass:
    """What a pass leaves behind: z and y of the batches that it came to, and g and the change of w of its last update.

    `reason` says why the optimizer itself is done, where it is.
    """

    batches: int
    z: list[Tensor]
    y: list[Tensor]
    gradient: Tensor | None
    change: Tensor
    reason: str | None = None


def gradient_pass(stack: Stack, epoch: int, rates: np.ndarray, books: Books, stop: Stop, begun: Begun) -> Pass:
    """For each batch: forward, loss, backward, update. It ends early when `stop()` is true after an update."""
    w, objective = stack.w, stack.objective
    weights = [w[block.rows] for block in stack.blocks]
    zs, ys, batch = list(begun.z), [], begun.batches
    coefficients, noises = stack.coefficients(epoch, rates), stack.noises(epoch)
    for i, (x, y) in enumerate(stack.samples.batches(epoch)):
        ys.append(y)
        if i < begun.batches:
            continue
        batch += 1
        if batch == stack.per_epoch:
            before = w.clone()
        z, g = objective.gradient(w, x, y, noises[i])  # forward, loss, backward
        for block, rows, c in zip(stack.blocks, weights, coefficients[i], strict=True):
            block.rule.step(block.state, rows, g[block.rows], c)  # update
        zs.append(z)
        books.gradient_update()
        if stop():
            break
    change = w - before if batch == stack.per_epoch else torch.full_like(w, torch.nan)
    return Pass(batch, zs, ys, g, change)


def solver_pass(
    stack: Stack, solver: Solver, epoch: int, books: Books, stop: Stop, begun: Begun, abandon: Stop
) -> Pass:
    """For each batch: one update of the solver. It ends early when `stop()` is true, or when the solver is done.

    When `abandon()` is true an update is left in the middle, and all is as it was before that update.
    """
    objective, seed = stack.objective, stack.setups[0].settings.seed
    zs, ys, batch = list(begun.z), [], begun.batches
    reason, change = None, torch.full_like(stack.w, torch.nan)
    for i, (x, y) in enumerate(stack.samples.batches(epoch)):
        ys.append(y)
        if i < begun.batches:
            continue
        value, chunk = partial(objective.value, x=x, y=y), max(1, SAMPLES // len(y))
        problem = Problem(value, isinstance(objective.model, RowModule), chunk, abandon)
        w, state, counts = stack.w.clone(), {name: t.clone() for name, t in stack.state.items()}, replace(books.counts)
        problem.counts = counts
        try:
            if not state:
                state = solver.init(problem, w, seed)
            elif stack.per_epoch > 1:
                solver.renew(problem, state, w)
            solver.step(problem, state, w, books.updates + 1, seed)
        except Abandoned:
            break
        change = w - stack.w
        stack.w.copy_(w)
        stack.state, books.counts = state, counts
        books.updates, batch = books.updates + 1, batch + 1
        with torch.no_grad():
            zs.append(objective.logits(w, x))
        reason = REASONS.get(int(state["converged"])) if stack.per_epoch == 1 else None
        if reason or stop():
            break
    return Pass(batch, zs, ys[:batch], stack.state.get("gradient"), change, reason)


def measure(stack: Stack, done: Pass) -> dict[str, Tensor]:
    """The numbers of an epoch, each (...).

    Training loss and metrics are those of the batches: with a rule as they were trained on, with a solver after the
    update. Validation's are those after the epoch; without a validation split, by which epochs are compared, training's
    are, too. `finite` is 1 where all weights are.
    """
    norm = torch.linalg.vector_norm
    values = stack.evaluate("val", stack.w)
    if values:
        train = stack.objective.measure(torch.cat(done.z, -2), torch.cat(done.y, -1))
        values = {**{f"train_{name}": value for name, value in train.items()}, **values}
    else:
        values = stack.evaluate("train", stack.w)
    values["finite"] = stack.w.isfinite().all(-1)
    if done.gradient is not None:
        values["gradient_norm"] = norm(done.gradient, dim=-1)
    values["update_to_weight"] = norm(done.change, dim=-1) / norm(stack.w, dim=-1)
    return values
