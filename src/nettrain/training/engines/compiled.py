"""Many updates in one call: the update of a run compiled, with a loop over batches around it, for each row of a stack.

A row makes all the updates of a call while its weights and its optimizer's state stay in fast memory: on a processor
rows come one after another, shared by the threads, and on a GPU each has a block of threads.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nettrain.profile import stage
from nettrain.samples import sample_dim
from nettrain.training.engines.gpu_program import GpuProgram
from nettrain.training.engines.pace import Pace
from nettrain.training.engines.processor_program import ProcessorProgram
from nettrain.training.engines.program import Frozen, statistics_names
from nettrain.training.engines.protocol import Updates, gradient_costs
from nettrain.training.stack.batches import Batches
from nettrain.training.stack.rates import noise_keys, update_numbers
from nettrain.training.stack.rows import to_device
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack

Call = Callable[[], None]


class Program(Protocol):
    """Functions that are computed for each row, one of them after the other or all at once."""

    def calls(self, name: str, rows: int, *arguments: Tensor | int | None) -> Iterable[Call]:
        """What computes the function of this name for so many rows; tensors are those of the first row."""


class Compiled:
    """The updates of a stack by compiled programs, one for each kind of rule; on a processor on so many threads.

    Raises `CannotCompile`, `BuildError` or `OSError` where that cannot be done, and `Abandoned` if `abandon()` became
    true meanwhile.
    """

    name = "compiled"

    def __init__(self, stack: Stack, threads: int, abandon: Callable[[], bool]) -> None:
        assert isinstance(stack.batches, Batches)  # in memory
        self.stack, self.batches = stack, stack.batches
        self.pool, self.pace = ThreadPoolExecutor(threads), Pace(stack.device)
        self.x: dict[str, tuple[Tensor, Tensor]] = {}  # of each split, what the batches hold and the floats for it
        self.outputs, self.statistics = stack.runs[0].outputs, statistics_names(stack)
        noisy = noise_keys(stack, 0) is not None
        self.of_model = Frozen(stack)
        self.frozen = self.of_model.values
        self.programs: dict[Any, Program] = {}
        for group in self.groups:
            if stack.device.type == "cpu":
                self.programs[group.kind] = ProcessorProgram(stack, group, noisy, threads, abandon)
            else:
                self.programs[group.kind] = GpuProgram(stack, group, noisy)

    @property
    def updates_per_call(self) -> int:
        return self.pace.updates

    @property
    def groups(self) -> list[RuleGroup]:
        """The groups of the stack; those of torch's optimizers cannot be compiled."""
        return [group for group in self.stack.rule_groups if isinstance(group, RuleGroup)]

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        stack, self.next = self.stack, first
        self.frozen = self.of_model.values  # of the rows that are left
        t, runs = update_numbers(stack, epoch), len(stack.runs)
        self.order = self.batches.order("train", epoch).expand(runs, -1)
        tables = [group.scalars(t, rates, stack.device, stack.dtype) for group in self.groups]
        self.tables = [table.view(len(t), -1, table.shape[-1]) for table in tables]
        keys, dropout = noise_keys(stack, epoch) or (np.zeros((len(t), runs), np.int64), np.zeros(runs))
        self.keys = to_device(np.ascontiguousarray(keys.T), stack.device)
        self.dropout = to_device(dropout, stack.device)

    def advance(self, number: int, last: bool) -> Updates:
        stack, bs = self.stack, self.stack.batches.bs
        order = self.order[:, self.next * bs : (self.next + number) * bs]
        z = torch.empty(*order.shape, self.outputs, dtype=stack.dtype, device=stack.device)
        g = torch.empty_like(stack.w)
        before = torch.empty_like(stack.w) if last else None
        with self.pace.call(number), stage("compiled updates"):
            self._run(
                call
                for group, table in zip(self.groups, self.tables, strict=True)
                for call in self._calls(group, table[self.next : self.next + number], order, z, g, before)
            )
        self.next += number
        change = None if before is None else torch.sub(stack.w, before, out=before)
        return Updates(z if stack.stacked else z[0], g, change, gradient_costs(number))

    def _calls(
        self, group: RuleGroup, table: Tensor, order: Tensor, z: Tensor, g: Tensor, before: Tensor | None
    ) -> Iterable[Call]:
        """What computes the updates of the group's rows."""
        stack = self.stack
        rows = group.rows if isinstance(group.rows, slice) else slice(0, 1)
        tensors = [stack.w[group.rows], g[group.rows], *group.state.values()]
        if self.frozen is not None:
            tensors.append(self.frozen[group.rows])
        x, (_, y) = self._floats("train"), stack.batches.splits["train"]
        order, keys = order[rows], self.keys[rows, self.next :]
        return self.programs[group.kind].calls(
            "advance",
            rows.stop - rows.start,
            *(*tensors, x, y, self.batches.weights.get("train")),
            *(order, order.stride(0), table, table.stride(1), table.stride(0)),
            *(keys, keys.stride(0), self.dropout[rows], z[rows], z.stride(0)),
            None if before is None else before[group.rows],
            *(len(table), int(order.shape[1] % stack.batches.bs > 0)),
        )

    def forward(self, split: str, w: Tensor) -> Tensor:
        stack, rows = self.stack, len(self.stack.runs)
        x, order = self._floats(split), self.batches.order(split).expand(rows, -1)
        z = torch.empty(*order.shape, self.outputs, dtype=stack.dtype, device=stack.device)
        self._run(self._first.calls("logits", rows, w, self.frozen, x, order, order.stride(0), order.shape[1], z))
        return z if stack.stacked else z[0]

    def _floats(self, split: str) -> Tensor:
        """x of a split; made once of what the batches hold."""
        held, _ = self.batches.splits[split]
        if self.x.get(split, (None, None))[0] is not held:
            self.x[split] = held, self.batches.floats(split)
        return self.x[split][1]

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        assert gradient is not None
        stack, x, rows = self.stack, self.stack.first_samples, len(self.stack.runs)
        values = torch.empty(rows, len(self.statistics), dtype=torch.float64, device=stack.device)
        x_row = x[0].numel() if sample_dim(x, stack.objective.inputs) else 0
        self._run(self._first.calls("statistics", rows, stack.w, self.frozen, gradient, change, x, x_row, values))
        return dict(zip(self.statistics, (values if stack.stacked else values[0]).unbind(-1), strict=True))

    @property
    def _first(self) -> Program:
        """The forward pass and the statistics are the same in every program."""
        return next(iter(self.programs.values()))

    def _run(self, calls: Iterable[Call]) -> None:
        """Make all calls; on a processor at once where there are several, while a GPU is not waited for anyway."""
        calls = list(calls)
        if len(calls) > 1 and self.stack.device.type == "cpu":
            list(self.pool.map(lambda call: call(), calls))
        else:
            for call in calls:
                call()
