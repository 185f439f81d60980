"""Many small tensors in the place of one: what a rule does to a vector is done to all of them by each operation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class TensorList:
    """Tensors with the operations of `Tensor` that rules use, by torch's `_foreach` functions.

    They do to each tensor what the operation of that name does, and so round alike, with less overhead for each.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)

    def __neg__(self) -> "TensorList":
        return TensorList(torch._foreach_neg(self.tensors))

    def add_(self, other: "TensorList | float", alpha: float = 1.0) -> "TensorList":
        if isinstance(other, TensorList):
            torch._foreach_add_(self.tensors, other.tensors, alpha=alpha)
        else:
            torch._foreach_add_(self.tensors, other)
        return self

    def add(self, other: "TensorList", alpha: float = 1.0) -> "TensorList":
        return TensorList(torch._foreach_add(self.tensors, other.tensors, alpha=alpha))

    def mul_(self, factor: float) -> "TensorList":
        torch._foreach_mul_(self.tensors, factor)
        return self

    def div_(self, divisor: float) -> "TensorList":
        torch._foreach_div_(self.tensors, divisor)
        return self

    def lerp_(self, end: "TensorList", weight: float) -> "TensorList":
        torch._foreach_lerp_(self.tensors, end.tensors, weight)
        return self

    def addcmul(self, x: "TensorList", y: "TensorList", value: float = 1.0) -> "TensorList":
        return TensorList(torch._foreach_addcmul(self.tensors, x.tensors, y.tensors, value))

    def addcmul_(self, x: "TensorList", y: "TensorList", value: float = 1.0) -> "TensorList":
        torch._foreach_addcmul_(self.tensors, x.tensors, y.tensors, value)
        return self

    def addcdiv_(self, x: "TensorList", y: "TensorList", value: float = 1.0) -> "TensorList":
        torch._foreach_addcdiv_(self.tensors, x.tensors, y.tensors, value)
        return self

    def sqrt(self) -> "TensorList":
        return TensorList(torch._foreach_sqrt(self.tensors))

    def __eq__(self, number: float) -> "TensorList":  # type: ignore[override]
        return TensorList([tensor.eq(number) for tensor in self.tensors])

    def masked_fill_(self, mask: "TensorList", value: float) -> "TensorList":
        for tensor, hidden in zip(self.tensors, mask.tensors, strict=True):
            tensor.masked_fill_(hidden, value)
        return self

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: Any, args: Any, kwargs: Any = None) -> "TensorList":
        """`torch.maximum(x, y, out=x)`."""
        x, y = args
        if func is not torch.maximum or kwargs != {"out": x}:
            return NotImplemented
        torch._foreach_maximum_(x.tensors, y.tensors)
        return x
