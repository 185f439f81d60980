"""Matrix products, sums and whatever else is no elementwise operation, in C++."""

from collections.abc import Callable
from typing import Any

from nettrain.compiler.convolutions import CONTRACTION
from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.recording import Access, Statement
from nettrain.compiler.writing import VECTORS, c_type, element, nest, pointer

NARROW, LONG = 16, 2**17  # columns, and multiplications, of products that go by parts of vectors


def factors(statement: Statement) -> tuple[Access, Access, str]:
    """A and B of a product, and where the bias lies that is added to each row of it."""
    o = statement.operands
    if statement.op == "mm":
        return o["self"], o["mat2"], "nullptr"
    over_rows, over_columns = o["self"].broadcast(statement.out.shape)
    if over_rows or over_columns != 1 or o["beta"] != 1 or o["alpha"] != 1:
        raise CannotCompile("there is no code for aten::addmm but for a bias of each column")
    return o["mat1"], o["mat2"], pointer(o["self"])


def _product(statement: Statement) -> list[str]:
    """C = A B, or C = bias + A B, by the kernel for the way in which A and B lie."""
    (a, b, added), c = factors(statement), statement.out
    (rows, inner), (_, columns) = a.shape, b.shape
    (sa, ka), (kb, jb), (ldc, jc) = a.strides, b.strides, c.strides
    kind = c_type(c.dtype)
    sizes = f"{kind}, {rows}, {columns}, {inner}, {sa}"
    arguments = f"({pointer(a)}, {pointer(b)}, {pointer(c)}, {added});"
    if jc != 1 and columns > 1:
        raise CannotCompile("there is no code for a product into columns")
    if jb == 1 and columns < NARROW and rows * columns * inner >= LONG:
        strides = f"0, {sa}, 0, {ka}, 0, {kb}, 0, {ldc}"
        lie = f"{pointer(a)}, {pointer(b)}, {pointer(c)}, {added}, 1, 0, 0, 0, false"
        return [f"windows<{kind}, 1, {rows}, {columns}, 1, {inner}, {strides}>({lie});"]
    if ka == 1 and kb == 1 and inner > 1:
        return [f"product_by_columns<{sizes}, {jb}, {ldc}>{arguments}"]
    if jb == 1 or columns == 1:
        return [f"product_by_rows<{sizes}, {ka}, {kb}, {ldc}>{arguments}"]
    raise CannotCompile("there is no code for a product of matrices that lie like these")


def _contraction(statement: Statement) -> list[str]:
    """C = bias + A B over the last dimensions of A, images one after another: of C, or of those that are added up."""
    o, c = statement.operands, statement.out
    a, b, kind = o["a"], o["b"], c_type(c.dtype)
    apart = len(c.shape) == 4
    image = 0 if apart else 2
    (*rows, k1, k2), steps = ([v[d] for d in range(5) if d != image] for v in (a.shape, a.strides))
    *bs, one = b.strides
    if (one != 1 and c.shape[-1] > 1) or len(b.shape) + len(c.shape) != 7:
        raise CannotCompile("there is no code for a product of windows that lie like these")
    sizes = [*rows, c.shape[-1], k1, k2, *steps, *bs[-2:], *c.strides[-3:-1]]
    bias = "nullptr" if o["bias"] is None else pointer(o["bias"])
    places = [a.shape[image], a.strides[image], 0 if apart else bs[0], c.strides[0] if apart else 0]
    places.append(o.get("more", "false"))
    arguments = ", ".join(map(str, [pointer(a), pointer(b), pointer(c), bias, *places]))
    return [f"windows<{kind}, {', '.join(map(str, sizes))}>({arguments});"]


