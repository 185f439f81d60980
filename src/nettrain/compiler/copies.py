"""Copies of tensors: the same one is made once, and one of a matrix that several products would read across."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nettrain.compiler.recording import Access, Recording, Statement

_COPIES = {"clone", "copy", "zero", "zeros"}  # what rounds nothing


def once(recording: Recording) -> list[Statement]:
    """The statements without those that copy again what has been copied before."""
    writes: dict[int, list[tuple[int, Any]]] = {}  # of each buffer: when, and what
    for when, statement in enumerate(recording.statements):
        out, reads = statement.out, [(access, len(writes.get(access.buffer, []))) for access in statement.reads]
        what = (statement.op, replace(out, buffer=-1), str(reads)) if statement.op in _COPIES else when
        writes.setdefault(out.buffer, []).append((when, what))
    first: dict[Any, int] = {}
    same: dict[int, int] = {}
    for buffer, history in writes.items():
        if buffer >= len(recording.names):
            earlier = first.setdefault((recording.sizes[buffer], *(what for _, what in history)), buffer)
            if earlier != buffer and writes[earlier][-1][0] < history[0][0]:
                same[buffer] = earlier
    return [_renamed(statement, same) for statement in recording.statements if statement.out.buffer not in same]


def _renamed(statement: Statement, names: Mapping[int, int]) -> Statement:
    """A statement that reads the buffers of these names in the place of those that they are the same as."""

    def of(operand: Any) -> Any:
        if isinstance(operand, list):
            return [of(item) for item in operand]
        if isinstance(operand, Access):
            return replace(operand, buffer=names.get(operand.buffer, operand.buffer))
        return operand

    return replace(statement, operands={name: of(operand) for name, operand in statement.operands.items()})


def turned(recording: Recording) -> list[Statement]:
    """The statements, with a copy of each matrix by whose columns several products would go, in which its rows lie
    together: sums over the rows then need no sum over a vector's lanes.
    """
    writes: Counter[int] = Counter()
    products: dict[tuple[Access, int], list[int]] = {}  # by the right factor, and what it held
    for when, statement in enumerate(recording.statements):
        b = statement.operands.get("mat2") if statement.op in ("mm", "addmm") else None
        if isinstance(b, Access) and b.strides[0] == 1 and b.strides[1] > 1:
            products.setdefault((b, writes[b.buffer]), []).append(when)
        writes[statement.out.buffer] += 1
    statements, before = list(recording.statements), dict[int, Statement]()
    for (b, _), places in products.items():
        if len(places) > 1:
            copy = Access(len(recording.sizes), b.dtype, 0, b.shape, (b.shape[1], 1))
            recording.sizes.append(b.numel)
            recording.dtypes.append(b.dtype)
            before[places[0]] = Statement("clone", copy, {"self": b})
            for place in places:
                statements[place] = replace(statements[place], operands=statements[place].operands | {"mat2": copy})
    return [s for i, statement in enumerate(statements) for s in ([before[i]] if i in before else []) + [statement]]
