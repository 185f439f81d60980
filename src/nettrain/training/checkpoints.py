"""The checkpoints of a stack's rows: all that going on needs, when they are due, and how a stack stands there again."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nettrain.config.settings import Checkpoint
from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import stage
from nettrain.storage.atomic import write_together
from nettrain.storage.checkpoint_files import require_alike, save_checkpoint
from nettrain.training.outputs import Outputs
from nettrain.training.run_state import RunState
from nettrain.training.stack.rule_groups import Group
from nettrain.training.stack.stack import Stack
from nettrain.vector import constants, join, state_dict

FLUSH_SECONDS = 1.0  # between two times at which what is recorded is written
ROW_FLUSH_SECONDS = 0.01  # the same for each row of a stack: writing takes about a tenth of that


class SaveTimes:
    """When checkpoints are due, and when what is recorded is to be written."""

    def __init__(self, asked: Sequence[Checkpoint], alone: bool, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives the seconds, by default those of this process."""
        self.clock = clock = clock or time.monotonic
        self.every_seconds = min(checkpoint.every_seconds for checkpoint in asked)
        self.every_steps = min(checkpoint.every_steps or math.inf for checkpoint in asked)
        self.alone = alone
        self.saved, self.saved_updates = clock(), 0
        self.saving_seconds = 0.0  # that it took to save all rows
        # A run alone is written after its first epoch; that of many rows would cost as much as the training of a few.
        self.flushed = -math.inf if alone else clock()

    def due(self, updates: int) -> bool:
        """Whether checkpoints are to be saved now, after so many updates.

        A stack's are further apart where writing them would take a large share of the time.
        """
        seconds = self.every_seconds if self.alone else max(self.every_seconds, 10 * self.saving_seconds)
        return self.clock() - self.saved > seconds or updates - self.saved_updates >= self.every_steps

    def note(self, updates: int) -> None:
        """Checkpoints have been saved now, after so many updates."""
        self.saved, self.saved_updates = self.clock(), updates

    def updates_until_due(self, updates: int) -> float:
        """How many more updates may be made before the next checkpoint; infinite where the time alone decides."""
        return self.every_steps - (updates - self.saved_updates)

    def flush_due(self, rows: int) -> bool:
        """Whether what so many rows have recorded is to be written; those who ask write it then."""
        now = self.clock()
        due = now - self.flushed > max(FLUSH_SECONDS, ROW_FLUSH_SECONDS * rows)
        if due:
            self.flushed = now
        return due


def save_rows(
    stack: Stack, rows: Sequence[RunState], which: Sequence[int], position: dict[str, Any], outputs: Outputs | None
) -> None:
    """Write last.pt, all that going on needs, and best.pt of these rows.

    `position` is where they stand, alike for all; `outputs` those of an epoch that is not over. Weights that are
    not finite replace no checkpoint while their row is running. Of several ranks the leader writes, what all have.
    """
    if not stack.ranks.leads:
        if outputs:
            outputs.saved()
        _optimizer_states(stack)
        return
    state_of = states_of(stack, rows, outputs)

    def save(i: int) -> None:
        row = rows[i]
        if row.status == "failed":
            return
        state = state_of(i)
        if row.running and not is_finite(state):
            return
        callbacks = row.saved()
        if row.status == "failed":  # by a callback: its last checkpoint is one from which it can go on
            return
        folder, usable = row.run.folder / "checkpoints", what_is_needed(row.run)
        last = {**usable, **state, "callbacks": callbacks, **position}
        save_checkpoint(folder / "last.pt", last, keep="previous.pt")
        if row.best and row.best_saved != row.best["epoch"]:
            best = {"model": state["best_model"], "buffers": state["best_buffers"], "best": row.best}
            save_checkpoint(folder / "best.pt", {**usable, **best, "epoch": int(row.best["epoch"])})
            row.best_saved = row.best["epoch"]

    with stage("writing"):
        write_together(save, which)


