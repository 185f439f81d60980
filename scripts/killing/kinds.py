"""What is killed: runs and sweeps of many kinds, and what may be left out when they go on, which must be noticed."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from nettrain.app.jobs import job
from nettrain.training.logging.metrics_file import MetricsFile
from nettrain.training.logging.tensorboard import EventFile
from nettrain.training.trainer import Trainer

COMMON = ["data=iris", "model.hidden=[8]", "checkpoint.every_seconds=0.01", "quiet=true", "figures=never"]
SHORT = ["epochs=60", "bs=1"]
RUNS = {
    "sgd, step schedule": ["optimizer=sgd", "optimizer.lr=0.1", "schedule=step", *SHORT],
    "sgd, few checkpoints": ["optimizer=sgd", "epochs=700", "bs=4", "checkpoint.every_seconds=1.3"],
    "momentum, one cycle": ["optimizer=momentum", "schedule=one_cycle", *SHORT],
    "adagrad, early stopping": ["optimizer=adagrad", "optimizer.lr=0.5", "early_stopping.patience=25", *SHORT],
    "rmsprop, linear model": ["optimizer=rmsprop", "model=linear", "~model.hidden", *SHORT],
    "adam, dropout, plateau": [
        "optimizer=adam", "optimizer.lr=0.02", "model.dropout=0.2", "schedule=plateau", "schedule.patience=1", *SHORT,
    ],
    "adam, compiled": ["optimizer=adam", "model.dropout=0.2", "schedule=cosine", "engine=compiled", *SHORT],
    "momentum, compiled": ["optimizer=momentum", "schedule=plateau", "schedule.patience=1", "engine=compiled", *SHORT],
    "adamw, updates as budget": ["optimizer=adamw", "budget.updates=4444", *SHORT],
    "sgd, halved learning rate": [
        "data=diabetes", "optimizer=sgd", "optimizer.lr=3", "on_divergence=restore_and_halve_lr", *SHORT,
    ],
    "adam, module with batch norm and dropout": [
        "model._target_=killed.net", "~model.hidden", "optimizer=adam", "epochs=60", "bs=8", "drop_last=true",
    ],
    "newton": ["optimizer=newton", "model.hidden=[3]", "epochs=12"],
    "bfgs": ["optimizer=bfgs", "bs=full", "epochs=120"],
    "lbfgs, mini-batches": ["optimizer=lbfgs", "epochs=12"],
    "genetic": ["optimizer=genetic", "epochs=60", "bs=full"],
    "hill climbing": ["optimizer=hill_climb", "epochs=40"],
    "simulated annealing": ["optimizer=simulated_annealing", "epochs=120", "bs=full"],
    "cma_es": ["optimizer=cma_es", "epochs=60", "bs=full"],
    "sweep of rules": [
        "-m", "optimizer=sgd,adam,rmsprop", "optimizer.lr=0.05,0.01", "model.dropout=0,0.2", "schedule=plateau",
        "early_stopping.patience=8", "checkpoint.every_steps=100", *SHORT,
    ],
    "sweep to one last row": ["-m", "epochs=5,8,60", "optimizer.lr=0.02", "checkpoint.every_steps=40", "bs=4"],
    "sweep of several stacks": [
        "-m", "bs=4,8", "optimizer=adam,newton", "seed=1,2,3", "model.hidden=[3]", "epochs=12",
        "checkpoint.every_steps=50",
    ],
    "sweep with successive halving": [
        "-m", "seed=range(9)", "hydra.launcher.reduction_factor=3", "hydra.launcher.min_epochs=4",
        "checkpoint.every_steps=60", *SHORT,
    ],
}  # fmt: skip
MODULE = """
from torch.nn import BatchNorm1d, Dropout, Linear, ReLU, Sequential

def net(in_features, out_features):
    return Sequential(Linear(in_features, 8), BatchNorm1d(8), ReLU(), Dropout(0.2), Linear(8, out_features))
"""

Checkpoint = dict[str, Any]
Mutation = Callable[[], AbstractContextManager[None]]


def arguments(kind: str) -> list[str]:
    """The overrides of a kind with those of all kinds, as far as they are not its own or taken back."""
    overrides = RUNS[kind]
    own = {override.lstrip("~").partition("=")[0] for override in overrides}
    common = [override for override in COMMON if override.partition("=")[0] not in own]
    return [*(o for o in overrides if o == "-m"), *common, *(o for o in overrides if o[0] not in "~-")]


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within it, `owner.name` is another value."""
    present = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, present)


def changed(change: Callable[[Checkpoint], Checkpoint]) -> Mutation:
    """Runs go on from checkpoints with these entries changed."""
    restore = Trainer.restore

    def restore_changed(trainer: Trainer, checkpoints: list[Checkpoint]) -> None:
        restore(trainer, [{**checkpoint, **change(checkpoint)} for checkpoint in checkpoints])

    return lambda: replaced(Trainer, "restore", restore_changed)


def zeros(name: str) -> Callable[[Checkpoint], Checkpoint]:
    """The change that sets the tensors under this name to 0."""
    return lambda last: {name: {key: torch.zeros_like(tensor) for key, tensor in last[name].items()}}


def nothing(*arguments: Any) -> None:
    """What is done instead of what is left out."""


# What going on leaves out, and a kind in which that shows.
MUTATIONS: dict[str, tuple[str, Mutation]] = {
    "optimizer state": ("adam, dropout, plateau", changed(zeros("optimizer"))),
    "optimizer state, compiled": ("adam, compiled", changed(zeros("optimizer"))),
    "schedule": (
        "adam, dropout, plateau",
        changed(lambda last: {"schedule": {"factor": 1.0, "bad": 0, "best": math.inf}}),
    ),
    "position in the order of batches": (
        "sgd, step schedule", changed(lambda last: {"epoch": max(0, last["epoch"] - 1)}),
    ),
    "logits of the batches behind it": (
        "momentum, one cycle",
        changed(lambda last: {"outputs": None if last["outputs"] is None else 0 * last["outputs"]}),
    ),
    "noise of dropout": (
        "adam, module with batch norm and dropout", changed(lambda last: {"updates": last["updates"] + 1}),
    ),
    "buffers": ("adam, module with batch norm and dropout", changed(zeros("buffers"))),
    "best epoch": ("adagrad, early stopping", changed(lambda last: {"best": {}})),
    "best weights": ("adagrad, early stopping", changed(lambda last: {"best_model": last["model"]})),
    "early stopping": (
        "adagrad, early stopping", changed(lambda last: {"progress": {"loss": math.inf, "epoch": last["epoch"]}}),
    ),
    "halvings of the learning rate": ("sgd, halved learning rate", changed(lambda last: {"halvings": 0})),
    "population": ("cma_es", changed(lambda last: {"optimizer": {}})),
    "counts": ("bfgs", changed(lambda last: {"function_evaluations": 0})),
    "taking back of rows of the table": ("sgd, step schedule", lambda: replaced(MetricsFile, "rewind", nothing)),
    "taking back of TensorBoard's points": ("sgd, few checkpoints", lambda: replaced(EventFile, "restart", nothing)),
    "rows of a stack, optimizer state": ("sweep of rules", changed(zeros("optimizer"))),
    "row of a stack that is the last": (
        "sweep to one last row", lambda: replaced(job, "stack_of", lambda folder: None),
    ),
}  # fmt: skip