def _reduction(start: str, step: str, end: str = "{}", vectors: str = "") -> Callable[[Statement], list[str]]:
    """Over some dimensions: s = start, s = step(s, x) for each x, and end(s)."""

    def write(statement: Statement) -> list[str]:
        x, out, kind = statement.operands["self"], statement.out, c_type(statement.out.dtype)
        reduced, remaining = reduced_dimensions(statement, x)
        into = out.strides if len(out.shape) == len(remaining) else [out.strides[d] for d in remaining]
        i, j = [f"i{n}" for n in range(len(remaining))], [f"j{n}" for n in range(len(reduced))]
        strides = [x.strides[d] for d in (*remaining, *reduced)]
        target, value = element(out, i, into), f"({kind}){element(x, [*i, *j], strides)}"
        outer, inner = [x.shape[d] for d in remaining], [x.shape[d] for d in reduced]
        last = remaining[-1] if remaining else None
        if last is not None and x.strides[last] == 1 and x.shape[last] > 1 and end == "{}":  # rows are added up
            return [
                *nest(outer, [f"{target} = {start};"]),
                *nest(inner, nest(outer, [f"{target} = {step.format(s=target, x=value)};"]), "", "j"),
            ]
        body = [
            f"{kind} s = {start};",
            *nest(inner, [f"s = {step.format(s='s', x=value)};"], vectors, "j"),
            f"{target} = {end.format('s')};",
        ]
        return nest(outer, body, "")

    return write


def require_euclidean(statement: Statement) -> None:
    """Raise `CannotCompile` for another norm."""
    if statement.operands["ord"] != 2:
        raise CannotCompile("there is no code for norms other than Euclid's")


def _norm(statement: Statement) -> list[str]:
    require_euclidean(statement)
    return _reduction("0", "{s} + {x} * {x}", "sqrt({})", f"{VECTORS} reduction(+ : s)")(statement)


def reduced_dimensions(statement: Statement, x: Access) -> tuple[list[int], list[int]]:
    """The dimensions that are reduced, and those that are kept."""
    dims: Any = statement.operands.get("dim")
    dims = list(range(len(x.shape))) if dims in (None, []) else [dims] if isinstance(dims, int) else dims
    reduced = sorted(d % len(x.shape) for d in dims)
    return reduced, [d for d in range(len(x.shape)) if d not in reduced]


def softmax_shape(statement: Statement) -> tuple[int, int]:
    """The rows of a softmax, and the numbers of each."""
    x, out = statement.operands["self"], statement.out
    *rows, n = x.shape
    if statement.operands["dim"] % len(x.shape) != len(x.shape) - 1 or not x.strides == out.strides == (n, 1):
        raise CannotCompile("there is no code for a softmax over other dimensions than the last")
    return rows[0], n


def _softmax(statement: Statement) -> list[str]:
    x, out, (rows, n) = statement.operands["self"], statement.out, softmax_shape(statement)
    return [f"softmax<{c_type(out.dtype)}>({pointer(x)}, {pointer(out)}, {rows}, {n});"]


def scattered(statement: Statement, i: str, j: str) -> str:
    """out[i, index[i, j]] += value."""
    o, out = statement.operands, statement.out
    index = o["index"]
    if (
        o.get("reduce") != "add"
        or not isinstance(o.get("value"), int | float)
        or len(out.shape) != 2
        or o["dim"] not in (1, -1)
    ):
        raise CannotCompile("there is no code for this aten::scatter")
    place = f"{out.offset} + {i} * {out.strides[0]} + {element(index, [i, j], index.strides)}"
    return f"b{out.buffer}[{place}] += {o['value']!r};"


def _scatter(statement: Statement) -> list[str]:
    return nest(statement.operands["index"].shape, [scattered(statement, "i0", "i1")], "")


MATRICES: dict[str, Callable[[Statement], list[str]]] = {
    "mm": _product,
    "addmm": _product,
    CONTRACTION: _contraction,
    "sum": _reduction("0", "{s} + {x}", vectors=f"{VECTORS} reduction(+ : s)"),
    "amax": _reduction("-INFINITY", "({x} > {s} || {x} != {x} ? {x} : {s})"),
    "linalg_vector_norm": _norm,
    "_softmax": _softmax,
    "scatter": _scatter,
}
