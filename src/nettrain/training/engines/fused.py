"""Large vectors: the rule's update as a compiled program, one pass over memory where torch's operations make several.

The vector is cut into parts of one size, which threads share; the few numbers behind the last whole part are left to
torch.
"""

import ctypes
import os
from collections.abc import Callable
from string import Template

import torch
from torch import Tensor

from nettrain.compiler.library import library
from nettrain.compiler.processor import KERNELS
from nettrain.compiler.source import function
from nettrain.compiler.writing import c_type
from nettrain.errors import Abandoned
from nettrain.optimizers.rules import Coefficients, Rule, State
from nettrain.terminal import warn

PART = 2**12  # numbers
_LOOP = Template("""
#include <atomic>
constexpr int64_t SCRATCH = ($scratch + 127) / 64 * 64;
extern "C" int64_t scratch_bytes() { return SCRATCH; }

struct Work {
  $real* const* tensors;
  $real* c;
  int64_t parts;
  char* scratch;
  std::atomic<int64_t> taken, threads;
};

static void share(void* argument) {
  Work* work = (Work*)argument;
  $real *const* tensors = work->tensors, *c = work->c;
  char* scratch = work->scratch + work->threads++ * SCRATCH;
  for (int64_t first; (first = work->taken.fetch_add($at_once)) < work->parts;)
    for (int64_t p = first; p < first + $at_once && p < work->parts; p++) part($part, c, scratch);
}

// `parallel` calls a function on so many threads, as OpenMP's library does; it may be null.
extern "C" void advance($real* const* tensors, $real* c, int64_t parts, char* scratch,
                        void (*parallel)(void (*)(void*), void*, unsigned, unsigned), int64_t threads) {
  Work work{tensors, c, parts, scratch, {0}, {0}};
  if (parallel && threads > 1) parallel(share, &work, threads, 0);
  else share(&work);
}
""")
AT_ONCE = 16  # parts that a thread takes: one that is held up by others leaves them more


class Fused:
    """`rule.step` for vectors w (P,) on the CPU, with the scalars `names`, on so many threads.

    They are those of torch's own operations: others would wait for them. Raises `CannotCompile`, `BuildError` or
    `OSError` where that cannot be done, and `Abandoned` if `abandon()` became true meanwhile.
    """

    def __init__(self, rule: Rule, names: list[str], dtype: torch.dtype, threads: int, abandon: Callable[[], bool]):
        program = library(program_text(rule, names, dtype), abandon, warn)
        if program is None:
            raise Abandoned
        self.rule, self.names, self.dtype, self.threads, self.program = rule, names, dtype, threads, program
        # Every OpenMP library has that name; Windows cannot look for it in the whole process.
        self.parallel = None if os.name == "nt" else getattr(ctypes.CDLL(None), "GOMP_parallel", None)
        self.scratch = torch.empty(threads * program.scratch_bytes(), dtype=torch.uint8)

    def step(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        """One whole update in place, as `Rule.step`."""
        g = self.rule.clipped(g, c)
        tensors, parts = [w, g, *state.values()], len(w) // PART
        pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
        scalars = torch.tensor([float(c[name]) for name in self.names], dtype=self.dtype)
        numbers = ctypes.c_void_p(scalars.data_ptr()), ctypes.c_int64(parts), ctypes.c_void_p(self.scratch.data_ptr())
        self.program.advance(pointers, *numbers, self.parallel, ctypes.c_int64(self.threads))
        rest_w, rest_g, *rest = (tensor[parts * PART :] for tensor in tensors)
        self.rule.elementwise(dict(zip(state, rest, strict=True)), rest_w, rest_g, c)


def program_text(rule: Rule, names: list[str], dtype: torch.dtype) -> str:
    """The program: what the rule does to one part, and a loop over parts."""
    w = torch.zeros(PART, dtype=dtype)
    state = rule.init(w)

    def update(w: Tensor, g: Tensor, c: Tensor, **state: Tensor) -> None:
        rule.elementwise(state, w, g, dict(zip(names, c.unbind(), strict=True)))

    numbers = torch.ones(len(names), dtype=dtype)
    with torch.no_grad():
        text, scratch = function("part", update, {"w": w, "g": torch.zeros_like(w), **state, "c": numbers})
    parts = ", ".join(f"tensors[{i}] + p * {PART}" for i in range(2 + len(state)))
    loop = _LOOP.substitute(real=c_type(dtype), part=parts, scratch=scratch, at_once=AT_ONCE)
    return "\n".join([KERNELS, text, loop])
