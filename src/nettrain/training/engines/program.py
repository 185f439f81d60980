"""The program of a run's updates in C++: what one update computes, with a loop over batches and rows around it.

It depends on shapes and on the kinds of the parts, and on no number: coefficients, samples, their order and the keys of
noise are its inputs.
"""

from string import Template

import numpy as np
import torch
from torch import Tensor

from nettrain.compiler.source import KERNELS, function
from nettrain.compiler.writing import c_type
from nettrain.objective import Objective
from nettrain.optimizers.rules import Rule
from nettrain.random import Noise
from nettrain.training.engines.layer_statistics import watched_in_rows
from nettrain.training.stack.rule_groups import Block
from nettrain.training.stack.stack import Stack

_LOOP = Template("""
constexpr int64_t MOST = $some > $bs ? $some : $bs;  // samples at once
extern "C" int64_t scratch_bytes() { return $scratch + MOST * ($inputs + $outputs) * 8 + MOST * 8 + 64; }

// For each of the rows: `steps` updates on the samples in `order`, the last one on a smaller batch if that is so.
extern "C" void advance($real* const* tensors, const $real* all_x, const $target* all_y,
                        const int64_t* order, int64_t order_row, const $real* scalars, int64_t scalars_row,
                        int64_t scalars_step, const int64_t* keys, int64_t keys_row, const double* rates,
                        $real* outputs, int64_t outputs_row, $real* before,
                        int64_t first, int64_t rows, int64_t steps, int64_t smaller, char* scratch) {
  $real* x = ($real*)(scratch + $scratch);
  $target* y = ($target*)(x + (MOST * $inputs + 7) / 8 * 8);
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

// For each of the rows: the logits of the samples in `order`, some at a time.
extern "C" void logits($real* weights, const $real* all_x, const int64_t* order, int64_t order_row, int64_t samples,
                       $real* outputs, int64_t first, int64_t rows, char* scratch) {
  $real *x = ($real*)(scratch + $scratch), *z = x + (MOST * $inputs + 7) / 8 * 8;
  for (int64_t r = first; r < first + rows; r++)
    for (int64_t s = 0; s < samples; s += $some) {
      const int64_t here = samples - s < $some ? samples - s : $some;
      for (int64_t i = 0; i < here; i++)
        memcpy(x + i * $inputs, all_x + order[r * order_row + s + i] * $inputs, $inputs * sizeof($real));
      forward(weights + r * $parameters, x, z, scratch);
      memcpy(outputs + (r * samples + s) * $outputs, z, here * $outputs * sizeof($real));
    }
}

// For each of the rows: the numbers of its inside.
extern "C" void watch($real* weights, $real* gradients, $real* changes, $real* all_x, int64_t x_row, double* values,
                      int64_t first, int64_t rows, char* scratch) {
  for (int64_t r = first; r < first + rows; r++)
    watched(weights + r * $parameters, gradients + r * $parameters, changes + r * $parameters, all_x + r * x_row,
            values + r * $values, scratch);
}
""")
SOME = 32  # samples whose logits are computed at a time


def example(stack: Stack, block: Block) -> Rule:
    """The rule of the block's first row."""
    rule = stack.setups[block.rows.start if isinstance(block.rows, slice) else 0].optimizer
    assert isinstance(rule, Rule)
    return rule


def outputs(stack: Stack) -> int:
    first = stack.setups[0]
    return first.head.outputs(len(first.data.encoder.classes))


def scalar_names(stack: Stack, block: Block) -> list[str]:
    """The names of the scalars that the block's rule is given at every update."""
    return block.table(np.ones(1), stack.learning_rates(0)[:1])[0]


def watched_names(stack: Stack) -> list[str]:
    """The names of the numbers that the program's `watch` gives."""
    return list(watched_in_rows(stack, *_watched_example(stack).values()))


def _watched_example(stack: Stack) -> dict[str, Tensor]:
    w, x = torch.zeros(stack.objective.layout.size, dtype=stack.dtype), stack.first_samples
    return {"w": w, "gradient": w.clone(), "change": w.clone(), "x": torch.zeros(x.shape[-2:], dtype=stack.dtype)}


def program_text(stack: Stack, block: Block, noisy: bool) -> str:
    """The program for rows with this kind of rule."""
    samples, rule = stack.samples, example(stack, block)
    names = scalar_names(stack, block)
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
        numbers = {"c": torch.ones(len(names), dtype=w.dtype), "z": torch.zeros(bs, outputs(stack), dtype=w.dtype)}
        noise = {"key": torch.zeros((), dtype=torch.int64), "rate": torch.zeros((), dtype=torch.float64)}
        with torch.no_grad():
            return function(name, update, {"w": w, "g": torch.zeros_like(w), **state, **batch, **numbers, **noise})

    def watch(values: Tensor, **tensors: Tensor) -> None:
        for value, number in zip(values, watched_in_rows(stack, **tensors).values(), strict=True):
            value.copy_(number)

    def forward(w: Tensor, x: Tensor, z: Tensor) -> None:
        z.copy_(objective.logits(w, x))

    last = samples.used - (stack.per_epoch - 1) * samples.bs
    whole = written("update", samples.bs)
    smaller = written("update_last", last) if last < samples.bs else ("constexpr auto update_last = update;", 0)
    with torch.no_grad():
        some = {
            "x": torch.zeros(SOME, x.shape[1], dtype=w.dtype),
            "z": torch.zeros(SOME, outputs(stack), dtype=w.dtype),
        }
        evaluation = function("forward", forward, {"w": w, **some})
        values = torch.zeros(len(watched_names(stack)), dtype=torch.float64)
        inside = function("watched", watch, {**_watched_example(stack), "values": values})
    loop = _LOOP.substitute(
        real=c_type(w.dtype),
        target=c_type(y.dtype),
        bs=samples.bs,
        last=last,
        inputs=x.shape[1],
        outputs=outputs(stack),
        tensors=2 + len(state),
        sizes=", ".join(str(len(tensor)) for tensor in (w, w, *state.values())),
        row=", ".join(f"row[{i}]" for i in range(2 + len(state))),
        parameters=len(w),
        some=SOME,
        values=len(values),
        scratch=max(whole[1], smaller[1], evaluation[1], inside[1]),
    )
    return "\n".join([KERNELS, whole[0], smaller[0], evaluation[0], inside[0], loop])
