"""Loops that each compute an image of a batch from the same image, put into one loop over the images.

What is computed of an image stays in the processor's cache until it is read, and what nothing else reads has memory for
a single image.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from nettrain.compiler.convolutions import CONTRACTION
from nettrain.compiler.loops import Loop, apart, place
from nettrain.compiler.recording import Access, Statement


@dataclass
class Batch:
    """Loops that are computed one after the other for each of so many images.

    `steps` has how far apart the images lie in each buffer; 0 where it is the same for all, or the sum over them.
    """

    images: int
    loops: list[Loop] = field(default_factory=list)
    steps: dict[int, int] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)

    def add(self, loop: Loop) -> bool:
        """Take the loop into the batch, if each of its images needs no other image of what the batch computes."""
        steps = image_steps(loop, self.images)
        if steps is None:
            return False
        written = self.written | {statement.out.buffer for statement in loop.statements}
        for buffer in steps.keys() & self.steps.keys():
            if steps[buffer] != self.steps[buffer] or (steps[buffer] == 0 and buffer in written):
                return False
        self.loops.append(loop)
        self.steps |= steps
        self.written = written
        return True

    def parts(self) -> list[Loop]:
        """The loops of one image, whose buffers begin where that image lies."""
        parts = []
        for loop in self.loops:
            statements = [_of_image(statement) for statement in loop.statements]
            pairs = zip(loop.statements, statements, strict=True)
            stored = {place(new.out, new.out.shape) for old, new in pairs if place(old.out, loop.shape) in loop.stored}
            parts.append(Loop(statements, loop.elementwise, stored))
        return parts


def batches(loops: Sequence[Loop], separate: Collection[int]) -> list[Loop | Batch]:
    """The loops in an order in which they can be computed, and with convolutions those of images in batches.

    What touches one of the buffers that are `separate` is in none.
    """
    products = [s for loop in loops for s in loop.statements if s.op == CONTRACTION]
    if not products:
        return list(loops)
    images = products[0].operands["a"].shape[_dims(products[0])["a"]]
    made: list[Loop | Batch] = []
    left = list(loops)
    while left:
        waiting: list[Loop] = []
        for loop in left:  # what is no work on images, as far as nothing has to come before
            steps = image_steps(loop, images)
            ready = all(apart(loop, other) for other in waiting)
            (made if ready and (steps is None or steps.keys() & set(separate)) else waiting).append(loop)
        batch, left = Batch(images), []
        for loop in waiting:
            if not all(apart(loop, other) for other in left) or not batch.add(loop):
                left.append(loop)
        if needed := _with_products(batch.loops):
            batch = Batch(images)
            left = [loop for loop in waiting if loop not in needed or not batch.add(loop)]
        made += [batch] if needed else batch.loops
    return made


def _with_products(loops: Sequence[Loop]) -> list[Loop]:
    """The loops that are products of windows, and those that work on the same buffers as one of these."""
    reached = [loop for loop in loops if loop.statements[0].op == CONTRACTION]
    buffers: set[int] = set()
    while reached and (more := set[int]().union(*(loop.buffers for loop in reached))) != buffers:
        buffers = more
        reached = [loop for loop in loops if loop.buffers & buffers]
    return reached


def single_images(ordered: Sequence[Loop | Batch], first: int) -> dict[int, int]:
    """The buffers from the `first` temporary one on that have room for one image, and how many numbers that has.

    They are those that one batch alone touches.
    """
    touched = [item.steps.keys() if isinstance(item, Batch) else item.buffers for item in ordered]
    times = Counter(buffer for buffers in touched for buffer in buffers)
    found = (item.steps.items() for item in ordered if isinstance(item, Batch))
    return {b: step for steps in found for b, step in steps if step and b >= first and times[b] == 1}


def image_steps(loop: Loop, images: int) -> dict[int, int] | None:
    """How far apart the images lie in each buffer of a loop that computes them one by one; None for any other loop."""
    steps: dict[int, int] = {}
    for statement in loop.statements:
        dims = _dims(statement)
        if statement.op == "arange" or not (loop.elementwise or statement.op == CONTRACTION):
            return None  # the numbers of an arange go through all images
        for name, access in _named(statement):
            step = 0
            if (dim := dims.get(name)) is not None:
                step = access.strides[dim]
                inside = (i for i in range(len(access.shape)) if i != dim)
                reach = access.offset + sum((access.shape[i] - 1) * abs(access.strides[i]) for i in inside)
                if access.shape[dim] != images or (step and reach >= step):
                    return None
            if steps.setdefault(access.buffer, step) != step:
                return None
        if statement.op != CONTRACTION and not steps[statement.out.buffer]:
            return None
    return steps


def _named(statement: Statement) -> Iterator[tuple[str, Access]]:
    """What a statement reads and writes, by the names of its operands and `out`."""
    for name, operand in {**statement.operands, "out": statement.out}.items():
        for access in operand if isinstance(operand, list) else [operand]:
            if isinstance(access, Access):
                yield name, access


def _dims(statement: Statement) -> dict[str, int]:
    """The dimension of the images in those operands that have them; what is missing is the same for all."""
    if statement.op == CONTRACTION:
        return {"a": 0, "out": 0} if len(statement.out.shape) == 4 else {"a": 2, "b": 0}
    rank = len(statement.out.shape)
    return {
        name: 0 for name, access in _named(statement) if rank > 1 and len(access.shape) == rank and access.shape[0] != 1
    }


def _of_image(statement: Statement) -> Statement:
    """The same for one image."""
    dims, rank = _dims(statement), len(statement.out.shape)
    if statement.op == CONTRACTION:
        cut = {name: _one(access, dims[name]) if name in dims else access for name, access in _named(statement)}
    else:
        cut = {name: _without(access) if len(access.shape) == rank else access for name, access in _named(statement)}
    operands = {**statement.operands, **cut, **({} if "out" in dims else {"more": "image > 0"})}
    return Statement(statement.op, operands.pop("out"), operands)


def _without(access: Access) -> Access:
    return replace(access, shape=access.shape[1:], strides=access.strides[1:])


def _one(access: Access, dim: int) -> Access:
    return replace(access, shape=(*access.shape[:dim], 1, *access.shape[dim + 1 :]))
