"""Sentences for the person who starts a run: what its parts do together, and what its updates will cost."""

import dataclasses

from torch import nn

from nettrain.config.build import build_activation
from nettrain.config.schema import Config
from nettrain.data import Data
from nettrain.data.encoded_columns import Numeric
from nettrain.optimizers.curvature import LBFGS, Newton
from nettrain.optimizers.solvers import Solver
from nettrain.parts.models import DenseNetwork, Module, RowModule
from nettrain.parts.slopes import slopes
from nettrain.preparation.prepared import PreparedRun
from nettrain.wording import duration

_USUAL = "relu"  # of configs/train.yaml, whatever the model


def notes_on_splits(config: Config, loaded: Data) -> list[str]:
    """That all is measured on rows that have had a say, where nobody has set aside any others."""
    sizes = {name: len(rows) for name, rows in loaded.splits.items()}
    if sizes["test"] or not sizes["val"] or config.data.test_fraction:
        return []
    return [
        "no rows are set aside for a test: the validation rows, which choose the best epoch, flatter it a little "
        "(data.test_fraction=0.15 sets some aside)"
    ]


def notes_on_numbers(config: Config, loaded: Data) -> list[str]:
    """That an encoding of numbers changes nothing, where no column holds any."""
    if config.data.numbers == "standard" or any(isinstance(column, Numeric) for column in loaded.encoder.columns):
        return []
    return [
        f"data.numbers={config.data.numbers}: no column of {config.data.source} holds one number in each row, so that "
        "it changes nothing"
    ]


def notes_on_activation(config: Config, model: nn.Module) -> list[str]:
    """That the model does not use the activation that was chosen, or that it lets no gradient through."""
    named = f"activation={config.activation.name}"
    if not config.model.takes_activation:
        if config.activation.name == _USUAL:
            return []
        key = "model._target_" if isinstance(config.model, Module) else "model"
        model_name = getattr(config.model, "_target_", config.model.name)
        return [f"{named}: {key}={model_name} does not use it; its layers have no activation that could be chosen."]
    uses_gradient = not isinstance(config.optimizer, Solver) or config.optimizer.uses_gradient
    if (
        uses_gradient
        and isinstance(model, DenseNetwork)
        and len(model.layers) > 1
        and not slopes(build_activation(config.activation)).any()
    ):
        return [
            f"{named}: its derivative is 0 everywhere, so optimizer={config.optimizer.name} trains nothing but the "
            "last layer."
        ]
    return []


def notes_on_solver(run: PreparedRun) -> list[str]:
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
