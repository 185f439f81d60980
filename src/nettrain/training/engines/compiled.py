"""Many updates in one call: the update of a run compiled, with a loop over batches around it, for each row of a stack.

Rows are computed one after another, each with all the updates of a call, so that its weights and its optimizer's state
stay in the processor's cache; threads share the rows.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.compiler.library import library
from nettrain.errors import Abandoned
from nettrain.profile import stage
from nettrain.samples import sample_dim
from nettrain.terminal import warn
from nettrain.training.engines.program import Frozen, program_text, statistics_names
from nettrain.training.engines.protocol import Updates, gradient_costs
from nettrain.training.stack.batches import Batches
from nettrain.training.stack.rates import noise_keys, update_numbers
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack

CALL_SECONDS = 0.25  # of one call, between two of which signals and budgets are looked at


class Compiled:
    """The updates of a stack by compiled programs, one for each kind of rule, on so many threads.

    Raises `CannotCompile`, `BuildError` or `OSError` where that cannot be done, and `Abandoned` if `abandon()` became
    true meanwhile.
    """

    name = "compiled"

    def __init__(self, stack: Stack, threads: int, abandon: Callable[[], bool]) -> None:
        assert isinstance(stack.batches, Batches)  # in memory
        self.stack, self.threads, self.updates_per_call, self.batches = stack, threads, 64, stack.batches
        self.pool = ThreadPoolExecutor(threads)
        self.outputs, self.statistics = stack.runs[0].outputs, statistics_names(stack)
        noisy = noise_keys(stack, 0) is not None
        self.of_model = Frozen(stack)
        self.frozen = self.of_model.values
        self.programs: dict[Any, ctypes.CDLL] = {}
        for group in self.groups:
            program = library(program_text(stack, group, noisy), abandon, warn)
            if program is None:
                raise Abandoned
            self.programs[group.kind] = program

    @property
    def groups(self) -> list[RuleGroup]:
        """The groups of the stack; those of torch's optimizers cannot be compiled."""
        return [group for group in self.stack.rule_groups if isinstance(group, RuleGroup)]

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        stack, self.next = self.stack, first
        self.frozen = self.of_model.values  # of the rows that are left
        t, runs = update_numbers(stack, epoch), len(stack.runs)
        self.order = self.batches.order("train", epoch).expand(runs, -1)
        tables = [group.table(t, rates)[1] for group in self.groups]
        self.tables = [torch.as_tensor(a.reshape(len(t), -1, a.shape[-1]), dtype=stack.dtype) for a in tables]
        keys, dropout = noise_keys(stack, epoch) or (np.zeros((len(t), runs), np.int64), np.zeros(runs))
        self.keys, self.dropout = torch.as_tensor(np.ascontiguousarray(keys.T)), torch.as_tensor(dropout)

    def advance(self, number: int, last: bool) -> Updates:
        began, stack, bs = time.perf_counter(), self.stack, self.stack.batches.bs
        order = self.order[:, self.next * bs : (self.next + number) * bs]
        z = torch.empty(*order.shape, self.outputs, dtype=stack.dtype)
        g = torch.empty_like(stack.w)
        before = torch.empty_like(stack.w) if last else None
        calls = [
            call
            for group, table in zip(self.groups, self.tables, strict=True)
            for call in self._calls(group, table[self.next : self.next + number], order, z, g, before)
        ]
        with stage("compiled updates"):
            self._run(calls)
        self.next += number
        self.updates_per_call = max(1, int(number * CALL_SECONDS / (time.perf_counter() - began)))
        change = None if before is None else torch.sub(stack.w, before, out=before)
        return Updates(z if stack.stacked else z[0], g, change, gradient_costs(number))

    def _calls(
        self, group: RuleGroup, table: Tensor, order: Tensor, z: Tensor, g: Tensor, before: Tensor | None
    ) -> Iterator[Callable[[], None]]:
        """The group's rows, in parts for the threads; each part is computed by one call."""
        stack, program = self.stack, self.programs[group.kind]
        rows = group.rows if isinstance(group.rows, slice) else slice(0, 1)
        tensors = [stack.w[group.rows], g[group.rows], *group.state.values()]
        if self.frozen is not None:
            tensors.append(self.frozen[group.rows])
        x, y = stack.batches.splits["train"]
        order, keys = order[rows], self.keys[rows, self.next :]
        arguments = [
            (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors)),
            *(_pointer(x), _pointer(y)),
            _pointer(self.batches.weights["train"]) if self.batches.weights else None,
            *(_pointer(order), order.stride(0)),
            *(_pointer(table), table.stride(1), table.stride(0)),
            *(_pointer(keys), keys.stride(0), _pointer(self.dropout[rows])),
            *(_pointer(z[rows]), z.stride(0)),
            None if before is None else _pointer(before[group.rows]),
        ]
        smaller = order.shape[1] % stack.batches.bs > 0
        for first, number in self._shares(rows.stop - rows.start):
            yield partial(_call, program.advance, program, *arguments, first, number, len(table), int(smaller))

    def forward(self, split: str, w: Tensor) -> Tensor:
        stack, program, rows = self.stack, next(iter(self.programs.values())), len(self.stack.runs)
        x, order = stack.batches.splits[split][0], self.batches.order(split).expand(rows, -1)
        z = torch.empty(*order.shape, self.outputs, dtype=stack.dtype)
        arguments = *self._weights(w), _pointer(x), _pointer(order), order.stride(0), order.shape[1], _pointer(z)
        self._run([partial(_call, program.logits, program, *arguments, *share) for share in self._shares(rows)])
        return z if stack.stacked else z[0]

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        assert gradient is not None
        stack, program, x = self.stack, next(iter(self.programs.values())), self.stack.first_samples
        values = torch.empty(len(stack.runs), len(self.statistics), dtype=torch.float64)
        x_row = x[0].numel() if sample_dim(x, stack.objective.inputs) else 0
        weights = self._weights(stack.w)
        arguments = *weights, _pointer(gradient), _pointer(change), _pointer(x), x_row, _pointer(values)
        shares = self._shares(len(values))
        self._run([partial(_call, program.statistics, program, *arguments, *share) for share in shares])
        return dict(zip(self.statistics, (values if stack.stacked else values[0]).unbind(-1), strict=True))

    def _weights(self, w: Tensor) -> list[ctypes.c_void_p]:
        """w and the frozen parameters, where there are some."""
        return [_pointer(w), *([] if self.frozen is None else [_pointer(self.frozen)])]

    def _shares(self, rows: int) -> list[tuple[int, int]]:
        """The first row and the number of rows for each thread."""
        parts = np.array_split(np.arange(rows), min(self.threads, rows))
        return [(int(part[0]), len(part)) for part in parts]

    def _run(self, calls: list[Callable[[], None]]) -> None:
        if len(calls) == 1:
            calls[0]()
        else:
            list(self.pool.map(lambda call: call(), calls))


def _call(function: Callable[..., None], program: ctypes.CDLL, *arguments: Any) -> None:
    """Call a function of the program with memory of its own; numbers are 64 bits wide."""
    scratch = torch.empty(program.scratch_bytes(), dtype=torch.uint8)
    function(*(ctypes.c_int64(value) if isinstance(value, int) else value for value in arguments), _pointer(scratch))


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
