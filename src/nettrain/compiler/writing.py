"""The words of C++: types, numbers, elements of buffers, and loops around them."""

from collections.abc import Sequence
from typing import Any

import torch

from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.recording import Access

_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "int64_t",
    torch.bool: "bool",
}
VECTORS = "#pragma omp simd"


def c_type(dtype: torch.dtype) -> str:
    if dtype not in _TYPES:
        raise CannotCompile(f"there is no code for {dtype}")
    return _TYPES[dtype]


def stored_type(dtype: torch.dtype) -> str:
    """The type of an element in memory: a compiler makes no vectors of `bool`."""
    return "unsigned char" if dtype == torch.bool else c_type(dtype)


def literal(value: bool | int | float, kind: str) -> str:
    """A number of the given type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}.get(repr(value), repr(value))
    return f"{kind}({text})"


def pointer(access: Access) -> str:
    """Where a tensor begins."""
    return f"b{access.buffer} + {access.offset}"


def element(access: Access, indices: Sequence[str], strides: Sequence[int]) -> str:
    """The element of a tensor at these indices."""
    terms = [f"{i} * {stride}" for i, stride in zip(indices, strides, strict=True) if stride]
    return f"b{access.buffer}[{' + '.join([str(access.offset), *terms])}]"


def element_number(indices: Sequence[str], sizes: Sequence[int]) -> str:
    """The number of an element in the order of loops over these sizes."""
    terms = [f"{i} * {torch.Size(sizes[d + 1 :]).numel()}" for d, i in enumerate(indices)]
    return " + ".join(terms) or "0"


def nest(sizes: Sequence[int], body: Sequence[Any], inner: str = VECTORS, names: str = "i") -> list[str]:
    """Loops over i0, i1, ... around the body, `inner` being said of the innermost one."""
    lines = []
    for d, size in enumerate(sizes):
        lines += [inner] if inner and d == len(sizes) - 1 else []
        lines.append(f"for (int64_t {names}{d} = 0; {names}{d} < {size}; {names}{d}++) {{")
    return [*lines, *body, *("}" for _ in sizes)] if sizes else ["{", *body, "}"]
