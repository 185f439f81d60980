"""Which runs train together as one stack, and how many of them fit into memory."""

from collections.abc import Hashable, Sequence

import torch
from torch import nn

from nettrain.compiler.library import compiler
from nettrain.errors import first_line
from nettrain.objective import Objective
from nettrain.optimizers.rules import Rule
from nettrain.parts.models import RowModule
from nettrain.preparation.prepared import Setup
from nettrain.random import Noise, seeded
from nettrain.training.stack.rule_groups import kind
from nettrain.vector import Layout, constants, flatten

CACHE = 16 * 2**20  # bytes of weights, gradients and two vectors of state that stay near the processor
LEAST_ROWS = 16  # beyond which the overhead of a step is small in any case
VECTORS = 16  # of P numbers that a row holds at once: w, its best, g twice, three of state, a copy, temporaries


def shared(setup: Setup) -> Hashable:
    """What all runs of a stack have in common, as far as it shows in tensors: shapes and kinds."""
    data, encoder = setup.data, setup.data.encoder
    return (
        Layout.of(setup.model),
        setup.head.name,
        (encoder.task, len(encoder.classes), data.x.shape[1]),
        tuple(len(rows) for rows in data.splits.values()),
        setup.settings.batch_size(setup.n_train),
    )


def row_bytes(setup: Setup) -> int:
    """An upper estimate of the memory that the run needs as a row of a stack."""
    size = torch.finfo(setup.settings.dtype).bits // 8
    outputs = setup.head.outputs(len(setup.data.encoder.classes))
    units = sum(shape[0] for shape in Layout.of(setup.model).shapes if len(shape) > 1) + setup.data.x.shape[1]
    samples = setup.settings.batch_size(setup.n_train)
    epoch = setup.data.x.size + len(setup.data.y) * (outputs + 3)  # its data, and z and y of an epoch's batches
    return size * (VECTORS * setup.parameters + 4 * samples * units + epoch)


def by_kind(setups: Sequence[Setup]) -> list[int]:
    """The runs' positions in the order in which a stack holds them: rules of one kind are neighbours."""
    kinds = [str(kind(setup.optimizer)) for setup in setups if isinstance(setup.optimizer, Rule)]
    return sorted(range(len(setups)), key=kinds.__getitem__)


def refusal(setup: Setup) -> str | None:
    """Why the run has to train alone; None if it can be a row of a stack.

    A module that is not nettrain's own is tried: two rows of it have to compute under `torch.func.vmap` what they
    compute one by one. It cannot draw noise, as each run's noise is its own.
    """
    if not isinstance(setup.optimizer, Rule):
        return f"optimizer={setup.optimizer.name} trains alone"
    if setup.settings.engine == "fused":
        return "engine=fused is for one large network"
    if isinstance(setup.model, RowModule):
        return None
    name = setup.config["model"]["_target_"]
    try:
        with seeded(0):
            return None if _rows_agree(setup.model, setup) else f"{name} gives other values for rows of a stack"
    except Exception as error:  # whatever a module of somebody else's raises under vmap
        noisy = "randomness" in str(error)
        return f"{name} {'draws random numbers' if noisy else f'is refused by vmap ({first_line(error)})'}"


def _rows_agree(model: nn.Module, setup: Setup) -> bool:
    """Whether values, gradients and buffers of two rows are those of each row alone, in training and evaluation."""
    dtype = setup.settings.dtype
    size = min(4, setup.settings.batch_size(setup.n_train))
    x, y = (torch.as_tensor(a[:size]) for a in (setup.data.x, setup.data.y))
    x, y = x.to(dtype), y if y.dtype == torch.int64 else y.to(dtype)
    w = torch.stack([flatten(model), flatten(model) * 0.5])
    results = []
    for rows in (w, w[0], w[1]):
        objective = Objective(model, setup.head)
        objective.buffers = {k: t.expand(rows.shape[:-1] + t.shape).clone() for k, t in constants(model).items()}
        z, g = objective.gradient(rows, x, y, Noise(0, 0.0))
        results.append([z, g, *objective.buffers.values(), objective.logits(rows, x).detach()])
    together, *alone = results
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    return all(
        torch.allclose(t.to(torch.float64), torch.stack(rows).to(torch.float64), rtol=tolerance, atol=tolerance)
        for t, *rows in zip(together, *alone, strict=True)
    )


def fast_rows(setup: Setup, device: torch.device) -> float:
    """The number of rows beyond which a stack on the CPU gets no faster, as its vectors leave the caches.

    There is no such number where a program computes one row after another.
    """
    compiled = setup.settings.engine != "eager" and isinstance(setup.model, RowModule) and compiler() is not None
    if device.type != "cpu" or compiled:
        return float("inf")
    size = torch.finfo(setup.settings.dtype).bits // 8
    return max(LEAST_ROWS, CACHE // (4 * size * setup.parameters))
