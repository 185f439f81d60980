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
from nettrain.training.engines.program import example, outputs, program_text, watched_names
from nettrain.training.stack.rule_groups import Block, kind
from nettrain.training.stack.stack import Stack

CALL_SECONDS = 0.25  # of one call, between two of which signals and budgets are looked at


class Abandoned(Exception):
    """The compilation was left in the middle."""


class Compiled:
    """The updates of a stack by compiled programs, one for each kind of rule, on so many threads.

    Raises `CannotCompile`, `BuildError` or `OSError` where that cannot be done, and `Abandoned` if `abandon()` became
    true meanwhile.
    """

    name = "compiled"

    def __init__(self, stack: Stack, threads: int, abandon: Callable[[], bool]) -> None:
        self.noisy = stack.noise(0) is not None
        self.pool = ThreadPoolExecutor(threads)
        self.threads, self.most, self.names = threads, 64, watched_names(stack)
        self.programs: dict[Any, ctypes.CDLL] = {}
        for block in stack.blocks:
            program = library(program_text(stack, block, self.noisy), abandon)
            if program is None:
                raise Abandoned
            self.programs[kind(example(stack, block))] = program

    def begin(self, stack: Stack, epoch: int, rates: np.ndarray, start: int) -> None:
        """Get ready for the updates of an epoch from number `start` on."""
        self.stack, self.next, k = stack, start, len(stack.setups)
        t = epoch * stack.per_epoch + np.arange(1, stack.per_epoch + 1)
        self.order = stack.samples.order("train", epoch).expand(k, -1)
        self.tables = [
            torch.as_tensor(table.reshape(len(t), -1, table.shape[-1]), dtype=stack.dtype)
            for table in (block.table(t, rates)[1] for block in stack.blocks)
        ]
        keys, dropout = stack.noise(epoch) or (np.zeros((len(t), k), np.int64), np.zeros(k))
        self.keys, self.rates = torch.as_tensor(np.ascontiguousarray(keys.T)), torch.as_tensor(dropout)

    def advance(self, number: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Make so many updates; z (..., samples, outputs) of them, and the gradient g (..., P) of the last one.

        The weights before the last one are written into `before`, if given.
        """
        began, stack, bs = time.perf_counter(), self.stack, self.stack.samples.bs
        order = self.order[:, self.next * bs : (self.next + number) * bs]
        z = torch.empty(*order.shape, outputs(stack), dtype=stack.dtype)
        g = torch.empty_like(stack.w)
        calls = [
            call
            for block, table in zip(stack.blocks, self.tables, strict=True)
            for call in self._calls(block, table[self.next : self.next + number], order, z, g, before)
        ]
        self._run(calls)
        self.next += number
        self.most = max(1, int(number * CALL_SECONDS / (time.perf_counter() - began)))
        return z if stack.stacked else z[0], g

    def _calls(
        self, block: Block, table: Tensor, order: Tensor, z: Tensor, g: Tensor, before: Tensor | None
    ) -> Iterator[Callable[[], None]]:
        """The block's rows, in parts for the threads; each part is computed by one call."""
        stack, program = self.stack, self.programs[kind(example(self.stack, block))]
        own = block.rows if isinstance(block.rows, slice) else slice(0, 1)
        rows = own.stop - own.start
        tensors = [stack.w[block.rows], g[block.rows], *block.state.values()]
        x, y = stack.samples.splits["train"]
        order, keys = order[own], self.keys[own, self.next :]
        given = [
            (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors)),
            *(_pointer(x), _pointer(y)),
            *(_pointer(order), order.stride(0)),
            *(_pointer(table), table.stride(1), table.stride(0)),
            *(_pointer(keys), keys.stride(0), _pointer(self.rates[own])),
            *(_pointer(z[own]), z.stride(0)),
            None if before is None else _pointer(before[block.rows]),
        ]
        smaller = order.shape[1] % stack.samples.bs > 0
        for first, number in self._shares(rows):
            yield partial(_call, program.advance, program, *given, first, number, len(table), int(smaller))

    def forward(self, stack: Stack, split: str, w: Tensor) -> Tensor:
        """The logits (..., n, outputs) of a whole split with the weights w (..., P)."""
        program, rows = next(iter(self.programs.values())), len(stack.setups)
        x, order = stack.samples.splits[split][0], stack.samples.order(split).expand(rows, -1)
        z = torch.empty(*order.shape, outputs(stack), dtype=stack.dtype)
        given = _pointer(w), _pointer(x), _pointer(order), order.stride(0), order.shape[1], _pointer(z)
        self._run([partial(_call, program.logits, program, *given, *share) for share in self._shares(rows)])
        return z if stack.stacked else z[0]

    def watched(self, stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        """As `nettrain.training.engines.layer_statistics.watched`."""
        program, x = next(iter(self.programs.values())), stack.first_samples
        assert gradient is not None
        values = torch.empty(len(stack.setups), len(self.names), dtype=torch.float64)
        given = _pointer(stack.w), _pointer(gradient), _pointer(change), _pointer(x), x[0].numel() if x.dim() > 2 else 0
        shares = self._shares(len(values))
        self._run([partial(_call, program.watch, program, *given, _pointer(values), *share) for share in shares])
        return dict(zip(self.names, (values if stack.stacked else values[0]).unbind(-1), strict=True))

    def _shares(self, rows: int) -> list[tuple[int, int]]:
        """The first row and the number of rows for each thread."""
        parts = np.array_split(np.arange(rows), min(self.threads, rows))
        return [(int(part[0]), len(part)) for part in parts]

    def _run(self, calls: list[Callable[[], None]]) -> None:
        if len(calls) == 1:
            calls[0]()
        else:
            list(self.pool.map(lambda call: call(), calls))


def _call(function: Callable[..., None], program: ctypes.CDLL, *given: Any) -> None:
    """Call a function of the program with memory of its own; numbers are 64 bits wide."""
    scratch = torch.empty(program.scratch_bytes(), dtype=torch.uint8)
    function(*(ctypes.c_int64(value) if isinstance(value, int) else value for value in given), _pointer(scratch))


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
