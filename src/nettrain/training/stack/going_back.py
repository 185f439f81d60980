"""Rows that go back to what they were: after an update that is left out, or to their best weights."""

from collections.abc import Iterator
from types import EllipsisType

import torch
from torch import Tensor

from nettrain.training.stack.rows import where
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack


def snapshot(stack: Stack) -> list[Tensor]:
    """A copy of everything that an update by a rule changes."""
    return [tensor.clone() for tensor, _ in _changing(stack)]


def leave_out(stack: Stack, before: list[Tensor], z: Tensor, y: Tensor, g: Tensor) -> None:
    """Take back the last update in the rows that skip what is not finite: the loss, the gradient g or the weights.

    `before` is the snapshot before the update. It is an update that counts, but changes nothing; `stack.skipped` says
    how many there were.
    """
    assert stack.skips is not None
    finite = stack.objective.losses(z, y).isfinite().all(-1) & g.isfinite().all(-1) & stack.w.isfinite().all(-1)
    bad = stack.skips & (stack.ranks.sum_((~finite).long()) > 0)  # for any of the ranks, which have a part each
    for (tensor, rows), old in zip(_changing(stack), before, strict=True):
        tensor.copy_(where(bad[rows], old, tensor))
    stack.skipped += bad


@torch.no_grad()
def go_back_to_best(stack: Stack, rows: list[bool]) -> None:
    """Give these rows their best weights and buffers, and an optimizer state as at the beginning."""
    mask = stack.mask(rows)
    stack.w.copy_(where(mask, stack.best.w, stack.w))
    for name, tensor in stack.objective.buffers.items():
        tensor.copy_(where(mask, stack.best.buffers[name], tensor))
    for group in stack.rule_groups:
        group.restart(mask[group.rows], stack.w[group.rows])


def _changing(stack: Stack) -> Iterator[tuple[Tensor, slice | EllipsisType]]:
    """All tensors that an update by a rule changes, and the rows of the stack that each one holds."""
    yield stack.w, ...
    yield stack.skipped, ...
    for tensor in stack.objective.buffers.values():
        yield tensor, ...
    for group in stack.rule_groups:
        assert isinstance(group, RuleGroup)  # `prepare` lets no other skip updates
        for tensor in group.state.values():
            yield tensor, group.rows
