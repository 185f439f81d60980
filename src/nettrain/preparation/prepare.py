"""From a checked config to a run that is ready to train: whatever a person can get wrong comes to light here."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nettrain import data
from nettrain.compiler.library import compiler
from nettrain.config.schema import Config, flat, parts, to_container
from nettrain.data.encoding import Encoder
from nettrain.errors import ConfigError, first_line
from nettrain.optimizers.solvers import Solver
from nettrain.parts.heads import Auto, Head
from nettrain.parts.models import DenseNetwork, RowModule
from nettrain.parts.schedules import Constant
from nettrain.parts.slopes import slopes
from nettrain.preparation.prepared import Setup
from nettrain.random import seeded
from nettrain.vector import trainable

Load = Callable[[Any, int], data.Data]

_CPU = torch.device("cpu")


def prepare(config: Config, folder: Path, device: torch.device = _CPU, load: Load | None = None) -> Setup:
    """Read the data and build the parts of a run on `device` that will write into `folder`; nothing is written yet.

    `load(dataset, seed)` reads the data, by default `nettrain.data.load`.

    Raises `ConfigError` or `DataError` for anything that would keep the run from training.
    """
    loaded = (load or data.load)(config.data, config.seed)
    head = choose_head(config.head, loaded.encoder)
    with seeded(config.seed):
        model = build_model(config, loaded.encoder, head)
    container = to_container(config)
    container["head"] = {"name": head.name}
    setup = Setup(
        folder=folder,
        settings=config,
        data=loaded,
        model=model,
        head=head,
        optimizer=config.optimizer,
        schedule=config.schedule,
        config=container,
        hparams=hparams(container),
        notes=[*loaded.table.notes, *_notes(config, model)],
    )
    if not isinstance(model, RowModule):
        with seeded(config.seed):  # it may draw noise
            _try_last_batch(setup)
    if config.engine in ("compiled", "fused"):
        _check_compiled(setup, device)
    if isinstance(config.optimizer, Solver):
        if not isinstance(model, RowModule):
            setup.notes.append(
                f"optimizer={config.optimizer.name}: it evaluates the module as after training, so that dropout and "
                "the running statistics of norm layers do nothing."
            )
        _check_solver(config)
        config.optimizer.require(setup.parameters, config.dtype, device)
        if setup.updates_per_epoch > 1:
            setup.notes.append(
                f"optimizer={config.optimizer.name} with bs={config.bs}: every update sees another batch, so what it "
                "has learnt of the loss, and its own test for a minimum, hold for one batch only; bs=full keeps them."
            )
    return setup


def _check_compiled(setup: Setup, device: torch.device) -> None:
    """Raise `ConfigError` for a run that cannot be compiled, or its rule fused."""
    settings = setup.settings
    whole = settings.engine == "compiled"
    if isinstance(setup.optimizer, Solver):
        why = f"optimizer={setup.optimizer.name} computes as it goes along; only gradient rules can be compiled"
    elif whole and not isinstance(setup.model, RowModule):
        why = "only nettrain's own models can be compiled"
    elif whole and settings.on_divergence == "skip_step":
        why = "on_divergence=skip_step looks at every update, which a compiled program cannot"
    elif whole and (settings.accumulate > 1 or settings.autocast):
        why = "accumulate and precision=bf16, which are for large networks, cannot be compiled"
    elif device.type != "cpu":
        why = f"programs are compiled for the CPU, and this run is on {device.type}"
    elif compiler() is None:
        why = "there is no C++ compiler (g++ or clang++, or what CXX names)"
    else:
        return
    raise ConfigError(f"engine={settings.engine}: {why}; use engine=auto.")


def _check_solver(config: Config) -> None:
    """Raise `ConfigError` for what only means something to a gradient rule."""
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


def choose_head(head: Head | Auto, encoder: Encoder) -> Head:
    """The head that was asked for, or the target's natural one; `ConfigError` if it cannot fit the target."""
    fitting: list[Any] = [part for part in parts("head").values() if encoder.task in getattr(part, "tasks", ())]
    if isinstance(head, Auto):
        return next(part() for part in fitting if part.tasks[0] == encoder.task)
    if encoder.task not in head.tasks:
        what = f"{len(encoder.classes)} classes" if encoder.classes else "numbers"
        names = " or ".join(f"head={part.name}" for part in fitting)
        raise ConfigError(
            f"head={head.name}: it cannot fit the target {encoder.target_name!r}, which holds {what}; use {names}."
        )
    return head


def build_model(config: Config, encoder: Encoder, head: Head) -> nn.Module:
    """The model for these features and this head; a foreign module is tried on a few rows."""
    inputs, outputs = len(encoder.feature_names), head.outputs(len(encoder.classes))
    try:
        model: nn.Module = config.model.build(inputs, outputs, config.activation)
    except (MemoryError, RuntimeError) as error:
        if "alloc" not in str(error):
            raise
        sentence = f"model={config.model.name}: its parameters do not fit into memory; make it smaller."
        raise ConfigError(sentence) from error
    model.to(config.dtype)
    if not isinstance(model, RowModule):
        _try(model, inputs, outputs, config)
    return model


def _try(model: nn.Module, inputs: int, outputs: int, config: Config) -> None:
    target = config.model._target_
    if not trainable(model):
        raise ConfigError(f"model._target_={target}: the module has no parameters to train.")
    model.eval()
    try:
        with torch.no_grad():
            z = model(torch.zeros(2, inputs, dtype=config.dtype))
    except Exception as error:
        raise ConfigError(
            f"model._target_={target}: it fails on a batch of 2 rows with {inputs} features: {first_line(error)}."
        ) from error
    fits = [(2, outputs)] if outputs > 1 else [(2, 1), (2,)]
    if not isinstance(z, Tensor) or z.shape not in fits:
        found = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ConfigError(
            f"model._target_={target}: for a batch of 2 rows it gave {found}, the head needs the shape (2, {outputs})."
        )


_BOOKKEEPING = ("checkpoint.", "device", "engine", "figures", "profile", "quiet", "tensorboard", "watch.")


def _try_last_batch(setup: Setup) -> None:
    """Raise `ConfigError` if a foreign module cannot be trained on the last, perhaps smaller batch."""
    bs, rows = setup.settings.batch_size(setup.n_train), setup.n_train
    size = bs if setup.settings.drop_last or rows % bs == 0 else rows % bs
    x = torch.zeros(size, setup.data.x.shape[1], dtype=setup.settings.dtype)
    try:
        copy.deepcopy(setup.model).train()(x)
    except Exception as error:
        raise ConfigError(
            f"model._target_={setup.config['model']['_target_']}: in training it fails on a batch of {size} rows, the "
            f"last one: {first_line(error)}; use drop_last=true or another bs."
        ) from error


def hparams(container: dict[str, Any]) -> dict[str, Any]:
    """The config as flat keys for TensorBoard: a part's name under its group, and what can change a result."""
    values = {
        key.removesuffix(".name"): value for key, value in flat(container).items() if not key.startswith(_BOOKKEEPING)
    }
    return {key: str(value) if isinstance(value, list) else value for key, value in values.items() if value is not None}


def _notes(config: Config, model: nn.Module) -> list[str]:
    uses_gradient = not isinstance(config.optimizer, Solver) or config.optimizer.uses_gradient
    if (
        uses_gradient
        and isinstance(model, DenseNetwork)
        and len(model.layers) > 1
        and not slopes(config.activation).any()
    ):
        return [
            f"activation={config.activation.name}: its derivative is 0 everywhere, so "
            f"optimizer={config.optimizer.name} trains nothing but the last layer."
        ]
    return []
