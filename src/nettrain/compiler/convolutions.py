"""Convolutions and pooling of images (n, C, H, W) in terms of copies and matrix products.

Images are held with their channels last: each patch under a kernel is a row of a matrix, and a convolution its product
with the kernels (im2col; Chellapilla et al., 2006).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from nettrain.compiler.errors import CannotCompile


def _convolution(x: Tensor, w: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
    """z (n, O, H', W') of images x and kernels w (O, C, h, k)."""
    stride, padding = _plain(*options)
    patches = _patches(x, w.shape[2:], stride, padding)
    kernels = _copied(w.permute(2, 3, 1, 0)).view(-1, len(w))
    rows = _rows(patches)
    z = torch.mm(rows, kernels) if bias is None else torch.addmm(bias, rows, kernels)
    return z.view(*patches.shape[:3], len(w)).permute(0, 3, 1, 2)


def _convolution_backward(
    d: Tensor, x: Tensor, w: Tensor, bias_sizes: Any, *options: Any
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, the kernels and the bias that are wanted, for the gradient d of z."""
    *plain, wanted = options
    stride, padding = _plain(*plain)
    by_channel = _copied(d.permute(0, 2, 3, 1)).view(-1, len(w))
    of_x = of_w = None
    if wanted[1]:
        rows = _rows(_patches(x, w.shape[2:], stride, padding))
        of_w = torch.mm(by_channel.T, rows).view(len(w), *w.shape[2:], w.shape[1]).permute(0, 3, 1, 2)
    if wanted[0]:
        kernels = _copied(w.permute(0, 2, 3, 1)).view(len(w), -1)
        patches = torch.mm(by_channel, kernels).view(len(x), *d.shape[2:], *w.shape[2:], w.shape[1])
        of_x = _joined(patches, x.shape, stride, padding)
    return of_x, of_w, by_channel.sum(0) if wanted[2] else None


def _plain(
    stride: Sequence[int], padding: Sequence[int], dilation: Any, transposed: bool, _: Any, groups: int
) -> tuple[Sequence[int], Sequence[int]]:
    if transposed or groups != 1 or set(dilation) != {1} or len(stride) != 2:
        raise CannotCompile("there is no code for convolutions but plain ones of images")
    return stride, padding


def _padded(x: Tensor, padding: Sequence[int]) -> Tensor:
    """The images with zeros around them, (n, H, W, C)."""
    n, channels, height, width = x.shape
    padded = torch.zeros(n, height + 2 * padding[0], width + 2 * padding[1], channels, dtype=x.dtype, device=x.device)
    padded[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width].copy_(x.permute(0, 2, 3, 1))
    return padded


def _patches(x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """What lies under the kernel at each of its places, (n, H', W', h, k, C)."""
    padded = _padded(x, padding)
    views = padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])
    return _copied(views.permute(0, 1, 2, 4, 5, 3))


def _rows(patches: Tensor) -> Tensor:
    """Patches as the rows of a matrix."""
    return patches.view(patches.shape[:3].numel(), -1)


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
    largest, *others = _windows(x, kernel, stride, padding, dilation, ceil_mode)
    number = torch.zeros_like(largest, dtype=torch.int64)
    for i, part in enumerate(others, 1):
        larger = (part > largest) | torch.isnan(part)
        largest = torch.where(larger, part, largest)
        number = torch.where(larger, torch.full_like(number, i), number)
    return largest, number


def _pooled_backward(d: Tensor, x: Tensor, *options: Any) -> Tensor:
    """The gradient of x, for the gradient d of the largest numbers."""
    *windows, number = options
    of_x = torch.zeros(len(x), *x.shape[2:], x.shape[1], dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
    for i, part in enumerate(_windows(of_x, *windows)):
        part.copy_(torch.where(number == i, d, torch.zeros_like(d)))
    return of_x


def _windows(
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
    "aten::convolution": _convolution,
    "aten::convolution_backward": _convolution_backward,
    "aten::max_pool2d_with_indices": _pooled,
    "aten::max_pool2d_with_indices_backward": _pooled_backward,
}
