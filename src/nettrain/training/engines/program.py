"""The program of a run's updates in C++: what one update computes, with a loop over batches and rows around it.

It depends on shapes and on the kinds of the parts, and on no number: coefficients, samples, their order and the keys of
noise are its inputs.
"""

from collections.abc import Mapping
from string import Template

import torch
from torch import Tensor

from nettrain.compiler.source import KERNELS, function
from nettrain.compiler.writing import c_type
from nettrain.objective import Objective
from nettrain.random import Noise
from nettrain.samples import sample_dim
from nettrain.training.engines.layer_statistics import row_module_statistics
from nettrain.training.stack.rows import Tensors
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack
from nettrain.vector import Layout

_LOOP = Template("""
constexpr int64_t MOST = $some > $bs ? $some : $bs;  // samples at once
extern "C" int64_t scratch_bytes() { return $scratch + MOST * ($inputs + $outputs + 2 * $targets) * 8 + 176; }

// For each of the rows: `steps` updates on the samples in `order`, the last one on a smaller batch if that is so.
extern "C" void advance($real* const* tensors, const $real* all_x, const $target* all_y, const $real* all_weights,
                        const int64_t* order, int64_t order_row, const $real* scalars, int64_t scalars_row,
                        int64_t scalars_step, const int64_t* keys, int64_t keys_row, const double* rates,
                        $real* outputs, int64_t outputs_row, $real* before,
                        int64_t first, int64_t rows, int64_t steps, int64_t smaller, char* scratch) {
  $real* x = ($real*)(scratch + $scratch);
  $target* y = ($target*)(x + (MOST * $inputs + 7) / 8 * 8);
  $real* weight = ($real*)(y + (MOST * $targets + 7) / 8 * 8);
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
        memcpy(y + i * $targets, all_y + sample[i] * $targets, $targets * sizeof($target));
        if (all_weights) memcpy(weight + i * $targets, all_weights + sample[i] * $targets, $targets * sizeof($real));
      }
      $real* c = const_cast<$real*>(scalars + r * scalars_row + s * scalars_step);
      $real* z = outputs + r * outputs_row + s * $bs * $outputs;
      int64_t* key = const_cast<int64_t*>(keys + r * keys_row + s);
      double* rate = const_cast<double*>(rates + r);
      (small ? update_last : update)($row, x, y, $weight c, z, key, rate, scratch);
    }
  }
}

// For each of the rows: the logits of the samples in `order`, some at a time.
extern "C" void logits($real* weights, ${frozen_values}\
const $real* all_x, const int64_t* order, int64_t order_row, int64_t samples,
                       $real* outputs, int64_t first, int64_t rows, char* scratch) {
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
extern "C" void statistics($real* weights, ${frozen_values}\
$real* gradients, $real* changes, $real* all_x, int64_t x_row,
                           double* values, int64_t first, int64_t rows, char* scratch) {
  for (int64_t r = first; r < first + rows; r++)
    of_layers(weights + r * $parameters, ${frozen_row}\
gradients + r * $parameters, changes + r * $parameters, all_x + r * x_row,
              values + r * $values, scratch);
}
""")
SOME = 32  # samples whose logits are computed at a time


def scalar_names(group: RuleGroup) -> list[str]:
    """The names of the scalars that the group's rule is given at every update."""
    return list(group.pieces.scalars(group.first, 1.0, group.first.lr))


def statistics_names(stack: Stack) -> list[str]:
    """The names of the numbers that the program's `statistics` gives."""
    frozen = Frozen(stack)
    return list(row_module_statistics(stack, **_example(stack), frozen=frozen.views(frozen.example)))


def _example(stack: Stack) -> dict[str, Tensor]:
    """What the statistics of one row are computed from."""
    w, x = torch.zeros(stack.objective.layout.size, dtype=stack.dtype), stack.first_samples
    samples = x.shape[sample_dim(x, stack.objective.inputs) :]
    return {"w": w, "gradient": w.clone(), "change": w.clone(), "x": torch.zeros(samples, dtype=stack.dtype)}


