"""From a checked config to a run that is ready to train: whatever a person can get wrong comes to light here."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nettrain.compiler.library import compiler
from nettrain.config.build import build_activation, choose_head
from nettrain.config.model import build_model
from nettrain.config.run_data import Load, load_data
from nettrain.config.schema import Config
from nettrain.data import Data
from nettrain.errors import ConfigError, first_line
from nettrain.inputs import one_of
from nettrain.optimizers.curvature import LBFGS, Newton
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.callbacks import Callback
from nettrain.parts.heads import Head
from nettrain.parts.heads.independent import for_targets
from nettrain.parts.models import DenseNetwork, Polynomial, RowModule, can_be_compiled
from nettrain.parts.schedules import Constant
from nettrain.parts.slopes import slopes
from nettrain.parts.torch_scheduler import TorchScheduler
from nettrain.preparation.callbacks import build_callbacks
from nettrain.preparation.heads import check_shapes, check_support
from nettrain.preparation.own_parts import calling, try_activation, try_own_parts
from nettrain.preparation.prepared import PreparedRun
from nettrain.preparation.torch_optimizers import try_torch_optimizer
from nettrain.random import member_seed, seeded
from nettrain.registry import is_ours, subclasses
from nettrain.samples import example
from nettrain.wording import counted, duration, joined

_CPU = torch.device("cpu")
_HEADS: list[Any] = subclasses(Head)


@dataclass(frozen=True)
class HandedOver:
    """What was handed over in Python, and takes the place of what the config names.

    `load(dataset, seed, split)` reads the data, by default `nettrain.data.load`; a copy of `module` is the model;
    `head` is one whose loss no config can name; `callbacks` give those of a run by their keys in the config.
    """

    load: Load | None = None
    module: nn.Module | None = None
    head: Head | None = None
    callbacks: Mapping[str, Callable[[], Callback]] = field(default_factory=dict)


NOTHING = HandedOver()


def prepare(config: Config, folder: Path, device: torch.device = _CPU, handed: HandedOver = NOTHING) -> PreparedRun:
    """Read the data and build the parts of a run on `device` that will write into `folder`; nothing is written yet.

    Raises `ConfigError` or `DataError` for anything that would keep the run from training.
    """
    try_activation(config.activation)
    with calling("data", config.data):
        loaded = load_data(config, handed.load)
    loaded = loaded.limited(config.debug.most(config.bs), config.debug.share)
    # The schedule is the run's own: it remembers what it has seen.
    schedule = copy.deepcopy(config.schedule)
    head = choose_head(handed.head or config.head, loaded.encoder, loaded.table.options is not None)
    if not is_ours(type(head)):
        check_shapes(head, len(loaded.encoder.classes), config.dtype)
    check_support(head, loaded.table)
    if loaded.streamed:
        _check_streamed(config)
    loaded = loaded.scaled_target(head.standardizes).with_class_weights(config.class_weight)
    config = dataclasses.replace(config, head=head, schedule=schedule)
    with seeded(config.seed):
        model = build_model(config, loaded.encoder, for_targets(head, loaded.encoder.targets), handed.module)
    debug = ["this is a debug run: it uses part of the data."] if config.debug else []
    notes = [
        *debug,
        *_notes_on_splits(config, loaded),
        *loaded.notes,
        *getattr(config.model, "notes", []),
        *_notes(config, model),
    ]
    run = PreparedRun(folder, config, loaded, model, notes)
    run.callbacks.update(build_callbacks(config, handed.callbacks))
    try_own_parts(run)
    if config.calibrate == "always":
        _check_calibration(run)
    if config.metrics or config.monitor:
        _ = run.monitor, run.baseline  # what cannot be measured is refused now
    if isinstance(model, RowModule):
        _check_batch_norm(run)
    else:
        with seeded(config.seed):  # it may draw noise
            _try_last_batch(run)
    if isinstance(config.optimizer, TorchOptimizer):
        try_torch_optimizer(run, device)
        run.notes += config.optimizer.notes
    if isinstance(schedule, TorchScheduler):
        schedule.require(run.lr, run.updates_per_epoch, run.updates)
    if config.engine in ("compiled", "fused"):
        _check_compiled(run, device)
    if config.precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision=tf32: it is for device=cuda, and this run is on {device.type}; use float32.")
    if config.engine == "graph" and device.type != "cuda":
        raise ConfigError(f"engine=graph: CUDA graphs are for device=cuda, and this run is on {device.type}; use auto.")
    if isinstance(config.optimizer, Solver):
        _check_solver(run)
        config.optimizer.require(run.parameters, config.dtype, device)
        run.notes += _notes_on_solver(run)
    run.members += [_member(run, number, handed.module) for number in range(len(loaded.members))]
    return run


def _check_calibration(run: PreparedRun) -> None:
    """Raise `ConfigError` where there is no temperature, or nothing that would show it."""
    if not run.head.has_temperature:
        what = "has logits without a temperature" if run.head.for_classes else "predicts numbers"
        heads = joined([head.name for head in _HEADS if head.has_temperature])
        raise ConfigError(f"calibrate=always: head={run.head.name} {what}; it is for head={heads}.")
    if not len(run.data.splits["val"]):
        raise ConfigError("calibrate=always: no rows validate; use data.val_fraction=0.15, or calibrate=auto.")


def _member(run: PreparedRun, number: int, module: nn.Module | None) -> PreparedRun:
    """A member of a run: its seed and splits are its own, and what the run records is none of its business."""
    config, data = run.config, run.data.member(number)
    config = dataclasses.replace(
        config,
        members=1,
        folds=None,
        seed=member_seed(config.seed, number),
        optimizer=copy.deepcopy(config.optimizer),
        schedule=copy.deepcopy(config.schedule),
        tensorboard=False,
        calibrate="never",  # what they predict together is
    )
    with seeded(config.seed):
        model = build_model(config, data.encoder, run.head, module)
    return PreparedRun(run.folder, config, data, model, [])


def _check_streamed(config: Config) -> None:
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


def _check_compiled(run: PreparedRun, device: torch.device) -> None:
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
    elif whole and one_of(run.data.inputs).kind != "numbers":
        why = f"compiled programs read floats, and x holds {one_of(run.data.inputs).kind}"
    elif whole and run.data.streamed:
        why = "compiled programs read all data in memory, and these are read in parts"
    elif whole and config.on_divergence == "skip_step":
        why = "on_divergence=skip_step looks at every update, which a compiled program cannot do"
    elif whole and (config.accumulate > 1 or config.precision in ("bf16", "tf32")):
        why = "accumulate and precision=bf16 are for large networks and cannot be compiled"
    elif not whole and device.type != "cpu":
        why = f"rules are fused on the CPU only, and this run is on {device.type}"
    elif device.type == "cpu" and compiler() is None:
        why = "there is no C++ compiler (g++ or clang++, or what CXX names)"
    else:
        return
    raise ConfigError(f"engine={config.engine}: {why}; use engine=auto.")


def _check_solver(run: PreparedRun) -> None:
    """Raise `ConfigError` for what only means something to a gradient rule."""
    config = run.config
    if any(factors != Factors() for factors in run.factors):
        raise ConfigError(
            f"groups: optimizer={config.optimizer.name} has neither a learning rate nor a weight decay; of groups it "
            "knows freeze only."
        )
    name = config.optimizer.name
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


def _check_batch_norm(run: PreparedRun) -> None:
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


def _try_last_batch(run: PreparedRun) -> None:
    """Raise `ConfigError` if a foreign module cannot be trained on the last, perhaps smaller batch."""
    x = example(run.data.inputs, run.last_batch, run.config.dtype)
    try:
        copy.deepcopy(run.model).train()(x)
    except Exception as error:
        raise ConfigError(
            f"model._target_={run.config.model._target_}: in training it fails on a batch of {run.last_batch} rows, "
            f"the last one: {first_line(error)}; use drop_last=true or another bs."
        ) from error


def _notes_on_splits(config: Config, loaded: Data) -> list[str]:
    """That all is measured on rows that have had a say, where nobody has set aside any others."""
    sizes = {name: len(rows) for name, rows in loaded.splits.items()}
    if sizes["test"] or not sizes["val"] or config.data.test_fraction:
        return []
    return [
        "no rows are set aside for a test: the validation rows, which choose the best epoch, flatter it a little "
        "(data.test_fraction=0.15 sets some aside)"
    ]


def _notes(config: Config, model: nn.Module) -> list[str]:
    uses_gradient = not isinstance(config.optimizer, Solver) or config.optimizer.uses_gradient
    if (
        uses_gradient
        and isinstance(model, DenseNetwork)
        and len(model.layers) > 1
        and not slopes(build_activation(config.activation)).any()
    ):
        return [
            f"activation={config.activation.name}: its derivative is 0 everywhere, so "
            f"optimizer={config.optimizer.name} trains nothing but the last layer."
        ]
    return []


def _notes_on_solver(run: PreparedRun) -> list[str]:
    name, notes = run.optimizer.name, []
    if not isinstance(run.model, RowModule) or next(run.model.buffers(), None) is not None:
        notes.append(
            f"optimizer={name}: it evaluates the module as after training, so that dropout and the running statistics "
            "of norm layers do nothing."
        )
    if run.updates_per_epoch > 1:
        notes.append(
            f"optimizer={name} with bs={run.config.bs}: every update sees another batch, so what it has learnt of the "
            "loss, and its own test for a minimum, hold for one batch only; bs=full keeps them."
        )
    return notes + _notes_on_cost(run)


MULTIPLICATION_SECONDS = 1.2e-10  # of a network's forward pass on two cores: for each sample one of each weight
LONG = 60.0  # seconds of a run from which on its cost is told


def _notes_on_cost(run: PreparedRun) -> list[str]:
    """What the updates of a solver will cost, where that is much, and which of its settings are quick."""
    solver, size, samples, notes = run.optimizer, run.parameters, run.batch_size, []
    assert isinstance(solver, Solver)
    updates = run.config.epochs * run.updates_per_epoch
    if isinstance(solver, Newton) and solver.solver == "auto" and not solver.dense(size, samples):
        dense = dataclasses.replace(solver, solver="cholesky")
        seconds = _seconds(dense.expected_cost(size, samples), size, samples)
        notes.append(
            f"optimizer=newton: solver=auto is cg, by some tens of products H v an update; with solver=cholesky an "
            f"update would take {size:,} of them, about {duration(seconds)} on two cores."
        )
    expected = solver.expected_cost(size, samples)
    seconds = _seconds(expected, size, samples)
    if updates * seconds > LONG:
        chosen = f"optimizer={solver.name}" + (
            f" optimizer.solver={solver.solver}" if isinstance(solver, Newton) else ""
        )
        notes.append(
            f"{chosen}: an update costs about as much as {expected:,.0f} evaluations of the loss, {duration(seconds)} "
            f"on two cores, {duration(updates * seconds)} for all {updates}; {_quick(solver, size, samples)}."
        )
    return notes


def _quick(solver: Solver, size: int, samples: int) -> str:
    """What is quick instead."""
    quick = LBFGS()
    seconds = duration(_seconds(quick.expected_cost(size, samples), size, samples))
    if isinstance(solver, Newton) and solver.dense(size, samples):
        other = dataclasses.replace(solver, solver="cg")
        cg = duration(_seconds(other.expected_cost(size, samples), size, samples))
        return f"optimizer.solver=cg makes one in {cg}, optimizer=lbfgs in {seconds}"
    return f"optimizer=lbfgs makes one in {seconds}, and epochs or budget.seconds limit them"


def _seconds(evaluations: float, size: int, samples: int) -> float:
    """What so many evaluations of a loss of so many samples take, roughly."""
    return evaluations * size * samples * MULTIPLICATION_SECONDS
