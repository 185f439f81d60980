"""x: a tensor (..., n, *shape), or a dictionary of such tensors by name.

`...` is nothing where the rows of a stack see the same samples, and K otherwise.
"""

import warnings
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from nettrain.inputs import Input, Inputs, each, one_of

X: TypeAlias = Tensor | dict[str, Tensor]
Sizes: TypeAlias = int | list[int]

WITHOUT_DOUBLES = {"mps"}  # types of devices that have no float64
AT_ONCE = 2**24  # numbers that are standardised at a time, in float64


def as_tensor(array: np.ndarray) -> Tensor:
    """The array's own memory as a tensor, which nobody writes into: it may be that of a file or of arrow's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(array))


def with_doubles(tensor: Tensor) -> Tensor:
    """The tensor, or a copy on the host of one on a device that has no float64."""
    return tensor.cpu() if tensor.device.type in WITHOUT_DOUBLES else tensor


def device_with_doubles(device: torch.device) -> torch.device:
    """The device, or the host for one that has no float64."""
    return torch.device("cpu") if device.type in WITHOUT_DOUBLES else device


def scaling(input: Input, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and scale, as they are broadcast over samples."""
    places = [1] * len(input.shape)
    if len(input.mean) > 1:
        places[input.axis] = -1
    mean, scale = (torch.tensor(values, dtype=dtype).view(places) for values in (input.mean, input.scale))
    return mean, scale


def ready(x: Any, inputs: Inputs, dtype: torch.dtype) -> X:
    """Samples (n, *shape) as they lie in the host's memory, tensors or arrays, as a model takes them."""
    return each(partial(ready_tensor, dtype), x, inputs)


def ready_tensor(dtype: torch.dtype, x: Tensor | np.ndarray, input: Input) -> Tensor:
    """The same for a single tensor."""
    x = as_tensor(x) if isinstance(x, np.ndarray) else x
    if input.kind == "ids":
        return x.long()
    if input.kind == "bytes":
        mean, scale = scaling(input, dtype)
        return x.to(dtype).sub_(mean).div_(scale)
    if not any(input.mean) and set(input.scale) == {1.0}:
        return x.to(dtype)
    mean, scale = scaling(input, torch.float64)
    result, size = torch.empty(x.shape, dtype=dtype), max(1, AT_ONCE // max(1, input.size))
    for target, values in zip(result.split(size), x.split(size), strict=True):
        target.copy_(values.double().sub_(mean).div_(scale))
    return result


def sample_dim(x: X, inputs: Inputs) -> int:
    """The dimension of x that counts samples: 0, or 1 where every row of a stack has its own."""
    return one_of(x).dim() - len(one_of(inputs).shape) - 1


def split(x: X, size: Sizes, dim: int) -> list[Any]:
    """x in parts of `size` samples, or of so many each."""
    if not isinstance(x, dict):
        return list(x.split(size, dim))
    parts = zip(*(value.split(size, dim) for value in x.values()), strict=True)
    return [dict(zip(x, part, strict=True)) for part in parts]


def example(inputs: Inputs, samples: int, dtype: torch.dtype) -> X:
    """Samples as a model takes them: zeros, and the largest ids."""

    def tensor(input: Input) -> Tensor:
        shape = samples, *input.shape
        return torch.full(shape, input.vocabulary - 1) if input.kind == "ids" else torch.zeros(shape, dtype=dtype)

    return each(tensor, inputs)


def multiplications(module: nn.Module, inputs: Inputs, dtype: torch.dtype) -> int:
    """Those of the module's forward pass for one sample, in convolutions and matrix products."""
    from torch.utils.flop_counter import FlopCounterMode  # late: who only predicts needs none

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(example(inputs, 2, dtype))
    return int(counter.get_total_flops()) // 4  # a product and a sum, of two samples
