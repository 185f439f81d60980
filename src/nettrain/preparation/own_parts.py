"""Parts of a person's own are tried before any training: what they get wrong is said with their name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from nettrain.config.build import build_activation
from nettrain.errors import ConfigError, Mistake, UserCodeError
from nettrain.optimizers.rules import Coefficients, Rule
from nettrain.parts.activations import ACTIVATIONS
from nettrain.preparation.prepared import PreparedRun
from nettrain.registry import is_ours
from nettrain.vector import flatten


def try_own_parts(run: PreparedRun) -> None:
    """Raise `ConfigError` for a rule or a schedule of somebody's own that does not do what it should.

    `UserCodeError` where its code fails.
    """
    if not is_ours(type(run.config.schedule)):
        _try_schedule(run)
    if isinstance(run.optimizer, Rule) and not is_ours(type(run.optimizer)):
        _try_rule(run.optimizer, run)


@contextmanager
def calling(group: str, part: Any) -> Iterator[None]:
    """Within it an error of the code of a part of somebody's own names the part."""
    try:
        yield
    except Mistake:
        raise
    except Exception as error:
        if is_ours(type(part)):
            raise
        raise UserCodeError(f"{group}={part.name}: it fails on a first try", error) from error


def try_activation(part: Any) -> None:
    """As `try_own_parts`, for an activation."""
    if is_ours(ACTIVATIONS[part.name]):
        return
    x = torch.linspace(-2, 2, 10).view(2, 5)
    with calling("activation", part):
        y = build_activation(part)(x.clone())
    if not isinstance(y, torch.Tensor) or y.shape != x.shape:
        what = f"a tensor of shape {tuple(y.shape)}" if isinstance(y, torch.Tensor) else f"a {type(y).__name__}"
        raise ConfigError(
            f"activation={part.name}: for x of shape {tuple(x.shape)} it gives {what}; it must give a tensor of that "
            "shape."
        )


def _try_schedule(run: PreparedRun) -> None:
    schedule = run.config.schedule
    t = np.arange(min(run.updates, 1000), dtype=float)
    with calling("schedule", schedule):
        factors = schedule.lr_factors(t, run.updates_per_epoch, run.updates)
    if wrong := [(int(i), factors[i]) for i in np.flatnonzero(~(np.isfinite(factors) & (factors >= 0)))]:
        at, factor = wrong[0]
        raise ConfigError(
            f"schedule={schedule.name}: its factor of the learning rate is {factor:g} at update {at}; it must be a "
            "number that is not negative."
        )


def _try_rule(rule: Rule, run: PreparedRun) -> None:
    w = flatten(run.model).detach().clone()
    if rule.by_layer:
        w = w.view(1, 1, -1)  # as if it were that of one layer
    with calling("optimizer", rule):
        state = rule.init(w)
        scalars = rule.coefficients(np.ones(1), np.full(1, run.lr))
        numbers: Coefficients = {name: float(np.broadcast_to(value, (1,))[0]) for name, value in scalars.items()}
        returned = rule.update(state, w, torch.full_like(w, 1e-3), numbers)
    if returned is not None:
        raise ConfigError(
            f"optimizer={rule.name}: its update returns a {type(returned).__name__}; it must change w in place and "
            "return nothing."
        )
