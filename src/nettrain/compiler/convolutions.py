"""Convolutions and pooling of images (n, C, H, W) in terms of copies and products of windows.

Images are held with their channels last. What lies under a kernel at each of its places is a view of them, whose
product with the kernels is the convolution. A processor has code for such products (`windows` in windows.h), which hold
results in registers while they go through the views; elsewhere the views are copied, and the product is one of matrices
(im2col; Chellapilla et al., 2006).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from nettrain.compiler.errors import CannotCompile

CONTRACTION, CHOSEN = "nettrain::contraction", "nettrain::chosen"  # operations of torch, so that they can be recorded


def _contracted(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """sum_k a[i..., k...] b[k..., o], plus the bias (o,), for b of shape (k..., o)."""
    summed = b.shape[:-1]
    rows, columns = _copied(a).view(-1, summed.numel()), _copied(b).view(summed.numel(), -1)
    c = torch.mm(rows, columns) if bias is None else torch.addmm(bias, rows, columns)
    return c.view(*a.shape[: a.dim() - len(summed)], -1)


def _where_chosen(d: Tensor, number: Tensor, value: float) -> Tensor:
    """d where the number has this value, else 0."""
    return torch.where(number == value, d, 0)


_OPERATIONS = torch.library.Library("nettrain", "FRAGMENT")
_OPERATIONS.define("contraction(Tensor a, Tensor b, Tensor? bias) -> Tensor")
_OPERATIONS.impl("contraction", _contracted, "CompositeExplicitAutograd")
_OPERATIONS.define("chosen(Tensor d, Tensor number, float value) -> Tensor")
_OPERATIONS.impl("chosen", _where_chosen, "CompositeExplicitAutograd")
_contraction, _chosen = torch.ops.nettrain.contraction, torch.ops.nettrain.chosen


def _convolution(x: Tensor, w: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
    """z (n, O, H', W') of images x and kernels w (O, C, h, k)."""
    stride, padding = _plain(*options)
    kernels = w.permute(2, 3, 1, 0).clone(memory_format=torch.contiguous_format).flatten(1, 2)
    z = _contraction(_windows(_padded(x, padding), w.shape[2:], stride), kernels, bias)
    return z.permute(0, 3, 1, 2)


def _convolution_backward(
    d: Tensor, x: Tensor, w: Tensor, bias_sizes: Any, *options: Any
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, the kernels and the bias that are wanted, for the gradient d of z."""
    *plain, wanted = options
    stride, padding = _plain(*plain)
    (outputs, channels, *kernel), last = w.shape, _copied(d.permute(0, 2, 3, 1))
    of_x = of_w = None
    around = [k - 1 - p for k, p in zip(kernel, padding, strict=True)]
    if wanted[0] and list(stride) == [1, 1] and min(around) >= 0:  # a convolution with the kernels turned round
        kernels = w.flip(2, 3).permute(2, 3, 0, 1).clone(memory_format=torch.contiguous_format).flatten(1, 2)
        of_x = _contraction(_windows(_padded(d, around), kernel, stride), kernels, None).permute(0, 3, 1, 2)
    elif wanted[0]:
        kernels = _copied(w.permute(0, 2, 3, 1)).view(outputs, -1)
        patches = torch.mm(last.view(-1, outputs), kernels).view(len(x), *d.shape[2:], *kernel, channels)
        of_x = _joined(patches, x.shape, stride, padding)
    if wanted[1]:
        windows = _windows(_padded(x, padding), kernel, stride).permute(3, 4, 0, 1, 2)
        of_w = _contraction(windows, last, None).view(*kernel, channels, outputs).permute(3, 2, 0, 1)
    of_bias = None
    if wanted[2]:  # a sum, as a product, so that it is computed where d is
        once = torch.ones_like(last[0, 0, 0, :1]).expand(1, 1, *last.shape[:3])
        of_bias = _contraction(once, last, None).view(outputs)
    return of_x, of_w, of_bias


