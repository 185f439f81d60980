"""Large vectors: the rule's update as a compiled program, one pass over memory where torch's operations make several.

The vector is cut into parts of one size, which threads share; the few numbers behind the last whole part are left to
torch.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from string import Template

import numpy as np
import torch
from torch import Tensor

from nettrain.compiler.library import library
from nettrain.compiler.source import KERNELS, function
from nettrain.compiler.writing import c_type
from nettrain.parts.rules import Coefficients, Rule, State
from nettrain.run.compiled import Abandoned

PART = 2**12  # numbers
_LOOP = Template("""
extern "C" int64_t scratch_bytes() { return $scratch + 64; }

extern "C" void advance($real* const* tensors, $real* c, int64_t first, int64_t parts, char* scratch) {
  for (int64_t p = first; p < first + parts; p++) part($part, c, scratch);
}
""")


class Fused:
    """`rule.step` for vectors w (P,) on the CPU, with the scalars `names`, on so many threads.

    Raises `CannotCompile`, `BuildError` or `OSError` where that cannot be done, and `Abandoned` if `abandon()` became
    true meanwhile.
    """

    def __init__(self, rule: Rule, names: list[str], dtype: torch.dtype, threads: int, abandon: Callable[[], bool]):
        program = library(program_text(rule, names, dtype), abandon)
        if program is None:
            raise Abandoned
        self.rule, self.names, self.dtype, self.threads, self.program = rule, names, dtype, threads, program
        self.pool = ThreadPoolExecutor(threads)

    def step(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        """One whole update in place, as `Rule.step`."""
        g = self.rule.clipped(g, c)
        tensors, parts = [w, g, *state.values()], len(w) // PART
        pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
        scalars = torch.tensor([float(c[name]) for name in self.names], dtype=self.dtype)
        shares = [share for share in np.array_split(np.arange(parts), self.threads) if len(share)]

        def work(share: np.ndarray) -> None:
            scratch = torch.empty(self.program.scratch_bytes(), dtype=torch.uint8)
            given = ctypes.c_void_p(scalars.data_ptr()), ctypes.c_int64(share[0]), ctypes.c_int64(len(share))
            self.program.advance(pointers, *given, ctypes.c_void_p(scratch.data_ptr()))

        if len(shares) == 1:
            work(shares[0])
        else:
            list(self.pool.map(work, shares))
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
    return "\n".join([KERNELS, text, _LOOP.substitute(real=c_type(dtype), part=parts, scratch=scratch)])
