"""What several ranks cannot share, refused before training."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from nettrain.errors import ConfigError, first_line
from nettrain.inputs import each
from nettrain.objective import Objective
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.models import RowModule
from nettrain.preparation.prepared import PreparedRun
from nettrain.random import Noise, seeded
from nettrain.samples import ready
from nettrain.vector import constants, flatten


def require_shareable(run: PreparedRun, ranks: int) -> None:
    """Raise `ConfigError` for a run whose batches several ranks cannot divide among them."""
    config, optimizer = run.config, run.optimizer
    without = "start it without torchrun"
    if isinstance(optimizer, Solver):
        raise ConfigError(
            f"optimizer={optimizer.name}: it evaluates the loss at points that it finds as it goes along, which "
            f"{ranks} ranks cannot share; use a gradient rule, such as optimizer=adam, or {without}."
        )
    if config.member_count > 1:
        raise ConfigError(
            f"{config.members_key}: members train together as a stack, which {ranks} ranks cannot share; {without}."
        )
    if config.engine in ("compiled", "graph"):
        raise ConfigError(
            f"engine={config.engine}: it makes many updates at once, between which {ranks} ranks would exchange "
            "gradients; use engine=auto."
        )
    if config.sharded and isinstance(optimizer, TorchOptimizer):
        raise ConfigError(
            f"sharded=true: {optimizer._target_} sees whole parameters, and has no parts of their state; use "
            "sharded=false, or a rule of nettrain's own."
        )
    if config.sharded and isinstance(optimizer, Rule) and optimizer.by_layer:
        raise ConfigError(
            f"sharded=true: optimizer={optimizer.name} works layer by layer, and the part of a rank may begin within a "
            "layer; use sharded=false."
        )
    norms = [name for name, module in run.model.named_modules() if isinstance(module, _BatchNorm)]
    if norms:
        use = "model.norm=layer" if isinstance(run.model, RowModule) else "another norm"
        raise ConfigError(
            f"{_model(run)}: the batch norm {norms[0]} needs the mean and the variance of the whole batch, of which "
            f"each of {ranks} ranks has a part; use {use}, or {without}."
        )
    if not isinstance(run.model, RowModule):
        with seeded(0):
            _try_parts(run, ranks)


def _model(run: PreparedRun) -> str:
    model = run.config.model
    return f"model={model.name}" if isinstance(run.model, RowModule) else f"model._target_={model._target_}"


def _try_parts(run: PreparedRun, ranks: int) -> None:
    """Raise `ConfigError` unless a foreign module computes for parts of a batch what it computes for the whole one."""
    size, dtype, inputs = min(5, run.batch_size), run.config.dtype, run.data.inputs
    rows = run.data.splits["train"][:size]
    x = ready(each(lambda array: array[rows], run.data.x), inputs, dtype)
    y = torch.as_tensor(run.data.y[rows])
    y, w = y if y.dtype == torch.int64 else y.to(dtype), flatten(run.model)
    kept, results = constants(run.model), []
    objective = Objective(run.model, run.head, inputs=inputs, accumulate=run.config.accumulate)
    parts = [torch.arange(size)] if size == 1 else [torch.arange(size // 2), torch.arange(size // 2, size)]
    why = "in training it computes other values for a part of a batch than for the whole one"
    try:
        for samples in (None, *parts):
            objective.buffers = {name: tensor.clone() for name, tensor in kept.items()}
            noise = Noise(1, 0.0, keys=[1], samples=samples, whole=size)
            chosen = slice(None) if samples is None else samples
            z, g = objective.gradient(w, each(lambda t, i=chosen: t[i], x), y[chosen], noise, None, size)
            results.append((z.clone(), g.clone()))
            if any(not torch.equal(tensor, kept[name]) for name, tensor in objective.buffers.items()):
                why = "in training it changes its buffers, which each rank would do by its own samples"
                raise ValueError(why)
        (z, g), *of_parts = results
        together = torch.cat([z for z, _ in of_parts]), torch.stack([g for _, g in of_parts]).sum(0)
        tolerance = 1e-4 if dtype == torch.float32 else 1e-9
        if all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip((z, g), together, strict=True)):
            return
    except Exception as error:
        why = why if str(error) == why else f"it fails on a part of a batch ({first_line(error)})"
    raise ConfigError(f"{_model(run)}: {why}; {ranks} ranks cannot share it: start it without torchrun.")