def _plain(
    stride: Sequence[int], padding: Sequence[int], dilation: Any, transposed: bool, _: Any, groups: int
) -> tuple[Sequence[int], Sequence[int]]:
    if transposed or groups != 1 or set(dilation) != {1} or len(stride) != 2:
        raise CannotCompile("there is no code for convolutions but plain ones of images")
    return stride, padding


def _padded(x: Tensor, padding: Sequence[int]) -> Tensor:
    """The images with zeros around them, (n, H, W, C)."""
    n, channels, height, width = x.shape
    top, left = padding
    if not any(padding):
        return _copied(x.permute(0, 2, 3, 1))
    padded = torch.empty(n, height + 2 * top, width + 2 * left, channels, dtype=x.dtype, device=x.device)
    inside = padded[:, top : top + height, left : left + width]
    for border in (padded[:, :top], padded[:, top + height :], padded[:, :, :left], padded[:, :, left + width :]):
        border.zero_()
    inside.permute(0, 3, 1, 2).copy_(x)  # in the shape of x, so that it is written by the loop that computes x
    return padded


def _windows(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """What lies under a kernel at each of its places in images (n, H, W, C): a view (n, H', W', h, k C)."""
    views = x.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])
    return views.permute(0, 1, 2, 4, 5, 3).flatten(4)


def _copied(x: Tensor) -> Tensor:
    """x, dimension by dimension in memory; itself if it lies so."""
    return x if x.is_contiguous() else x.clone(memory_format=torch.contiguous_format)


def _joined(patches: Tensor, shape: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """The sum of patches (n, H', W', h, k, C) as they lie in images of this shape (n, C, H, W)."""
    n, channels, height, width = shape
    size = n, height + 2 * padding[0], width + 2 * padding[1], channels
    padded = torch.zeros(size, dtype=patches.dtype, device=patches.device)
    _, rows, columns, *kernel, _ = patches.shape
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            place = padded[:, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]]
            place.add_(patches[:, :, :, i, j])
    return padded[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width].permute(0, 3, 1, 2)


def _pooled(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """The largest numbers of windows that do not overlap, and which number of its window each of them is."""
    largest, *others = _pools(x, kernel, stride, padding, dilation, ceil_mode)
    number = torch.zeros_like(largest)
    for i, part in enumerate(others, 1):
        larger = (part > largest) | torch.isnan(part)
        largest = torch.where(larger, part, largest)
        number = torch.where(larger, torch.full_like(number, i), number)
    return largest, number


def _pooled_backward(d: Tensor, x: Tensor, *options: Any) -> Tensor:
    """The gradient of x, for the gradient d of the largest numbers."""
    *windows, number = options
    n, channels, height, width = x.shape
    of_x = torch.empty(n, height, width, channels, dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
    for size, kernel, dim in zip((height, width), windows[0], (2, 3), strict=True):  # what is in no window
        of_x.narrow(dim, whole := size // kernel * kernel, size - whole).zero_()
    d = _copied(d.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    for i, part in enumerate(_pools(of_x, *windows)):
        part.copy_(_chosen(d, number, i))
    return of_x


def _pools(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Any, dilation: Any, ceil_mode: bool
) -> Iterator[Tensor]:
    """For each place in the windows the numbers that lie there, (n, C, H', W')."""
    if list(stride or kernel) != list(kernel) or any(padding) or set(dilation) != {1} or ceil_mode:
        raise CannotCompile("there is no code for pooling but of windows that do not overlap")
    height, width = (size // k * k for size, k in zip(x.shape[2:], kernel, strict=True))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield x[:, :, i : height : kernel[0], j : width : kernel[1]]


CONVOLUTIONS: dict[str, Callable[..., Any]] = {
    CONTRACTION: _contracted,
    "aten::convolution": _convolution,
    "aten::convolution_backward": _convolution_backward,
    "aten::max_pool2d_with_indices": _pooled,
    "aten::max_pool2d_with_indices_backward": _pooled_backward,
}
