"""The weights that are evaluated, where an optimizer has others than those that it trains (schedule-free ones)."""

from collections.abc import Iterator
from contextlib import contextmanager

from nettrain.training.stack.stack import Stack


@contextmanager
def evaluation_weights(stack: Stack, between_epochs: bool) -> Iterator[None]:
    """Within it `stack.w` are the weights of evaluation, which the next epoch exchanges for those of training.

    In the middle of an epoch, which may go on as if nothing had been evaluated, it exchanges them itself, bit by bit.
    """
    groups = [group for group in stack.rule_groups if group.switches]
    before = [] if between_epochs else [(group, stack.w[group.rows].clone(), group.states()) for group in groups]
    for group in groups:
        group.switch(stack.w[group.rows], training=False)
    yield
    for group, w, states in before:
        stack.w[group.rows].copy_(w)
        group.restore(states)
