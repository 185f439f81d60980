"""Functions for a GPU, in CUDA C++: the threads of a block share every loop, and wait for each other between loops."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.matrices import reduced_dimensions
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
    o, c = statement.operands, statement.out
    bias, a, b = (None, o["self"], o["mat2"]) if statement.op == "mm" else (o["self"], o["mat1"], o["mat2"])
    added = "nullptr"
    if bias is not None:
        over_rows, over_columns = bias.broadcast(c.shape)
        if over_rows or over_columns != 1 or o["beta"] != 1 or o["alpha"] != 1:
            raise CannotCompile("there is no code for aten::addmm but for a bias of each column")
        added = pointer(bias)
    (rows, inner), (_, columns) = a.shape, b.shape
    sizes = [c_type(c.dtype), rows, columns, inner, *a.strides, *b.strides, *c.strides]
    return [f"product<{', '.join(map(str, sizes))}>({pointer(a)}, {pointer(b)}, {pointer(c)}, {added});"]


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
    if statement.operands["ord"] != 2:
        raise CannotCompile("there is no code for norms other than Euclid's")
    return _reduction("0", "{s} + {x} * {x}", "sum", "sqrt({})")(statement)


def _softmax(statement: Statement) -> list[str]:
    x, out = statement.operands["self"], statement.out
    *rows, n = x.shape
    if statement.operands["dim"] % len(x.shape) != len(x.shape) - 1 or not x.strides == out.strides == (n, 1):
        raise CannotCompile("there is no code for a softmax over other dimensions than the last")
    return [f"softmax<{c_type(out.dtype)}, {rows[0]}, {n}>({pointer(x)}, {pointer(out)});"]


def _scatter(statement: Statement) -> list[str]:
    """out[i, index[i, j]] += value; a thread has a whole row, in which an element can come twice."""
    o, out = statement.operands, statement.out
    index = o["index"]
    if o.get("reduce") != "add" or not isinstance(o.get("value"), int | float) or o["dim"] not in (1, -1):
        raise CannotCompile("there is no code for this aten::scatter")
    target = f"b{out.buffer}[{out.offset} + i0 * {out.strides[0]} + {element(index, ['i0', 'j0'], index.strides)}]"
    return _shared(index.shape[:1], nest(index.shape[1:], [f"{target} += {o['value']!r};"], "", "j"))


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
