"""A recording as a C++ function."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from nettrain.compiler.copies import once, turned
from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.expressions import CONDITIONS, EXPRESSIONS, REQUIRED
from nettrain.compiler.images import Batch, batches, single_images
from nettrain.compiler.loops import Loop, Place, apart, collapsed, loops, place
from nettrain.compiler.processor import PROCESSOR
from nettrain.compiler.recording import Access, Recording, Statement, record
from nettrain.compiler.target import Target
from nettrain.compiler.writing import c_type, element, element_number, literal, stored_type

ALIGNMENT = 64  # bytes


def function(
    name: str,
    does: Callable[..., None],
    tensors: Mapping[str, Tensor],
    target: Target = PROCESSOR,
    optional: Collection[str] = (),
) -> tuple[str, int]:
    """`name(first tensor, ..., last tensor, scratch)` in C++: what `does(**tensors)` does in place.

    The second result is how many bytes of scratch memory it needs. `does` must do the same whatever the values are. A
    tensor that is `optional` is only written, and may be a null pointer. Raises `CannotCompile` for what there is no
    code for.
    """
    recording = record(does, tensors, {*EXPRESSIONS, *target.matrices, "cat", "flip"})
    if target.barrier is None:
        recording.statements = turned(recording)
    recording.statements = once(recording)
    all_loops = loops(recording, lambda statement: statement.op in EXPRESSIONS)
    perhaps = {i for i, tensor in enumerate(recording.names) if tensor in optional}
    ordered = batches(all_loops, perhaps)
    stored = {stored_place[0] for loop in all_loops for stored_place in loop.stored}
    needed = stored | {access.buffer for loop in all_loops for s in loop.statements for access in s.reads}
    parameters = [
        f"{stored_type(d)}{target.pointer} b{i}" for i, d in enumerate(recording.dtypes[: len(recording.names)])
    ]
    lines, bytes_ = [f"{target.function} {name}({', '.join(parameters)}, char{target.pointer} scratch) {{"], 0
    constants = []
    single = single_images(ordered, len(recording.names))
    for i in range(len(recording.names), len(recording.sizes)):
        kind = stored_type(recording.dtypes[i])
        if i in recording.constants:
            values = ", ".join(literal(v, kind) for v in recording.constants[i].tolist())
            constants.append(f"{target.constant} {kind} {name}_b{i}[] = {{{values}}};")
            lines.append(f"  const {kind}{target.pointer} b{i} = {name}_b{i};")
        elif i in stored & needed:
            lines.append(f"  {kind}{target.pointer} b{i} = ({kind}*)(scratch + {bytes_});")
            size = single.get(i, recording.sizes[i]) * recording.dtypes[i].itemsize
            bytes_ += -(-size // ALIGNMENT) * ALIGNMENT
    together: list[Loop] = []  # loops since the last barrier
    for item in ordered:
        if isinstance(item, Batch):
            lines += ["  " + line for line in _batch(item, target, recording, single)]
            continue
        if target.barrier and not all(apart(item, other) for other in together):
            lines.append(f"  {target.barrier}")
            together = []
        together.append(item)
        lines += ["  " + line for line in _code(item, target, perhaps)]
    return "\n".join([*constants, *lines, "}"]), bytes_


def _code(loop: Loop, target: Target, optional: Collection[int]) -> list[str]:
    (statement, *_) = loop.statements
    return _elementwise(loop, target, optional) if loop.elementwise else target.matrices[statement.op](statement)


def _batch(batch: Batch, target: Target, recording: Recording, single: Collection[int]) -> list[str]:
    """Loops for one image after the other, in which a buffer begins where the image lies."""
    moving = {buffer: step for buffer, step in batch.steps.items() if step and buffer not in single}
    outside = [f"const auto p{buffer} = b{buffer} + image * {step};" for buffer, step in moving.items()]
    inside = [f"{stored_type(recording.dtypes[buffer])}{target.pointer} b{buffer} = p{buffer};" for buffer in moving]
    body = [line for part in batch.parts() for line in _code(part, target, ())]
    return [f"for (int64_t image = 0; image < {batch.images}; image++) {{", *outside, "{", *inside, *body, "}}"]


def _elementwise(loop: Loop, target: Target, optional: Collection[int]) -> list[str]:
    accesses = [access for statement in loop.statements for access in (*statement.reads, statement.out)]
    # The innermost loop goes along memory, but where the number of an element counts.
    numbered = any(statement.op == "arange" for statement in loop.statements)
    along = loop.statements[-1].out.strides
    order = sorted(range(len(along)), key=lambda d: 0 if numbered else -along[d])
    steps = [access.broadcast(loop.shape) for access in accesses]
    sizes, strides = collapsed([loop.shape[d] for d in order], [[step[d] for d in order] for step in steps])
    indices = [f"i{d}" for d in range(len(sizes))]
    elements = {
        place(access, loop.shape): element(access, indices, steps)
        for access, steps in zip(accesses, strides, strict=True)
    }
    flat = element_number(indices, sizes)
    values: dict[Place, str] = {}  # what has been computed of an element already
    written = {statement.out.buffer for statement in loop.statements}
    before: list[str] = []
    body = []
    truth_values = {place(s.out, loop.shape) for s in loop.statements if s.out.dtype == torch.bool}
    for at, read in elements.items():  # what is the same for all elements is read once
        if sizes and not any(at[2]) and at[0] not in written:
            before.append(f"const auto u{len(before)} = {read};")
            elements[at] = f"u{len(before) - 1}"
    for n, statement in enumerate(loop.statements):
        at = place(statement.out, loop.shape)
        known = {place(access, loop.shape): values.get(place(access, loop.shape)) for access in statement.reads}
        words = {where: value or elements[where] for where, value in known.items()}
        body.append(f"const {c_type(statement.out.dtype)} v{n} = {_expression(statement, words, loop.shape, flat)};")
        values[at] = f"v{n}"
    for at, value in values.items():
        if at in loop.stored:
            condition = f"if (b{at[0]}) " if at[0] in optional else ""
            number = f"{value} ? 1 : 0" if at in truth_values else value
            body.append(f"{condition}{elements[at]} = {number};")
    lines = target.elementwise(sizes, body)
    return ["{", *before, *lines, "}"] if before else lines


def _expression(statement: Statement, elements: Mapping[Place, str], shape: tuple[int, ...], flat: str) -> str:
    """The value of one element; `elements` has what is read in C++."""
    operands = statement.operands
    if not REQUIRED.get(statement.op, lambda options: True)(operands):
        raise CannotCompile(f"there is no code for aten::{statement.op} with these options")
    kind = c_type(_computed_in(statement))
    words = {"index": flat, "start": literal(0, kind), "step": literal(1, kind)}
    for name, operand in operands.items():
        if isinstance(operand, Access):
            read = elements[place(operand, shape)]
            truth = operand.dtype == torch.bool and kind != "bool"  # which a compiler converts for no vector
            words[name] = (
                read if name in CONDITIONS else f"({read} ? {kind}(1) : {kind}(0))" if truth else f"({kind}){read}"
            )
        elif isinstance(operand, bool | int | float):
            words[name] = literal(operand, kind)
    template = EXPRESSIONS[statement.op]
    text = template if isinstance(template, str) else template(operands)
    return text.replace("TYPE", kind).format(**words)


def _computed_in(statement: Statement) -> torch.dtype:
    """The type in which an operation computes: that of its result, or in comparisons that of its operands."""
    if statement.out.dtype != torch.bool:
        return statement.out.dtype
    examples: list[Any] = [torch.empty(a.shape, dtype=a.dtype, device="meta") for a in statement.reads]
    examples += [value for value in statement.operands.values() if isinstance(value, bool | int | float)]
    return torch.result_type(*examples[:2]) if len(examples) > 1 else examples[0].dtype if examples else torch.bool