def states_of(stack: Stack, rows: Sequence[RunState], outputs: Outputs | None) -> Callable[[int], dict[str, Any]]:
    """What gives all that going on with a row needs and is its own, by its number; outputs as for `save_rows`."""
    of_epoch = outputs.saved() if outputs else [None] * len(rows)
    optimizers, skipped = _optimizer_states(stack), [int(n) for n in stack.each(stack.skipped)]
    buffers, best_buffers = stack.each_of(stack.objective.buffers), stack.each_of(stack.best.buffers)
    ws, best_ws = list(stack.each(stack.w)), list(stack.each(stack.best.w))

    def state_of(i: int) -> dict[str, Any]:
        row = rows[i]
        return {
            "model": state_dict(row.run.model, ws[i], buffers[i]),
            "buffers": buffers[i],
            "optimizer": optimizers[i],
            "schedule": row.run.config.schedule.state(),
            "last": row.last,
            "best": row.best,
            "progress": row.progress,
            "halvings": row.lr_halvings,
            "initial": row.initial,
            "skipped": skipped[i],
            "status": row.status,
            "pruned": row.reason if row.pruned else None,
            "best_model": state_dict(row.run.model, best_ws[i], best_buffers[i]),
            "best_buffers": best_buffers[i],
            "outputs": of_epoch[i],
            "path": row.trajectory.state() if row.trajectory else None,
        }

    return state_of


def is_finite(state: dict[str, Any]) -> bool:
    """Whether all weights of a row's state are finite."""
    return all(tensor.isfinite().all() for name, tensor in state["model"].items() if name not in state["buffers"])


def what_is_needed(run: PreparedRun) -> dict[str, Any]:
    """What a prediction needs beside the weights: where the model's inputs come from."""
    return {
        "head": run.head.name,
        "encoder": run.data.encoder.state,
        "data": run.data.digest,
        "config": run.container,
    }


def _optimizer_states(stack: Stack) -> list[dict[str, Any]]:
    """The state of every run's optimizer, on the host."""
    if not stack.rule_groups:
        return list(stack.each_of(stack.solver_state))
    return [state for group in stack.rule_groups for state in group.states()]


def restore_stack(stack: Stack, checkpoints: Sequence[dict[str, Any]]) -> None:
    """Take back the weights, buffers and optimizer state of every run, from a last.pt of each.

    Raises `CheckpointError` for one whose tensors are not those of its run.
    """
    names = stack.objective.layout.names
    _require_alike(stack, checkpoints)
    stack.skipped.copy_(stack.join([torch.tensor(c["skipped"]) for c in checkpoints]))
    stack.w.copy_(stack.join([join(c["model"][name] for name in names) for c in checkpoints]))
    stack.best.w.copy_(stack.join([join(c["best_model"][name] for name in names) for c in checkpoints]))
    for name in stack.objective.buffers:
        stack.objective.buffers[name].copy_(stack.join([c["buffers"][name] for c in checkpoints]))
        stack.best.buffers[name].copy_(stack.join([c["best_buffers"][name] for c in checkpoints]))
    if not stack.rule_groups:
        stack.solver_state = {name: tensor.to(stack.device) for name, tensor in checkpoints[0]["optimizer"].items()}
    for group in stack.rule_groups:
        group.restore([checkpoint["optimizer"] for checkpoint in _members(checkpoints, group)])


def _require_alike(stack: Stack, checkpoints: Sequence[dict[str, Any]]) -> None:
    """Raise `CheckpointError` where the buffers, or the state of a rule, have other names, shapes or types."""
    paths = [run.folder / "checkpoints" / "last.pt" for run in stack.runs]
    for run, checkpoint, path in zip(stack.runs, checkpoints, paths, strict=True):
        for name in ("buffers", "best_buffers"):
            require_alike(checkpoint[name], constants(run.model), path, name)
    for group in stack.rule_groups:
        states = [checkpoint["optimizer"] for checkpoint in _members(checkpoints, group)]
        group.require_alike(states, _members(paths, group))


def _members(of_rows: Sequence[Any], group: Group) -> Sequence[Any]:
    """Those of the group's rows."""
    return of_rows[group.rows] if isinstance(group.rows, slice) else of_rows
