"""Operations of torch in terms of simpler ones."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from nettrain.compiler.convolutions import CONVOLUTIONS


def of_torch(func: OpOverload) -> Callable[..., Any] | None:
    """Torch's own function that computes the same by other operations, where there is one."""
    from torch._decomp import decomposition_table

    return decomposition_table.get(func)


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(x - m) / sqrt(v + eps) weight + bias over the last dimensions, with m and 1 / sqrt(v + eps)."""
    dims, count = _last(shape), torch.Size(shape).numel()
    mean = x.sum(dims, keepdim=True) / count
    deviation = x - mean
    scale = ((deviation * deviation).sum(dims, keepdim=True) / count + eps).rsqrt()
    out = deviation * scale
    out = out if weight is None else out * weight
    return out if bias is None else out + bias, mean, scale


def _layer_norm_backward(
    d: Tensor,
    x: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, weight and bias that are wanted, for the gradient d of what the norm gives."""
    dims, count = _last(shape), torch.Size(shape).numel()
    batch = list(range(x.dim() - len(shape)))
    unit = (x - mean) * scale
    inner = d if weight is None else d * weight
    along = (inner * unit).sum(dims, keepdim=True) / count
    of_x = (inner - inner.sum(dims, keepdim=True) / count - unit * along) * scale
    of_weight = (d * unit).sum(batch) if wanted[1] else None
    return of_x if wanted[0] else None, of_weight, d.sum(batch) if wanted[2] else None


def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, channels: int, size: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of images (n, C, ...), over each of their groups of channels; weight and bias are (C,)."""
    grouped = x.unflatten(1, (groups, -1))
    unit, mean, scale = _layer_norm(grouped, grouped.shape[2:], None, None, eps)
    out = unit.flatten(1, 2)
    out = out if weight is None else out * _channels(weight, x)
    out = out if bias is None else out + _channels(bias, x)
    return out, mean.view(n, groups), scale.view(n, groups)


def _group_norm_backward(
    d: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    n: int,
    channels: int,
    size: int,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, weight and bias that are wanted, for the gradient d of what the norm gives."""
    grouped = x.unflatten(1, (groups, -1))
    each = [n, groups, *[1] * (grouped.dim() - 2)]
    mean, scale, others = mean.view(each), scale.view(each), [i for i in range(x.dim()) if i != 1]
    inner = (d if weight is None else d * _channels(weight, x)).unflatten(1, (groups, -1))
    of_x, _, _ = _layer_norm_backward(
        inner, grouped, grouped.shape[2:], mean, scale, None, None, [wanted[0], False, False]
    )
    unit = ((grouped - mean) * scale).flatten(1, 2)
    return (
        None if of_x is None else of_x.flatten(1, 2),
        (d * unit).sum(others) if wanted[1] else None,
        d.sum(others) if wanted[2] else None,
    )


def _channels(values: Tensor, x: Tensor) -> Tensor:
    """(C,) beside images (n, C, ...)."""
    return values.view(-1, *[1] * (x.dim() - 2))


def _mean(x: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The sum over some dimensions, divided by how many numbers there are."""
    dims = list(range(x.dim())) if dims is None else list(dims)
    return x.sum(dims, keepdim, dtype=dtype) / torch.Size(x.shape[d] for d in dims).numel()


def _last(shape: Sequence[int]) -> list[int]:
    return [-i for i in range(len(shape), 0, -1)]


DECOMPOSITIONS: dict[str, Callable[..., Any]] = {  # torch's own end in primitives that are no operations of tensors
    **CONVOLUTIONS,
    "aten::mean": _mean,
    "aten::native_group_norm": _group_norm,
    "aten::native_group_norm_backward": _group_norm_backward,
    "aten::native_layer_norm": _layer_norm,
    "aten::native_layer_norm_backward": _layer_norm_backward,
}
