"""What the parts of a run cannot do together, refused before training."""

import copy
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from nettrain.compiler.library import compiler
from nettrain.config.schema import Config
from nettrain.errors import ConfigError, first_line
from nettrain.inputs import described
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.heads import Head
from nettrain.parts.models import Polynomial, RowModule, can_be_compiled
from nettrain.parts.schedules import Constant
from nettrain.preparation.prepared import PreparedRun
from nettrain.registry import subclasses
from nettrain.samples import WITHOUT_DOUBLES, example
from nettrain.wording import counted, joined

_HEADS: list[Any] = subclasses(Head)

NO_COMPILER = "there is no C++ compiler (g++ or clang++, or what CXX names)"


def check_streamed(config: Config) -> None:
    """Raise `ConfigError` for what needs the whole table in memory."""
    if config.bs == "full":
        raise ConfigError(
            "bs=full: the table is read in parts, and never lies in memory as a whole; use a number of samples, or "
            "data.stream=false."
        )
    if isinstance(config.model, Polynomial):
        raise ConfigError(
            f"model={config.model.name}: it is compared with least squares, which need the whole table, and this one "
            "is read in parts; use data.stream=false."
        )


def check_calibration(run: PreparedRun) -> None:
    """Raise `ConfigError` where there is no temperature, or nothing that would show it."""
    if not run.head.has_temperature:
        what = "has logits without a temperature" if run.head.for_classes else "predicts numbers"
        heads = joined([head.name for head in _HEADS if head.has_temperature])
        raise ConfigError(f"calibrate=always: head={run.head.name} {what}; it is for head={heads}.")
    if not len(run.data.splits["val"]):
        raise ConfigError("calibrate=always: no rows validate; use data.val_fraction=0.15, or calibrate=auto.")


def check_compiled(run: PreparedRun, device: torch.device) -> None:
    """Raise `ConfigError` for a run that cannot be compiled, or its rule fused."""
    config = run.config
    whole = config.engine == "compiled"
    if isinstance(run.optimizer, Solver):
        why = f"optimizer={run.optimizer.name} evaluates the loss as it goes along; only gradient rules can be compiled"
    elif isinstance(run.optimizer, TorchOptimizer):
        why = f"{run.optimizer._target_} is code of its own; only nettrain's rules can be compiled"
    elif not whole and (run.optimizer.by_layer or any(factors != Factors() for factors in run.factors)):
        why = "it makes one pass over all weights, which are not alike for a rule that knows layers or groups"
    elif whole and not isinstance(run.model, RowModule):
        why = "only nettrain's own models can be compiled"
    elif whole and not can_be_compiled(run.model):
        why = f"model={config.model.name} has layers that compiled programs do not know"
    elif whole and not run.compilable:
        why = f"compiled programs read floats, and x holds {described(run.data.inputs)}"
    elif whole and run.data.streamed:
        why = "compiled programs read all data in memory, and these are read in parts"
    elif whole and config.on_divergence == "skip_step":
        why = "on_divergence=skip_step looks at every update, which a compiled program cannot do"
    elif whole and (config.accumulate > 1 or config.precision in ("bf16", "tf32")):
        why = "accumulate and precision=bf16 or tf32 are for large networks and cannot be compiled"
    elif not whole and device.type != "cpu":
        why = f"rules are fused on the CPU only, and this run is on {device.type}"
    elif device.type == "cpu" and compiler() is None:
        why = NO_COMPILER
    else:
        return
    raise ConfigError(f"engine={config.engine}: {why}; use engine=auto.")


def check_inductor(run: PreparedRun, device: torch.device) -> None:
    """Raise `ConfigError` for a run whose network `torch.compile` is not asked to compile."""
    if isinstance(run.optimizer, Solver):
        why = f"optimizer={run.optimizer.name} evaluates the loss in its own ways; it is for gradient rules"
    elif run.config.member_count > 1:
        why = f"it is for one large network, and {run.config.members_key} trains several together"
    elif device.type == "cpu" and compiler() is None:
        why = NO_COMPILER
    else:
        return
    raise ConfigError(f"engine=inductor: {why}; use engine=auto.")


def check_device(config: Config, device: torch.device) -> None:
    """Raise `ConfigError` for what the device does not have."""
    if config.precision == "float64" and device.type in WITHOUT_DOUBLES:
        raise ConfigError(f"precision=float64: device={device.type} has no such numbers; use float32, or device=cpu.")
    if config.precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision=tf32: it is for device=cuda, and this run is on {device.type}; use float32.")
    if config.engine == "graph" and device.type != "cuda":
        raise ConfigError(f"engine=graph: CUDA graphs are for device=cuda, and this run is on {device.type}; use auto.")


def check_solver(run: PreparedRun) -> None:
    """Raise `ConfigError` for what only means something to a gradient rule."""
    config = run.config
    if any(factors != Factors() for factors in run.factors):
        raise ConfigError(
            f"groups: optimizer={config.optimizer.name} has neither a learning rate nor a weight decay; of groups it "
            "knows freeze only."
        )
    name = config.optimizer.name
    if isinstance(run.model, RowModule) and run.model.copies > 1:
        raise ConfigError(
            f"optimizer={name}: it compares values of one loss, and each of the {run.model.copies} predictions of "
            f"model={config.model.name} is trained by its own; use a gradient optimizer, such as optimizer=adam."
        )
    if getattr(config.model, "dropout", 0.0):
        raise ConfigError(
            f"model.dropout={config.model.dropout}: optimizer={name} compares the loss at several points, which "
            "dropout would make random; use model.dropout=0 or a gradient optimizer."
        )
    if config.on_divergence != "stop":
        raise ConfigError(
            f"on_divergence={config.on_divergence}: optimizer={name} has neither a learning rate to halve nor a "
            "gradient step to skip; use on_divergence=stop."
        )
    if config.schedule != Constant():
        key = "schedule.warmup" if isinstance(config.schedule, Constant) else f"schedule={config.schedule.name}"
        raise ConfigError(f"{key}: optimizer={name} finds its own step lengths; use schedule=constant without warm-up.")


def check_batch_norm(run: PreparedRun) -> None:
    """Raise `ConfigError` where a batch norm would see a batch, or a part of one, of a single sample."""
    norms = [name for name, module in run.model.named_modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    accumulate = run.config.accumulate
    in_parts = f" in accumulate={accumulate} parts" if accumulate > 1 else ""
    for batch in (run.batch_size, run.last_batch):
        part = -(-batch // accumulate)
        if 1 in (part, batch % part):
            last = "the last batch" if batch != run.batch_size else "a batch"
            drop = "drop_last=true, " if batch != run.batch_size else ""
            raise ConfigError(
                f"bs={run.config.bs}: {last}, {counted(batch, 'sample')}{in_parts}, leaves one sample to the batch "
                f"norm {norms[0]}, which needs the variance of several; use {drop}another bs or model.norm=layer."
            )


def try_last_batch(run: PreparedRun) -> None:
    """Raise `ConfigError` if a foreign module cannot be trained on the last, perhaps smaller batch."""
    x = example(run.data.inputs, run.last_batch, run.config.dtype)
    try:
        copy.deepcopy(run.model).train()(x)
    except Exception as error:
        raise ConfigError(
            f"model._target_={run.config.model._target_}: in training it fails on a batch of {run.last_batch} rows, "
            f"the last one: {first_line(error)}; use drop_last=true or another bs."
        ) from error