class Frozen:
    """The frozen parameters of a model, which a program is given as one vector, (F,) or (K, F)."""

    def __init__(self, stack: Stack) -> None:
        buffers = stack.objective.buffers
        shapes = [tuple(tensor.shape[1:] if stack.stacked else tensor.shape) for tensor in buffers.values()]
        self.layout, self.stack = Layout(tuple(buffers), tuple(shapes)), stack

    @property
    def values(self) -> Tensor | None:
        """Their values; None where there are none."""
        parts = [tensor.flatten(self.stack.w.dim() - 1) for tensor in self.stack.objective.buffers.values()]
        return torch.cat(parts, -1) if parts else None

    @property
    def example(self) -> dict[str, Tensor]:
        """Those of one row, as an input of a function that is compiled."""
        return {"frozen": torch.zeros(self.layout.size, dtype=self.stack.dtype)} if self.layout.names else {}

    def views(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """The parameters among such a function's inputs."""
        return self.layout.views(inputs["frozen"]) if self.layout.names else {}


def program_text(stack: Stack, group: RuleGroup, noisy: bool) -> str:
    """The program for rows with this kind of rule."""
    batches, rule, outputs = stack.batches, group.first, stack.runs[0].outputs
    names = scalar_names(group)
    x, y = batches.splits["train"]
    w = torch.zeros_like(stack.w[0] if stack.stacked else stack.w)
    state = rule.init(w)
    frozen = Frozen(stack)

    objective = Objective(stack.objective.model, stack.runs[0].head, inputs=stack.objective.inputs)

    def update(w: Tensor, g: Tensor, x: Tensor, y: Tensor, c: Tensor, z: Tensor, **more: Tensor) -> None:
        noise = Noise(more["key"], more["rate"]) if noisy else None
        objective.buffers = frozen.views(more)
        logits, gradient = objective.gradient(w, x, y, noise, more.get("weight"))
        z.copy_(logits)
        g.copy_(gradient)
        of_row = {name: more[name] for name in state}
        group.pieces.step(rule, of_row, w, gradient, dict(zip(names, c.unbind(), strict=True)))

    def written(name: str, bs: int) -> tuple[str, int]:
        batch = {"x": torch.zeros_like(x[:bs]), "y": torch.zeros_like(y[:bs])}
        if batches.weights:
            batch["weight"] = torch.ones(y[:bs].shape, dtype=w.dtype)
        numbers = {"c": torch.ones(len(names), dtype=w.dtype), "z": torch.zeros(bs, outputs, dtype=w.dtype)}
        noise = {"key": torch.zeros((), dtype=torch.int64), "rate": torch.zeros((), dtype=torch.float64)}
        with torch.no_grad():
            inputs = {"w": w, "g": torch.zeros_like(w), **state, **frozen.example, **batch, **numbers, **noise}
            return function(name, update, inputs)

    def statistics(w: Tensor, gradient: Tensor, change: Tensor, x: Tensor, values: Tensor, **more: Tensor) -> None:
        numbers = row_module_statistics(stack, w, gradient, change, x, frozen.views(more))
        for value, number in zip(values, numbers.values(), strict=True):
            value.copy_(number)

    def forward(w: Tensor, x: Tensor, z: Tensor, **more: Tensor) -> None:
        objective.buffers = frozen.views(more)
        z.copy_(objective.logits(w, x))

    whole = written("update", batches.bs)
    smaller = (
        written("update_last", batches.last)
        if batches.last < batches.bs
        else ("constexpr auto update_last = update;", 0)
    )
    with torch.no_grad():
        some = {
            "x": torch.zeros(SOME, *x.shape[1:], dtype=w.dtype),
            "z": torch.zeros(SOME, outputs, dtype=w.dtype),
        }
        evaluation = function("forward", forward, {"w": w, **frozen.example, **some})
        values = torch.zeros(len(statistics_names(stack)), dtype=torch.float64)
        w_only, *others = _example(stack).items()
        inputs = dict([w_only, *frozen.example.items(), *others, ("values", values)])
        inside = function("of_layers", statistics, inputs)
    of_rows = {**state, **frozen.example}
    loop = _LOOP.substitute(
        real=c_type(w.dtype),
        target=c_type(y.dtype),
        bs=batches.bs,
        last=batches.last,
        inputs=x[0].numel(),
        outputs=outputs,
        targets=y[0].numel(),
        weight="weight," if batches.weights else "",
        tensors=2 + len(of_rows),
        sizes=", ".join(str(len(tensor)) for tensor in (w, w, *of_rows.values())),
        row=", ".join(f"row[{i}]" for i in range(2 + len(of_rows))),
        frozen_values=f"{c_type(w.dtype)}* frozen, " if frozen.example else "",
        frozen_row=f"frozen + r * {frozen.layout.size}, " if frozen.example else "",
        parameters=len(w),
        some=SOME,
        values=len(values),
        scratch=max(whole[1], smaller[1], evaluation[1], inside[1]),
    )
    return "\n".join([KERNELS, whole[0], smaller[0], evaluation[0], inside[0], loop])
