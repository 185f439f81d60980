"""What a function of tensors does, recorded while torch computes it once: a list of operations on buffers.

The function has to do the same whatever the values of its tensors are. Views and in-place operations need no care:
every tensor is known by the memory it lies in.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from nettrain.compiler.decompositions import DECOMPOSITIONS, of_torch
from nettrain.compiler.errors import CannotCompile

CONSTANT = 2**16  # bytes of a tensor from outside that may be written into the program
MOST = 700  # operations; each takes a compiler some ten milliseconds

_ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_OVERWRITING = {"copy", "fill", "zero"}  # in place, without a look at what was there


@dataclass(frozen=True)
class Access:
    """A tensor as it lies in a buffer: element (i, j, ...) is number offset + i strides[0] + j strides[1] + ..."""

    buffer: int
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def numel(self) -> int:
        return torch.Size(self.shape).numel()

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last element of the buffer that it can touch."""
        reach = [(size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)]
        return self.offset + sum(min(far, 0) for far in reach), self.offset + sum(max(far, 0) for far in reach)

    def broadcast(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The strides with which it is read over a larger shape."""
        missing = len(shape) - len(self.shape)
        dimensions = zip(self.shape, self.strides, shape[missing:], strict=True)
        return (0,) * missing + tuple(0 if size == 1 and wanted != 1 else stride for size, stride, wanted in dimensions)

    def overlaps(self, other: "Access") -> bool:
        """Whether they may have an element in common; of views of the same kind, whether they have one."""
        if self.buffer != other.buffer:
            return False
        (a, b), (c, d) = self.span, other.span
        if a > d or c > b:
            return False
        if (self.shape, self.strides) != (other.shape, other.strides):
            return True
        steps = sorted((abs(stride), size - 1) for size, stride in zip(self.shape, self.strides, strict=True))
        return _reaches(steps, self.offset - other.offset)


def _reaches(steps: Sequence[tuple[int, int]], distance: int) -> bool:
    """Whether distance = sum_i n_i step_i with |n_i| <= most_i, the steps (step_i, most_i) in ascending order."""
    if not steps:
        return distance == 0
    *smaller, (step, most) = steps
    rest = sum(s * m for s, m in smaller)
    if step == 0:
        return distance == 0
    least, greatest = -((rest - distance) // step), (distance + rest) // step
    return any(_reaches(smaller, distance - n * step) for n in range(max(least, -most), min(greatest, most) + 1))


@dataclass
class Statement:
    """out <- op(operands); an operand is an `Access`, a list of them, or a plain value."""

    op: str
    out: Access
    operands: dict[str, Any]

    @property
    def reads(self) -> list[Access]:
        accesses = []
        for operand in self.operands.values():
            accesses += [a for a in (operand if isinstance(operand, list) else [operand]) if isinstance(a, Access)]
        return accesses


@dataclass
class Recording:
    """`statements` on buffers: the first ones are the function's tensors, `names`; `constants` come from outside.

    All others are temporary; `sizes` are in elements.
    """

    names: list[str]
    statements: list[Statement] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    dtypes: list[torch.dtype] = field(default_factory=list)
    constants: dict[int, Tensor] = field(default_factory=dict)


def record(function: Callable[..., None], tensors: Mapping[str, Tensor], known: Container[str]) -> Recording:
    """Call `function(**tensors)`, which works in place, and note what it does in terms of the `known` operations.

    Raises `CannotCompile` for other ones that torch does not decompose into those.
    """
    recorder = _Recorder(tensors, known)
    with recorder:
        function(**tensors)
    return recorder.recording


class _Recorder(TorchDispatchMode):
    def __init__(self, tensors: Mapping[str, Tensor], known: Container[str]) -> None:
        super().__init__()
        self.known = known
        self.recording = Recording(list(tensors))
        self.buffers: dict[int, int] = {}  # by the address of a storage
        self.alive: list[Any] = []  # no address is used twice
        for tensor in tensors.values():
            self._buffer(tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # so that torch's compiler is not imported

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        name = name if name.startswith("_") else name.rstrip("_")
        if name not in self.known and (simpler := DECOMPOSITIONS.get(func._schema.name)):
            with self:
                return simpler(*args, **kwargs)
        result = func(*args, **kwargs)
        self.alive.append(result)
        if name in _ALLOCATIONS:
            self._buffer(result)
            return result
        if isinstance(result, Tensor) and result.numel() == 0:
            return result
        if _is_view(func, args, result):
            return result
        if name not in self.known and (simpler := of_torch(func)):
            with self:
                return simpler(*args, **kwargs)
        if name not in self.known or not isinstance(result, Tensor):
            raise CannotCompile(f"there is no code for {func._schema.name}")
        schema = func._schema.arguments
        values = {argument.name: value for argument, value in zip(schema, args, strict=False)} | kwargs
        operands = {
            argument.name: self._operand(values.get(argument.name, argument.default_value))
            for argument in schema
            if argument.name != "out" and not (argument.name == "self" and name in _OVERWRITING)
        }
        if len(self.recording.statements) > MOST:
            raise CannotCompile(f"it has more than {MOST} operations, which take long to build")
        out = self._access(result)
        if name == "cat":
            self.recording.statements += _copies(out, **operands)
        elif name == "flip":
            self.recording.statements.append(Statement("copy", out, {"src": _backwards(**operands)}))
        else:
            self.recording.statements.append(Statement(name, out, operands))
        return result

    def _operand(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._access(value, read=True)
        if isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value):
            return [self._operand(item) for item in value]
        return value

    def _access(self, tensor: Tensor, read: bool = False) -> Access:
        return Access(
            self._buffer(tensor, read),
            tensor.dtype,
            int(tensor.storage_offset()),
            tuple(tensor.shape),
            tuple(tensor.stride()),
        )

    def _buffer(self, tensor: Tensor, read: bool = False) -> int:
        storage, recording = tensor.untyped_storage(), self.recording
        number = self.buffers.setdefault(storage.data_ptr(), len(self.buffers))
        if number == len(recording.sizes):
            self.alive.append(storage)
            recording.sizes.append(storage.nbytes() // tensor.dtype.itemsize)
            recording.dtypes.append(tensor.dtype)
            if read:  # before anything was written to it
                if storage.nbytes() > CONSTANT:
                    raise CannotCompile("a large tensor that is no parameter")
                whole = torch.empty(0, dtype=tensor.dtype).set_(storage, 0, (recording.sizes[-1],))  # type: ignore[call-overload]
                recording.constants[number] = whole.clone()
        return number


def _is_view(func: OpOverload, args: Any, result: Any) -> bool:
    """Whether the results are other views of what was given."""
    if any(argument.alias_info is not None and argument.alias_info.is_write for argument in func._schema.arguments):
        return False
    flat = [item for value in args for item in (value if isinstance(value, list | tuple) else [value])]
    addresses = {item.untyped_storage().data_ptr() for item in flat if isinstance(item, Tensor)}
    results = result if isinstance(result, list | tuple) else [result]
    return all(isinstance(item, Tensor) and item.untyped_storage().data_ptr() in addresses for item in results)


def _copies(out: Access, tensors: list[Access], dim: int) -> list[Statement]:
    """A concatenation: each tensor is copied into its part of the result."""
    dim, start, copies = dim % len(out.shape), out.offset, []
    for tensor in tensors:
        part = replace(out, offset=start, shape=tensor.shape)
        copies.append(Statement("copy", part, {"src": tensor}))
        start += tensor.shape[dim] * out.strides[dim]
    return copies


def _backwards(self: Access, dims: list[int]) -> Access:
    """A tensor from the last to the first of some dimensions."""
    offset, strides = self.offset, list(self.strides)
    for dim in dims:
        offset += (self.shape[dim] - 1) * strides[dim]
        strides[dim] = -strides[dim]
    return replace(self, offset=offset, strides=tuple(strides))
