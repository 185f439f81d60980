"""From a checked config to a run that is ready to train: whatever a person can get wrong comes to light here."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from nettrain.config.build import choose_head
from nettrain.config.model import build_model
from nettrain.config.run_data import Load, add_members, load_data
from nettrain.config.schema import Config
from nettrain.data import Data
from nettrain.optimizers.solvers import Solver, free_memory
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.callbacks import Callback
from nettrain.parts.heads import Head
from nettrain.parts.heads.independent import for_targets
from nettrain.parts.models import RowModule
from nettrain.parts.torch_scheduler import TorchScheduler
from nettrain.preparation import checks
from nettrain.preparation.callbacks import build_callbacks
from nettrain.preparation.heads import check_clipping, check_shapes, check_support, check_transform
from nettrain.preparation.notes import notes_on_activation, notes_on_numbers, notes_on_solver, notes_on_splits
from nettrain.preparation.own_parts import calling, try_activation, try_own_parts
from nettrain.preparation.prepared import PreparedRun
from nettrain.preparation.rows import require_members
from nettrain.preparation.torch_optimizers import try_torch_optimizer
from nettrain.random import member_seed, seeded
from nettrain.registry import is_ours

FEW = 16  # members with which a run is tried, before the time and memory go into all of them
_CPU = torch.device("cpu")


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
        loaded = load_data(config, handed.load, FEW)
    run = _tried(config, folder, loaded, device, handed)
    run.callbacks.update(build_callbacks(config, handed.callbacks))
    if config.member_count > 1:
        require_members(run, free_memory(device))
    if config.member_count > FEW:
        with calling("data", config.data):
            loaded = add_members(config, loaded)
        run = dataclasses.replace(_tried(config, folder, loaded, device, handed), callbacks=run.callbacks)
    run.members += [_member(run, number, handed.module) for number in range(len(loaded.members))]
    return run


def _tried(config: Config, folder: Path, loaded: Data, device: torch.device, handed: HandedOver) -> PreparedRun:
    """The run on these data without its members and callbacks, its parts built and tried."""
    loaded = loaded.limited(config.debug.most(config.bs), config.debug.share)
    # The schedule is the run's own: it remembers what it has seen.
    schedule = copy.deepcopy(config.schedule)
    head = choose_head(handed.head or config.head, loaded.encoder, loaded.table.options is not None)
    if not is_ours(type(head)):
        check_shapes(head, len(loaded.encoder.classes), config.dtype)
    check_support(head, loaded.table)
    check_transform(config.data.target_transform, head, loaded.table)
    check_clipping(config.data.clip_predictions, head)
    if loaded.streamed:
        checks.check_streamed(config)
    loaded = loaded.scaled_target(head.standardizes).with_class_weights(config.class_weight)
    config = dataclasses.replace(config, head=head, schedule=schedule)
    with seeded(config.seed):
        model = build_model(config, loaded.encoder, for_targets(head, loaded.encoder.targets), handed.module)
    debug = ["this is a debug run: it uses part of the data."] if config.debug else []
    notes = [
        *debug,
        *notes_on_splits(config, loaded),
        *loaded.notes,
        *getattr(config.model, "notes", []),
        *notes_on_numbers(config, loaded),
        *notes_on_activation(config, model),
    ]
    run = PreparedRun(folder, config, loaded, model, notes)
    try_own_parts(run)
    if config.calibrate == "always":
        checks.check_calibration(run)
    if config.metrics or config.monitor:
        _ = run.monitor, run.baseline  # what cannot be measured is refused now
    if isinstance(model, RowModule):
        checks.check_batch_norm(run)
    else:
        with seeded(config.seed):  # it may draw noise
            checks.try_last_batch(run)
    if isinstance(config.optimizer, TorchOptimizer):
        try_torch_optimizer(run, device)
        run.notes += config.optimizer.notes
    if isinstance(schedule, TorchScheduler):
        schedule.require(run.lr, run.updates_per_epoch, run.updates)
    if config.engine in ("compiled", "fused"):
        checks.check_compiled(run, device)
    if config.engine == "inductor":
        checks.check_inductor(run, device)
    checks.check_device(config, device)
    if isinstance(config.optimizer, Solver):
        checks.check_solver(run)
        config.optimizer.require(run.parameters, config.dtype, device)
        run.notes += notes_on_solver(run)
    return run


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
