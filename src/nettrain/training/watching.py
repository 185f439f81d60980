"""What is recorded of the weights while they are trained: the model's graph, trajectories, histograms."""

from collections.abc import Sequence

from torch import Tensor

from nettrain.training.logging.graph import model_graph
from nettrain.training.run_state import RunState
from nettrain.training.stack.rows import to_host
from nettrain.training.stack.stack import Stack


def record_model(stack: Stack, rows: Sequence[RunState]) -> None:
    """Record the model's graph in TensorBoard, where that is wanted."""
    config = rows[0].run.config
    if config.tensorboard and config.watch.graph:
        graph = model_graph(stack.objective.model)
        for row in rows:
            if row.log.tensorboard:
                row.log.tensorboard.events.graph(graph)


def keep_trajectory_points(stack: Stack, rows: Sequence[RunState], epoch: int) -> None:
    """Keep the weights after this epoch as points of the rows' trajectories, where they are wanted."""
    wanted = [row.trajectory is not None and row.trajectory.wants(epoch, not row.running) for row in rows]
    if any(wanted):
        for row, w, wants in zip(rows, stack.each(stack.w), wanted, strict=True):
            if row.trajectory and wants:
                row.trajectory.keep(epoch, w)


def write_histograms(stack: Stack, rows: Sequence[RunState], gradient: Tensor | None) -> None:
    """Write histograms of each row's parameters, and of their gradients, into its TensorBoard."""
    views = stack.objective.layout.views
    weights = stack.each_of(views(stack.w))
    slopes = stack.each_of({} if gradient is None else views(gradient))
    for row, parameters, gradients in zip(rows, weights, slopes, strict=True):
        if row.log.tensorboard:
            row.log.tensorboard.histograms(int(row.last["step"]), parameters, gradients)


def write_joint_histograms(stack: Stack, run: RunState, gradient: Tensor | None) -> None:
    """As `write_histograms`, of all rows of the stack together, into the TensorBoard of the run that they are."""
    views = stack.objective.layout.views
    if run.log.tensorboard:
        weights, slopes = views(stack.w), {} if gradient is None else views(gradient)
        host = [{name: to_host(tensor) for name, tensor in tensors.items()} for tensors in (weights, slopes)]
        run.log.tensorboard.histograms(int(run.last["step"]), *host)
