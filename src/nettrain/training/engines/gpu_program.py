"""The program of a run's updates for a GPU: a block of threads makes all updates of a row, in its own fast memory.

Weights, gradient and the optimizer's state of a row stay there from the first update of a call to its last one, as far
as they find room; the next batch is fetched while the threads compute with the present one.
"""

from collections.abc import Callable, Iterator, Sequence
from string import Template
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.gpu import GPU
from nettrain.compiler.gpu_library import GpuLibrary, gpu_library
from nettrain.training.engines.program import Functions, program_functions
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack

LANES = 32  # threads of a warp
MOST_THREADS = 256  # of a block
FEWEST_THREADS = 64
RESERVED = 1024  # bytes of a block's memory for the sums of its threads
_ALIGNMENT = 16  # bytes

_LOOP = Template("""
extern __shared__ __align__(16) char memory[];

// For each of the rows: `steps` updates on the samples in `order`, the last one on a smaller batch if that is so.
extern "C" __global__ void __launch_bounds__(THREADS) advance(
    $tensors, const $real* all_x, const $target* all_y, const $real* all_weights,
    const int64_t* order, int64_t order_row, const $real* scalars, int64_t scalars_row, int64_t scalars_step,
    const int64_t* keys, int64_t keys_row, const double* rates, $real* outputs, int64_t outputs_row, $real* before,
    int64_t steps, int64_t smaller, char* spilled) {
  const int64_t r = blockIdx.x;
  $places
  order += r * order_row;
  scalars += r * scalars_row;
  auto samples = [&](int64_t s) { return s == steps - 1 && smaller ? $last : $bs; };
  auto load_numbers = [&](int64_t s) {
    for (int i = THREAD; i < samples(s); i += THREADS) copy_ahead(number + s % 2 * $bs + i, order + s * $bs + i);
  };
  auto load = [&](int64_t s) {
    const int64_t *sample = number + s % 2 * $bs, half = s % 2;
    for (int e = THREAD; e < samples(s) * $inputs; e += THREADS)
      copy_ahead(x + half * $bs * $inputs + e, all_x + sample[e / $inputs] * $inputs + e % $inputs);
    for (int e = THREAD; e < samples(s) * $targets; e += THREADS) {
      copy_ahead(y + half * $bs * $targets + e, all_y + sample[e / $targets] * $targets + e % $targets);
      if (all_weights)
        copy_ahead(weight + half * $bs * $targets + e, all_weights + sample[e / $targets] * $targets + e % $targets);
    }
    for (int e = THREAD; e < $scalars; e += THREADS)
      copy_ahead(c + half * $scalars + e, scalars + s * scalars_step + e);
    if (THREAD == 0) copy_ahead(key + half, keys + r * keys_row + s);
  };
  if (THREAD == 0) *rate = rates[r];
  $fetch
  load_numbers(0);
  copies_are_there();
  __syncthreads();
  load(0);
  if (steps > 1) load_numbers(1);
  for (int64_t s = 0; s < steps; s++) {
    const int64_t half = s % 2;
    const bool last = s == steps - 1;
    copies_are_there();
    __syncthreads();
    if (!last) load(s + 1);
    if (last && before) copy<$real, $parameters>(before + r * $parameters, row0);
    if (s + 2 < steps) load_numbers(s + 2);
    $real *of_x = x + half * $bs * $inputs, *of_c = c + half * $scalars, *g = last ? row1 : nullptr;
    $target* of_y = y + half * $bs * $targets;
    $real* of_weight = weight + half * $bs * $targets;
    $real* z = outputs + r * outputs_row + s * $bs * $outputs;
    $update
    __syncthreads();
  }
  $write_back
}

// For each of the rows: the logits of the samples in `order`, some at a time.
extern "C" __global__ void __launch_bounds__(THREADS) logits(
    $real* weights, $real* frozen, const $real* all_x, const int64_t* order, int64_t order_row, int64_t samples,
    $real* outputs, char* spilled) {
  const int64_t r = blockIdx.x;
  $logits_places
  $logits_fetch
  for (int64_t s = 0; s < samples; s += $some) {
    const int64_t here = samples - s < $some ? samples - s : $some;
    __syncthreads();
    for (int e = THREAD; e < $some * $inputs; e += THREADS)
      x[e] = e < here * $inputs ? all_x[order[r * order_row + s + e / $inputs] * $inputs + e % $inputs] : $real(0);
    __syncthreads();
    forward(row0, ${frozen_row}x, z, scratch);
    __syncthreads();
    for (int e = THREAD; e < here * $outputs; e += THREADS) outputs[(r * samples + s) * $outputs + e] = z[e];
  }
}

// For each of the rows: the numbers of its inside.
extern "C" __global__ void __launch_bounds__(THREADS) statistics(
    $real* weights, $real* frozen, $real* gradients, $real* changes, $real* all_x, int64_t x_row, double* values,
    char* spilled) {
  const int64_t r = blockIdx.x;
  $statistics_places
  of_layers(weights + r * $parameters, ${frozen_row}gradients + r * $parameters, changes + r * $parameters,
            all_x + r * x_row, values + r * $values, scratch);
}
""")


