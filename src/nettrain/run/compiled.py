"""Many updates in one call: the update of a run compiled, with a loop over batches around it, for each row of a stack.

A program depends on shapes and on the kinds of the parts, and on no number: coefficients, samples, their order and the
keys of noise are its inputs. Rows are computed one after another, each with all the updates of a call, so that its
weights and its optimizer's state stay in the processor's cache; threads share the rows.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from string import Template
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.compiler.library import library
from nettrain.compiler.source import KERNELS, function
from nettrain.compiler.writing import c_type
from nettrain.objective import Objective
from nettrain.parts.random import Noise
from nettrain.parts.rules import Rule
from nettrain.run.blocks import Block, kind
from nettrain.run.stack import Stack

CALL_SECONDS = 0.25  # of one call, between two of which signals and budgets are looked at

_LOOP = Template("""
extern "C" int64_t scratch_bytes() { return $scratch; }

// For each of the rows: `steps` updates on the samples in `order`, the last one on a smaller batch if that is so.
extern "C" void advance($real* const* tensors, const $real* all_x, const $target* all_y,
                        const int64_t* order, int64_t order_row, const $real* scalars, int64_t scalars_row,
                        int64_t scalars_step, const int64_t* keys, int64_t keys_row, const double* rates,
                        $real* outputs, int64_t outputs_row, $real* before,
                        int64_t first, int64_t rows, int64_t steps, int64_t smaller, char* scratch) {
  alignas(64) static thread_local $real x[$bs * $inputs];
  alignas(64) static thread_local $target y[$bs];
  const int64_t sizes[] = {$sizes};
  for (int64_t r = first; r < first + rows; r++) {
    $real* row[$tensors];
    for (int i = 0; i < $tensors; i++) row[i] = tensors[i] + r * sizes[i];
    const int64_t* sample = order + r * order_row;
    for (int64_t s = 0; s < steps; s++, sample += $bs) {
      const bool last = s == steps - 1, small = last && smaller;
      if (last && before) memcpy(before + r * sizes[0], row[0], sizes[0] * sizeof($real));
      for (int64_t i = 0; i < (small ? $last : $bs); i++) {
        memcpy(x + i * $inputs, all_x + sample[i] * $inputs, $inputs * sizeof($real));
        y[i] = all_y[sample[i]];
      }
      $real* c = const_cast<$real*>(scalars + r * scalars_row + s * scalars_step);
      $real* z = outputs + r * outputs_row + s * $bs * $outputs;
      int64_t* key = const_cast<int64_t*>(keys + r * keys_row + s);
      double* rate = const_cast<double*>(rates + r);
      (small ? update_last : update)($row, x, y, c, z, key, rate, scratch);
    }
  }
}
""")


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
        self.threads, self.most = threads, 64
        self.programs: dict[Any, ctypes.CDLL] = {}
        for block in stack.blocks:
            program = library(_text(stack, block, self.noisy), abandon)
            if program is None:
                raise Abandoned
            self.programs[kind(_example(stack, block))] = program

    def begin(self, stack: Stack, epoch: int, rates: np.ndarray, start: int) -> None:
        """Get ready for the updates of an epoch from number `start` on."""
        self.stack, self.next, k = stack, start, len(stack.setups)
        t = epoch * stack.per_epoch + np.arange(1, stack.per_epoch + 1)
        self.order = stack.samples.order(epoch).expand(k, -1)
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
        z = torch.empty(*order.shape, _outputs(stack), dtype=stack.dtype)
        g = torch.empty_like(stack.w)
        calls = [
            call
            for block, table in zip(stack.blocks, self.tables, strict=True)
            for call in self._calls(block, table[self.next : self.next + number], order, z, g, before)
        ]
        list(self.pool.map(lambda call: call(), calls)) if len(calls) > 1 else calls[0]()
        self.next += number
        self.most = max(1, int(number * CALL_SECONDS / (time.perf_counter() - began)))
        return z if stack.stacked else z[0], g

    def _calls(
        self, block: Block, table: Tensor, order: Tensor, z: Tensor, g: Tensor, before: Tensor | None
    ) -> Iterator[Callable[[], None]]:
        """The block's rows, in parts for the threads; each part is computed by one call."""
        stack, program = self.stack, self.programs[kind(_example(self.stack, block))]
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
        for part in np.array_split(np.arange(rows), min(self.threads, rows)):
            yield partial(_call, program, given, int(part[0]), len(part), len(table), smaller)


def _call(program: ctypes.CDLL, given: list[Any], first: int, rows: int, steps: int, smaller: bool) -> None:
    scratch = torch.empty(program.scratch_bytes() + 1, dtype=torch.uint8)
    numbers = [ctypes.c_int64(n) if isinstance(n, int) else n for n in (*given, first, rows, steps, int(smaller))]
    program.advance(*numbers, _pointer(scratch))


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _example(stack: Stack, block: Block) -> Rule:
    """The rule of the block's first row."""
    rule = stack.setups[block.rows.start if isinstance(block.rows, slice) else 0].optimizer
    assert isinstance(rule, Rule)
    return rule


def _outputs(stack: Stack) -> int:
    first = stack.setups[0]
    return first.head.outputs(len(first.data.encoder.classes))


def _text(stack: Stack, block: Block, noisy: bool) -> str:
    """The program for rows with this kind of rule."""
    samples, rule = stack.samples, _example(stack, block)
    names, _ = block.table(np.ones(1), stack.learning_rates(0)[:1])
    x, y = samples.splits["train"]
    w = torch.zeros_like(stack.w[0] if stack.stacked else stack.w)
    state = rule.init(w)
    objective = Objective(stack.objective.model, stack.setups[0].head)

    def update(w: Tensor, g: Tensor, x: Tensor, y: Tensor, c: Tensor, z: Tensor, **more: Tensor) -> None:
        noise = Noise(more["key"], more["rate"]) if noisy else None
        outputs, gradient = objective.gradient(w, x, y, noise)
        z.copy_(outputs)
        g.copy_(gradient)
        rule.step({name: more[name] for name in state}, w, gradient, dict(zip(names, c.unbind(), strict=True)))

    def written(name: str, bs: int) -> tuple[str, int]:
        batch = {"x": torch.zeros_like(x[:bs]), "y": torch.zeros_like(y[:bs])}
        numbers = {"c": torch.ones(len(names), dtype=w.dtype), "z": torch.zeros(bs, _outputs(stack), dtype=w.dtype)}
        noise = {"key": torch.zeros((), dtype=torch.int64), "rate": torch.zeros((), dtype=torch.float64)}
        with torch.no_grad():
            return function(name, update, {"w": w, "g": torch.zeros_like(w), **state, **batch, **numbers, **noise})

    last = samples.used - (stack.per_epoch - 1) * samples.bs
    whole = written("update", samples.bs)
    smaller = written("update_last", last) if last < samples.bs else ("constexpr auto update_last = update;", 0)
    loop = _LOOP.substitute(
        real=c_type(w.dtype),
        target=c_type(y.dtype),
        bs=samples.bs,
        last=last,
        inputs=x.shape[1],
        outputs=_outputs(stack),
        tensors=2 + len(state),
        sizes=", ".join(str(len(tensor)) for tensor in (w, w, *state.values())),
        row=", ".join(f"row[{i}]" for i in range(2 + len(state))),
        scratch=max(whole[1], smaller[1]),
    )
    return KERNELS + whole[0] + "\n" + smaller[0] + loop
