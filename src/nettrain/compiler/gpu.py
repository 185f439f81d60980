"""Functions for a GPU, in CUDA C++: the threads of a block share every loop, and wait for each other between loops."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from nettrain.compiler.matrices import factors, reduced_dimensions, require_euclidean, scattered, softmax_shape
from nettrain.compiler.recording import Statement
from nettrain.compiler.target import Target
from nettrain.compiler.writing import c_type, element, nest, pointer

KERNELS = (Path(__file__).parent / "gpu_kernels.h").read_text()
FEW = 64  # results, below which a warp computes one of them and not a thread


def _shared(sizes: Sequence[int], body: Sequence[str]) -> list[str]:
    """Elements are dealt out to the threads, neighbours to neighbours."""
    return [
        "#pragma unroll 4",
        f"for (int e = THREAD; e < {_number(sizes)}; e += THREADS) {{",
        *_indices(sizes, "i", "e"),
        *body,
        "}",
    ]


def _indices(sizes: Sequence[int], names: str, flat: str) -> list[str]:
    """The indices of element number `flat`."""
    lines = []
    for d, size in enumerate(sizes):
        inner = _number(sizes[d + 1 :])
        part = flat if inner == 1 else f"{flat} / {inner}"
        lines.append(f"const int {names}{d} = {part if d == 0 else f'{part} % {size}'};")
    return lines


def _number(sizes: Sequence[int]) -> int:
    return torch.Size(sizes).numel()


def _product(statement: Statement) -> list[str]:
    """C = A B, or C = bias + A B."""
    (a, b, bias), c = factors(statement), statement.out
    sizes = [c_type(c.dtype), a.shape[0], b.shape[1], a.shape[1], *a.strides, *b.strides, *c.strides]
    return [f"product<{', '.join(map(str, sizes))}>({pointer(a)}, {pointer(b)}, {pointer(c)}, {bias});"]


def _reduction(start: str, step: str, combined: str, end: str = "{}") -> Callable[[Statement], list[str]]:
    """Over some dimensions: s = start, s = step(s, x) for each x, and end(s); what lanes have is `combined`."""

    def write(statement: Statement) -> list[str]:
        x, out, kind = statement.operands["self"], statement.out, c_type(statement.out.dtype)
        reduced, remaining = reduced_dimensions(statement, x)
        into = out.strides if len(out.shape) == len(remaining) else [out.strides[d] for d in remaining]
        i, j = [f"i{n}" for n in range(len(remaining))], [f"j{n}" for n in range(len(reduced))]
        value = f"({kind}){element(x, [*i, *j], [x.strides[d] for d in (*remaining, *reduced)])}"
        outer, inner = [x.shape[d] for d in remaining], [x.shape[d] for d in reduced]
        first, each = f"{kind} s = {start};", f"s = {step.format(s='s', x=value)};"
        result = f"{element(out, i, into)} = {end.format('s')};"
        if _number(outer) >= FEW or _number(inner) < FEW:
            return _shared(outer, [first, *nest(inner, [each], "", "j"), result])
        whole_block = _number(outer) == 1 and combined == "sum"
        threads, thread, of = ("THREADS", "THREAD", "block") if whole_block else ("LANES", "THREAD % LANES", "lanes")
        one = [
            *_indices(outer, "i", "e"),
            first,
            f"for (int f = {thread}; f < {_number(inner)}; f += {threads}) {{",
            *_indices(inner, "j", "f"),
            each,
            "}",
            f"s = {of}_{combined}(s);",
            f"if ({thread} == 0) {result}",
        ]
        if whole_block:
            return ["{", *one, "}"]
        return [f"for (int e = THREAD / LANES; e < {_number(outer)}; e += THREADS / LANES) {{", *one, "}"]

    return write


def _norm(statement: Statement) -> list[str]:
    require_euclidean(statement)
    return _reduction("0", "{s} + {x} * {x}", "sum", "sqrt({})")(statement)


def _softmax(statement: Statement) -> list[str]:
    x, out, (rows, n) = statement.operands["self"], statement.out, softmax_shape(statement)
    return [f"softmax<{c_type(out.dtype)}, {rows}, {n}>({pointer(x)}, {pointer(out)});"]


def _scatter(statement: Statement) -> list[str]:
    """A thread has a whole row, in which an element can come twice."""
    rows, columns = statement.operands["index"].shape
    return _shared([rows], nest([columns], [scattered(statement, "i0", "j0")], "", "j"))


GPU = Target(
    KERNELS,
    "static __device__ __forceinline__ void",
    "*",
    "static __device__ const",
    _shared,
    {
        "mm": _product,
        "addmm": _product,
        "sum": _reduction("0", "{s} + {x}", "sum"),
        "amax": _reduction("-INFINITY", "({x} > {s} || {x} != {x} ? {x} : {s})", "max"),
        "linalg_vector_norm": _norm,
        "_softmax": _softmax,
        "scatter": _scatter,
    },
    "__syncthreads();",
)