class Memory:
    """The fast memory of a block, handed out from its beginning; what finds no place lies in the device's memory.

    `spilled` are the bytes of the latter that each row needs.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.spilled = limit, 0, 0

    def take(self, bytes_: int) -> int | None:
        """Where so many bytes begin; None if there is no room."""
        begin = self.used
        if begin + bytes_ > self.limit:
            return None
        self.used = _aligned(begin + bytes_)
        return begin

    def scratch(self, bytes_: int) -> str:
        """What declares `scratch`, of so many bytes."""
        begin = self.take(bytes_)
        if begin is not None:
            return f"char* scratch = memory + {begin};"
        self.spilled = _aligned(bytes_)
        return f"char* scratch = spilled + r * {self.spilled};"


class Text(NamedTuple):
    """A program, the number of threads of its blocks, and the memory of its functions."""

    text: str
    threads: int
    memory: dict[str, Memory]


def _aligned(bytes_: int) -> int:
    return -(-bytes_ // _ALIGNMENT) * _ALIGNMENT


def program_text(functions: Functions, limit: int, threads: int, lanes: int = LANES) -> Text:
    """The program, for blocks with so many threads and bytes of memory.

    Raises `CannotCompile` if not even a batch finds room there.
    """
    words, sizes = functions.words, functions.sizes
    real, target = words["real"], words["target"]
    number = 8 if real == "double" else 4
    memories = {name: Memory(limit) for name in functions.scratch}
    batches = [
        ("x", real, 2 * words["bs"] * words["inputs"] * number),
        ("y", target, 2 * words["bs"] * words["targets"] * (8 if target == "int64_t" else number)),
        ("weight", real, 2 * words["bs"] * words["targets"] * number if words["weight"] else 0),
        ("c", real, 2 * words["scalars"] * number),
        ("number", "int64_t", 2 * words["bs"] * 8),
        ("key", "int64_t", 2 * 8),
        ("rate", "double", 8),
    ]
    places = [_declared(name, kind, memories["advance"].take(bytes_)) for name, kind, bytes_ in batches]
    places.append(memories["advance"].scratch(functions.scratch["advance"]))
    rows = [f"t{i} + r * {size}" for i, size in enumerate(sizes)]
    inside = {i: memories["advance"].take(size * number) for i, size in enumerate(sizes) if i != 1}
    fast = {i: begin for i, begin in inside.items() if begin is not None}
    places += [
        f"{real}* row{i} = {f'({real}*)(memory + {fast[i]})' if i in fast else row};" for i, row in enumerate(rows)
    ]
    of_row = ["row0", "g", *(f"row{i}" for i in range(2, len(sizes)))]
    passed = [*of_row, "of_x", "of_y", *(["of_weight"] if words["weight"] else []), "of_c", "z", "key + half", "rate"]
    update = f"({', '.join([*passed, 'scratch'])});"
    if words["last"] < words["bs"]:
        update = f"if (last && smaller) update_last{update}\n    else update{update}"
    else:
        update = f"update{update}"
    frozen = len(sizes) - 1 if words["frozen"] else None  # the tensor which updates do not change

    memory = memories["logits"]
    begin = memory.take(words["some"] * (words["inputs"] + words["outputs"]) * number)
    if begin is None:
        raise CannotCompile("its samples do not fit into a block's memory")
    logits = [_declared("x", real, begin), f"{real}* z = x + {words['some'] * words['inputs']};"]
    logits.append(memory.scratch(functions.scratch["logits"]))
    begin = memory.take(sizes[0] * number)
    logits.append(_declared("row0", real, begin) if begin is not None else f"{real}* row0 = weights + r * {sizes[0]};")
    loop = _LOOP.substitute(
        words,
        tensors=", ".join(f"{real}* t{i}" for i in range(len(sizes))),
        places="\n  ".join(places),
        fetch="\n  ".join(f"copy<{real}, {sizes[i]}>(row{i}, {rows[i]});" for i in fast),
        write_back="\n  ".join(f"copy<{real}, {sizes[i]}>({rows[i]}, row{i});" for i in fast if i != frozen),
        update=update,
        logits_places="\n  ".join(logits),
        logits_fetch=f"copy<{real}, {sizes[0]}>(row0, weights + r * {sizes[0]});" if begin is not None else "",
        statistics_places=memories["statistics"].scratch(functions.scratch["statistics"]),
        frozen_row=f"frozen + r * {words['frozen']}, " if words["frozen"] else "",
    )
    head = f"#define THREADS {threads}\n#define LANES {lanes}\n"
    return Text("\n".join([head, GPU.kernels, functions.text, loop]), threads, memories)


def _declared(name: str, kind: str, begin: int | None) -> str:
    if begin is None:
        raise CannotCompile("a batch does not fit into a block's memory")
    return f"{kind}* {name} = ({kind}*)(memory + {begin});"


def threads_of(sizes: Sequence[int]) -> int:
    """How many threads a block has, for rows of this size: some numbers for each."""
    threads = FEWEST_THREADS
    while threads < MOST_THREADS and threads * 32 < sizes[0]:
        threads *= 2
    return threads


def block_memory(stack: Stack) -> int:
    """The bytes of fast memory that a block can have."""
    properties: Any = torch.cuda.get_device_properties(stack.device)
    return int(properties.shared_memory_per_block_optin) - RESERVED


def in_fast_memory(stack: Stack) -> bool:
    """Whether weights, gradient and state of a row find room there, and a batch beside them."""
    vectors = 2 + max(len(group.state) for group in stack.rule_groups if isinstance(group, RuleGroup))
    batch = 4 * stack.batches.bs * sum(shape[0] for shape in stack.objective.layout.shapes if len(shape) > 1)
    return (vectors * stack.objective.layout.size + batch) * stack.dtype.itemsize < block_memory(stack)


class GpuProgram:
    """The functions of such a program, on the stack's device.

    Raises `CannotCompile` or `BuildError` where it cannot be built.
    """

    def __init__(self, stack: Stack, group: RuleGroup, noisy: bool) -> None:
        functions = program_functions(stack, group, noisy, GPU, optional=("g",))
        self.text = program_text(functions, block_memory(stack), threads_of(functions.sizes))
        self.device = stack.device
        self.built: GpuLibrary = gpu_library(self.text.text, stack.device)

    def calls(self, name: str, rows: int, *arguments: Tensor | int | None) -> Iterator[Callable[[], None]]:
        """The call that computes a function for all rows, in the background."""
        memory = self.text.memory[name]
        spilled = torch.empty(max(1, rows * memory.spilled), dtype=torch.uint8, device=self.device)
        yield lambda: self.built.launch(name, rows, self.text.threads, memory.used, [*arguments, spilled])
