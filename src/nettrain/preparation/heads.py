"""What a head has to keep to, and whether it can take the numbers of a target: checked before training."""

import numpy as np
import torch
from torch.distributions import constraints

from nettrain.data.table import Table
from nettrain.data.wording import place
from nettrain.errors import ConfigError, DataError, first_line
from nettrain.parts.heads import Head
from nettrain.parts.heads.numbers import Location

AT_ONCE = 2**20  # numbers of a target that are checked together
_IN_WORDS = {
    constraints.nonnegative_integer: "whole numbers of at least 0",
    constraints.positive: "numbers greater than 0",
    constraints.nonnegative: "numbers of at least 0",
    constraints.unit_interval: "numbers between 0 and 1",
}


def check_shapes(head: Head, classes: int, dtype: torch.dtype) -> None:
    """Raise `ConfigError` for a head of somebody's own that fails, or gives tensors of wrong shapes; `classes` or 0."""
    z = torch.zeros(2, 3, head.outputs(classes), dtype=dtype)
    y = torch.zeros(2, 3, dtype=torch.int64 if classes else dtype)
    if not classes:
        y += 1  # in the support of most families
    expected = {"loss": (2, 3), "loss_gradient": z.shape, "mean": (2, 3, classes) if classes else (2, 3)}
    try:
        found = {"distribution": head.distribution(z).batch_shape}
        if found["distribution"] == (2, 3):
            tensors = {"loss": head.loss(z, y), "loss_gradient": head.loss_gradient(z, y), "mean": head.mean(z)}
            found |= {name: tensor.shape for name, tensor in tensors.items()}
    except Exception as error:
        raise ConfigError(
            f"head={head.name}: it fails on logits of shape {tuple(z.shape)}: {first_line(error)}."
        ) from error
    for name, shape in found.items():
        if shape != expected.get(name, (2, 3)):
            raise ConfigError(
                f"head={head.name}: for logits of shape {tuple(z.shape)} its {name} has the shape {tuple(shape)} "
                f"instead of {tuple(expected.get(name, (2, 3)))}."
            )


def check_support(head: Head, table: Table) -> None:
    """Raise `DataError` for the first number of a regression target that the head's distribution cannot take."""
    if head.for_classes or table.target is None:
        return
    support = head.support
    numbers = table.target if table.counts is None else table.counts
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        fits = support.check(torch.as_tensor(some, dtype=torch.float64)).numpy()
        if not fits.all():
            row, *column = np.argwhere(~fits)[0]
            name = table.targets[column[0]] if table.targets else table.target_name
            where = place(table.source, table.row_number(first + int(row)), name)
            takes = _IN_WORDS.get(support, f"numbers in {support}")
            raise DataError(f"{where}: found {some[row, *column]:.10g}; head={head.name} takes {takes}.")


def check_clipping(clip: bool, head: Head) -> None:
    """Raise `ConfigError` where predictions are to be clipped and a head's outputs are no predicted numbers."""
    if clip and not isinstance(head, Location):
        what = "classes" if head.for_classes else "more of a target than a number that may be clipped"
        raise ConfigError(
            f"data.clip_predictions=true: head={head.name} predicts {what}; use head=identity_mse or huber."
        )


def check_transform(transform: str, head: Head, table: Table) -> None:
    """Raise a `Mistake` for a transform of the target where it is none of numbers that may be transformed."""
    if transform == "none" or table.target is None:
        return
    key = f"data.target_transform={transform}"
    if head.for_classes:
        raise ConfigError(f"{key}: the target {table.target_name!r} holds classes; a transform is for numbers.")
    if not head.standardizes:
        raise ConfigError(
            f"{key}: head={head.name} takes the target in its own units; use a head for any real number, such as "
            "head=identity_mse."
        )
    if transform == "log" and (table.target < 0).any():
        row, *column = np.argwhere(table.target < 0)[0]
        name = table.targets[column[0]] if table.targets else table.target_name
        where = place(table.source, table.row_number(int(row)), name)
        found = f"{table.target[row, *column]:.10g}"
        raise DataError(f"{where}: found {found}; {key} takes numbers of at least 0; use yeo_johnson.")
