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

from nettrain.optimizers.solvers import REASONS, Solver
from nettrain.parts.models import RowModule
from nettrain.problem import Abandoned, Problem
from nettrain.training.counters import Books
from nettrain.training.engines.choose import Updates
from nettrain.training.stack.stack import Stack

Stop = Callable[[], bool]
Room = Callable[[], int]
Watched = Callable[[Stack, Tensor | None, Tensor], dict[str, Tensor]]

SAMPLES = 2**18  # in the forward passes of a population, or of rows of a Hessian, that are computed at once


@dataclass
class Begun:
    """A pass that was interrupted: how many batches are behind it, and their z."""

    batches: int = 0
    z: list[Tensor] = field(default_factory=list)


@dataclass
class Pass:
    """What a pass leaves behind: z of its batches, their y (..., samples), g and the change of w of its last update."""

    batches: int
    z: list[Tensor]
    y: Tensor
    gradient: Tensor | None
    change: Tensor


def gradient_pass(
    stack: Stack, updates: Updates, epoch: int, rates: np.ndarray, books: Books, stop: Stop, room: Room, begun: Begun
) -> Pass:
    """An update of the rules for each batch, by an engine.

    It ends early when `stop()` is true after a call of the engine, which makes at most `room()` updates.
    """
    zs, batch, before = list(begun.z), begun.batches, torch.empty_like(stack.w)
    updates.begin(stack, epoch, rates, batch)
    while batch < stack.per_epoch:
        number = min(updates.most, stack.per_epoch - batch, max(1, room()))
        batch += number
        z, g = updates.advance(number, before if batch == stack.per_epoch else None)
        zs.append(z)
        books.gradient_updates(number)
        if stop():
            break
    whole = batch == stack.per_epoch
    change = torch.sub(stack.w, before, out=before) if whole else before.fill_(torch.nan)
    return Pass(batch, zs, targets(stack, epoch, batch), g, change)


def targets(stack: Stack, epoch: int, batches: int) -> Tensor:
    """y (..., samples) of the first batches of an epoch."""
    return stack.samples.targets("train", epoch)[..., : batches * stack.samples.bs]


def solver_pass(
    stack: Stack, solver: Solver, epoch: int, books: Books, stop: Stop, begun: Begun, abandon: Stop
) -> Pass:
    """For each batch: one update of the solver. It ends early when `stop()` is true.

    When `abandon()` is true an update is left in the middle, and all is as it was before that update.
    """
    objective, seed = stack.objective, stack.setups[0].settings.seed
    zs, batch = list(begun.z), begun.batches
    change = torch.full_like(stack.w, torch.nan)
    for i, (x, y) in enumerate(stack.samples.batches(epoch)):
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
        if stop():
            break
    return Pass(batch, zs, targets(stack, epoch, batch), stack.state.get("gradient"), change)


def converged(stack: Stack) -> str | None:
    """Why a solver is done, where it is; its test holds for one batch, which has to be the whole training split."""
    return REASONS.get(int(stack.state["converged"])) if stack.state and stack.per_epoch == 1 else None


def measure(stack: Stack, done: Pass, watched: Watched) -> dict[str, Tensor]:
    """The numbers of an epoch, each (...).

    Training loss and metrics are those of the batches: with a rule as they were trained on, with a solver after the
    update. Validation's are those after the epoch; without a validation split, by which epochs are compared, training's
    are, too. `finite` is 0 where all weights are finite, and NaN elsewhere. `watched` is the engine's.
    """
    z, y = torch.cat(done.z, -2), done.y
    values = stack.evaluate("val", stack.w)
    if values:
        train = stack.objective.measure(z, y)
        values = {**{f"train_{name}": value for name, value in train.items()}, **values}
    else:
        values = stack.evaluate("train", stack.w)
    values["finite"] = (stack.w * 0).sum(-1)
    if stack.skips is not None:
        values["skipped_updates"] = stack.skipped
    return {**values, **watched(stack, done.gradient, done.change)}


def finite_batches(stack: Stack, done: Pass) -> list[int]:
    """For each row how many batches of a pass came before the first one with a sample whose loss is not finite."""
    losses = stack.objective.losses(torch.cat(done.z, -2), done.y)
    samples = losses.isfinite().cumprod(-1).sum(-1)
    return [min(done.batches, int(number) // stack.samples.bs) for number in stack.each(samples)]
