"""The program of a run's updates for a processor: rows one after another, each with all its updates."""

import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from string import Template
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.compiler.library import library
from nettrain.compiler.processor import PROCESSOR
from nettrain.errors import Abandoned
from nettrain.terminal import warn
from nettrain.training.engines.program import program_functions
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack

_LOOP = Template("""
constexpr int64_t MOST = $some > $bs ? $some : $bs;  // samples at once
extern "C" int64_t scratch_bytes() { return $scratch + MOST * ($inputs + $outputs + 2 * $targets) * 8 + 176; }

// For each of the rows: `steps` updates on the samples in `order`, the last one on a smaller batch if that is so.
extern "C" void advance($tensors, const $real* all_x, const $target* all_y, const $real* all_weights,
                        const int64_t* order, int64_t order_row, const $real* scalars, int64_t scalars_row,
                        int64_t scalars_step, const int64_t* keys, int64_t keys_row, const double* rates,
                        $real* outputs, int64_t outputs_row, $real* before, int64_t steps, int64_t smaller,
                        int64_t first, int64_t rows, char* scratch) {
  $real* x = ($real*)(scratch + $scratch);
  $target* y = ($target*)(x + (MOST * $inputs + 7) / 8 * 8);
  $real* weight = ($real*)(y + (MOST * $targets + 7) / 8 * 8);
  for (int64_t r = first; r < first + rows; r++) {
    $real *const row[] = {$row};
    const int64_t* sample = order + r * order_row;
    for (int64_t s = 0; s < steps; s++, sample += $bs) {
      const bool last = s == steps - 1, small = last && smaller;
      if (last && before) memcpy(before + r * $parameters, row[0], $parameters * sizeof($real));
      for (int64_t i = 0; i < (small ? $last : $bs); i++) {
        memcpy(x + i * $inputs, all_x + sample[i] * $inputs, $inputs * sizeof($real));
        memcpy(y + i * $targets, all_y + sample[i] * $targets, $targets * sizeof($target));
        if (all_weights) memcpy(weight + i * $targets, all_weights + sample[i] * $targets, $targets * sizeof($real));
      }
      $real* c = const_cast<$real*>(scalars + r * scalars_row + s * scalars_step);
      $real* z = outputs + r * outputs_row + s * $bs * $outputs;
      int64_t* key = const_cast<int64_t*>(keys + r * keys_row + s);
      double* rate = const_cast<double*>(rates + r);
      (small ? update_last : update)($of_row, x, y, ${weight}c, z, key, rate, scratch);
    }
  }
}

// For each of the rows: the logits of the samples in `order`, some at a time.
extern "C" void logits($real* weights, $real* frozen, const $real* all_x, const int64_t* order, int64_t order_row,
                       int64_t samples, $real* outputs, int64_t first, int64_t rows, char* scratch) {
  $real *x = ($real*)(scratch + $scratch), *z = x + (MOST * $inputs + 7) / 8 * 8;
  for (int64_t r = first; r < first + rows; r++)
    for (int64_t s = 0; s < samples; s += $some) {
      const int64_t here = samples - s < $some ? samples - s : $some;
      for (int64_t i = 0; i < here; i++)
        memcpy(x + i * $inputs, all_x + order[r * order_row + s + i] * $inputs, $inputs * sizeof($real));
      forward(weights + r * $parameters, ${frozen_row}x, z, scratch);
      memcpy(outputs + (r * samples + s) * $outputs, z, here * $outputs * sizeof($real));
    }
}

// For each of the rows: the numbers of its inside.
extern "C" void statistics($real* weights, $real* frozen, $real* gradients, $real* changes, $real* all_x,
                           int64_t x_row, double* values, int64_t first, int64_t rows, char* scratch) {
  for (int64_t r = first; r < first + rows; r++)
    of_layers(weights + r * $parameters, ${frozen_row}gradients + r * $parameters, changes + r * $parameters,
              all_x + r * x_row, values + r * $values, scratch);
}
""")


def program_text(stack: Stack, group: RuleGroup, noisy: bool) -> str:
    """The program for rows with this kind of rule."""
    text, scratch, words, sizes = program_functions(stack, group, noisy, PROCESSOR)
    numbers = range(len(sizes))
    loop = _LOOP.substitute(
        words,
        scratch=max(scratch.values()),
        tensors=", ".join(f"{words['real']}* t{i}" for i in numbers),
        row=", ".join(f"t{i} + r * {size}" for i, size in enumerate(sizes)),
        of_row=", ".join(f"row[{i}]" for i in numbers),
        frozen_row=f"frozen + r * {words['frozen']}, " if words["frozen"] else "",
    )
    return "\n".join([PROCESSOR.kernels, text, loop])


class ProcessorProgram:
    """The functions of such a program, whose rows so many threads share.

    Raises `CannotCompile`, `BuildError` or `OSError` where it cannot be built, and `Abandoned` if `abandon()` became
    true meanwhile.
    """

    def __init__(self, stack: Stack, group: RuleGroup, noisy: bool, threads: int, abandon: Callable[[], bool]) -> None:
        built = library(program_text(stack, group, noisy), abandon, warn)
        if built is None:
            raise Abandoned
        self.built, self.threads = built, threads

    def calls(self, name: str, rows: int, *arguments: Tensor | int | None) -> Iterator[Callable[[], None]]:
        """The calls that compute a function for all rows, in parts for the threads."""
        passed = [_argument(value) for value in arguments]
        for part in np.array_split(np.arange(rows), min(self.threads, rows)):
            yield partial(self._call, getattr(self.built, name), *passed, _argument(int(part[0])), _argument(len(part)))

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function with memory of its own."""
        scratch = torch.empty(self.built.scratch_bytes(), dtype=torch.uint8)
        function(*arguments, _argument(scratch))


def _argument(value: Tensor | int | None) -> Any:
    """What C++ takes; numbers are 64 bits wide."""
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return None if value is None else ctypes.c_int64(value)
