"""Why a run has diverged, and what may help, in a sentence."""

from collections.abc import Sequence

from nettrain.optimizers.solvers import Solver
from nettrain.training.epoch import EpochResult
from nettrain.training.run_state import MOST_LR_HALVINGS, RunState
from nettrain.training.stack.going_back import go_back_to_best
from nettrain.training.stack.stack import Stack


def explain(stack: Stack, rows: Sequence[RunState], result: EpochResult) -> None:
    """Say why rows have diverged in this epoch, and let those go on that are to."""
    back = []
    until_then = zip(*(stack.each(values) for values in result.outputs.until_divergence()), strict=True)
    for row, (batches, largest) in zip(rows, until_then, strict=True):
        diverged = row.status == "diverged"
        if diverged:
            row.reason = reason(row, result.epoch, int(batches), float(largest))
        back.append(diverged and row.recover())
    if any(back):
        go_back_to_best(stack, back)


def reason(row: RunState, epoch: int, finite_batches: int, largest_output: float) -> str:
    """Why a row has diverged in epoch 0, 1, ..., after so many batches whose loss was finite, and what may help."""
    run = row.run
    last = min((epoch + 1) * run.updates_per_epoch, int(row.last["step"]))
    update = epoch * run.updates_per_epoch + finite_batches + 1
    what = f"the loss of update {update} is not finite" if update <= last else f"update {last} gave no finite weights"
    if row.last.get("skipped_updates"):
        what = f"every update of epoch {epoch + 1} had to be skipped"
    size = [f"until then the largest output was {largest_output:.3g}"] if finite_batches else []
    return "; ".join([what, *size, _advice(row)])


def _advice(row: RunState) -> str:
    run, optimizer = row.run, row.run.optimizer
    if isinstance(optimizer, Solver):
        return "another optimizer or seed may help"
    if row.lr_halvings == MOST_LR_HALVINGS:
        return f"optimizer.lr was halved {MOST_LR_HALVINGS} times"
    clip = "" if optimizer.clip_norm else ", optimizer.clip_norm=1"
    other = ", or on_divergence=restore_and_halve_lr" if run.config.on_divergence == "stop" else ""
    return f"an optimizer.lr below {run.lr:g}{clip}{other} may help"
