"""Elementwise operations put into common loops, and what nobody reads left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nettrain.compiler.recording import Access, Recording, Statement

Place = tuple[int, int, tuple[int, ...]]  # where an element lies: buffer, offset, strides over a loop's shape


@dataclass(eq=False)
class Loop:
    """Statements that are computed for one element after another, or a single one that has a loop of its own."""

    statements: list[Statement]
    elementwise: bool
    stored: set[Place] = field(default_factory=set)  # what must be in memory afterwards

    @cached_property
    def buffers(self) -> set[int]:
        return {access.buffer for s in self.statements for access in (s.out, *s.reads)}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.statements[0].out.shape

    def takes(self, statement: Statement) -> bool:
        """Whether the statement can be computed in this loop: no element needs another one of what is written."""
        if not self.elementwise or statement.out.shape != self.shape:
            return False
        if _orders(statement) != _orders(self.statements[0]):  # one of them would go across memory
            return False
        return not any(_conflict(statement, earlier, self.shape) for earlier in self.statements)


def place(access: Access, shape: tuple[int, ...]) -> Place:
    return access.buffer, access.offset, access.broadcast(shape)


def loops(recording: Recording, is_elementwise: Callable[[Statement], bool]) -> list[Loop]:
    """The statements in loops, in an order in which they can be computed."""
    made: list[Loop] = []
    for statement in _needed(recording):
        elementwise = is_elementwise(statement)
        home = None
        for loop in reversed(made if elementwise else []):
            if loop.takes(statement):
                home = loop
            if home or any(_depends(statement, other) for other in loop.statements):
                break
        if home:
            home.statements.append(statement)
        else:
            made.append(Loop([statement], elementwise))
    for loop in made:
        others = [access for other in made if other is not loop for s in other.statements for access in s.reads]
        loop.stored = {
            place(s.out, loop.shape)
            for s in loop.statements
            if s.out.buffer < len(recording.names) or any(s.out.overlaps(access) for access in others)
        }
    return made


def _needed(recording: Recording) -> list[Statement]:
    """The statements whose results are read, or lie in the function's own tensors."""
    live, needed = set(range(len(recording.names))), []
    for statement in reversed(recording.statements):
        if statement.out.buffer in live:
            needed.append(statement)
            live.update(access.buffer for access in statement.reads)
    return needed[::-1]


def _depends(later: Statement, earlier: Statement) -> bool:
    """Whether their order matters."""
    return (
        later.out.overlaps(earlier.out)
        or any(access.overlaps(earlier.out) for access in later.reads)
        or any(access.overlaps(later.out) for access in earlier.reads)
    )


def apart(one: Loop, other: Loop) -> bool:
    """Whether two loops can be computed at the same time."""
    if not one.buffers & other.buffers:
        return True
    return not any(_depends(s, t) for s in one.statements for t in other.statements)


def _orders(statement: Statement) -> set[tuple[int, ...]]:
    """In which orders of dimensions a statement's tensors lie in memory, each from the largest step to the smallest."""
    shape, orders = statement.out.shape, set()
    for access in (statement.out, *statement.reads):
        strides = access.broadcast(shape)
        several = [d for d, size in enumerate(shape) if size > 1]
        if all(strides[d] for d in several):  # none is read again and again
            orders.add(tuple(sorted(several, key=lambda d: -abs(strides[d]))))
    return orders


def _conflict(one: Statement, other: Statement, shape: tuple[int, ...]) -> bool:
    """Whether one writes an element of which the other needs another element."""
    return any(
        access.overlaps(writer.out) and place(access, shape) != place(writer.out, shape)
        for writer, accesses in ((one, [*other.reads, other.out]), (other, [*one.reads, one.out]))
        for access in accesses
    )


def collapsed(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """A loop nest with as few dimensions as possible: its sizes, and the strides of each access over it."""
    sizes: list[int] = []
    collapsed: list[list[int]] = [[] for _ in strides]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(merged[-1] == stride[d] * size for merged, stride in zip(collapsed, strides, strict=True)):
            sizes[-1] *= size
            for merged, stride in zip(collapsed, strides, strict=True):
                merged[-1] = stride[d]
        else:
            sizes.append(size)
            for merged, stride in zip(collapsed, strides, strict=True):
                merged.append(stride[d])
    return sizes, collapsed
