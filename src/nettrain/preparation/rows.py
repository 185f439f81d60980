"""Which runs can be rows of a stack, and how many of them fit into memory."""

import copy

import torch

from nettrain.compiler.library import compiler
from nettrain.errors import ConfigError, first_line
from nettrain.inputs import each, is_vector, total_size
from nettrain.objective import Objective
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.models import RowModule, can_be_compiled
from nettrain.preparation.prepared import PreparedRun
from nettrain.random import Noise, seeded
from nettrain.samples import example, ready
from nettrain.vector import Layout, constants, flatten

CACHE = 16 * 2**20  # bytes of weights, gradients and two vectors of state that stay near the processor
LEAST_ROWS = 16  # beyond which the overhead of a step is small in any case
VECTORS = 16  # of P numbers that a row holds at once: w, its best, g twice, three of state, a copy, temporaries


def rows_that_fit(run: PreparedRun, memory: float, copies: int) -> float:
    """How many rows like this run fit into so many bytes, where all of them together have so many copies of data."""
    own, of_data = row_bytes(run), data_bytes(run)
    return (memory - copies * of_data) // own if memory >= copies * (own + of_data) else memory // (own + of_data)


def data_bytes(run: PreparedRun) -> int:
    """What a copy of the run's data takes, which rows with the same data share."""
    size, data = torch.finfo(run.config.dtype).bits // 8, run.data
    if data.streamed:  # whose target and splits are in memory already
        return size * data.floats
    return size * (data.floats + data.y.size + len(data.y))


def row_bytes(run: PreparedRun) -> int:
    """An upper estimate of the memory that the run needs as a row of a stack, beside its data."""
    size, inputs = torch.finfo(run.config.dtype).bits // 8, run.data.inputs
    units = sum(shape[0] for shape in Layout.of(run.model).shapes if len(shape) > 1) + total_size(inputs)
    if not is_vector(inputs) or (isinstance(run.model, RowModule) and not can_be_compiled(run.model)):
        units = max(units, _saved_numbers(run))
    samples = len(run.data.y) if run.holds_outputs else run.data.x.window
    epoch = samples * (run.outputs + 3)  # z, y and the order of an epoch's batches
    return size * (VECTORS * run.parameters + 4 * run.batch_size * units + epoch)


def _saved_numbers(run: PreparedRun) -> int:
    """How many numbers a module keeps of a sample for its backward pass by autograd: its layers' outputs."""
    model = copy.deepcopy(run.model).train()
    seen, own = dict[int, int](), {parameter.data_ptr() for parameter in model.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        seen[tensor.data_ptr()] = tensor.numel()
        return tensor

    with seeded(0), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(example(run.data.inputs, 2, run.config.dtype))
    return sum(size for pointer, size in seen.items() if pointer not in own) // 2


def refusal(run: PreparedRun) -> str | None:
    """Why the run has to train alone; None if it can be a row of a stack.

    A module that is not nettrain's own is tried: two rows of it have to compute under `torch.func.vmap` what they
    compute one by one, with the noise that each would draw.
    """
    if run.members:
        return f"a run with {run.config.members_key} is a stack of its own"
    if isinstance(run.optimizer, Solver):
        return f"optimizer={run.optimizer.name} trains alone"
    if isinstance(run.optimizer, TorchOptimizer) and run.optimizer.traits.by_closure:
        return f"{run.optimizer._target_} evaluates the loss as it goes along, and trains alone"
    if run.config.engine in ("fused", "inductor"):
        return f"engine={run.config.engine} is for one large network"
    if isinstance(run.model, RowModule):
        return None
    name = run.config.model._target_
    try:
        with seeded(0):
            return None if _rows_agree(run) else f"{name} computes other values for the rows of a stack"
    except Exception as error:  # whatever a module of somebody else's raises under vmap
        noisy = "randomness" in str(error)
        return f"{name} {'draws random numbers' if noisy else f'is refused by vmap ({first_line(error)})'}"


def require_members(run: PreparedRun, memory: float) -> None:
    """Raise `ConfigError` if members like this run cannot train together, or not all within so many bytes of memory."""
    count, key = run.config.member_count, run.config.members_key
    if why := refusal(run):
        raise ConfigError(
            f"{key}: members train together, as rows of a stack, and {why}; leave out {key.partition('=')[0]}, and "
            "train several such runs with -m seed=range(8)."
        )
    if (fitting := rows_that_fit(run, memory, count)) < count:
        raise ConfigError(f"{key}: so many do not fit into the free memory; about {max(1, int(fitting))} would.")


def _rows_agree(run: PreparedRun) -> bool:
    """Whether values, gradients and buffers of two rows are those of each row alone, in training and evaluation."""
    model, dtype, size, inputs = run.model, run.config.dtype, min(4, run.batch_size), run.data.inputs
    x, y = ready(each(lambda array: array[:size], run.data.x), inputs, dtype), torch.as_tensor(run.data.y[:size])
    y = y if y.dtype == torch.int64 else y.to(dtype)
    w = torch.stack([flatten(model), flatten(model) * 0.5])
    results = []
    for rows, keys in ((w, [1, 2]), (w[0], [1]), (w[1], [2])):
        objective = Objective(model, run.head, inputs=inputs)
        objective.buffers = {k: t.expand(rows.shape[:-1] + t.shape).clone() for k, t in constants(model).items()}
        z, g = objective.gradient(rows, x, y, Noise(keys[0], 0.0, keys=keys))
        results.append([z, g, *objective.buffers.values(), objective.logits(rows, x).detach()])
    together, *alone = results
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    return all(_close(t, torch.stack(rows), tolerance) for t, *rows in zip(together, *alone, strict=True))


def _close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    return torch.allclose(one.to(torch.float64), other.to(torch.float64), rtol=tolerance, atol=tolerance)


def fast_rows(run: PreparedRun, device: torch.device) -> float:
    """The number of rows beyond which a stack on the CPU gets no faster, as its vectors leave the caches.

    There is no such number where a program computes one row after another.
    """
    compilable = run.compilable and not isinstance(run.optimizer, TorchOptimizer)
    compiled = run.config.engine != "eager" and compilable and compiler() is not None
    if device.type != "cpu" or compiled:
        return float("inf")
    size = torch.finfo(run.config.dtype).bits // 8
    return max(LEAST_ROWS, CACHE // (4 * size * run.parameters))
