"""Layers as pure functions of the parameters of one run, or of those of K runs, which have a leading dimension K.

Vectors are (..., n, d) and sequences (..., n, T, d), where `...` is nothing, or K. Images are (n, C, H, W), and
(n, K C, H, W) for K runs: such networks are one of K times the channels, whose convolutions and norms are in groups.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nettrain.random import Noise

Tensors = dict[str, Tensor]

EPSILON = 1e-5  # that norms add to a variance, as torch's do
MOMENTUM = 0.1  # with which a batch norm's running statistics follow those of the batches


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b for one run, weight (o, i), or for K runs, weight (K, o, i), of vectors x (..., n, i)."""
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    if weight.shape[-2] == 1:  # for one row with one output, baddbmm would take another way than for many
        return torch.sum(x * weight, -1, keepdim=True) + bias.unsqueeze(-2)
    return torch.baddbmm(bias.unsqueeze(-2), x.expand(weight.shape[0], -1, -1), weight.mT)


def affine_steps(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same of each vector of sequences x (..., n, T, i)."""
    return affine(x.flatten(-3, -2), weight, bias).unflatten(-2, x.shape[-3:-1])


def linear_steps(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T of each vector of x (..., n, T, i), for one run, weight (o, i), or for K runs, weight (K, o, i)."""
    return torch.matmul(x.flatten(-3, -2), weight.mT).unflatten(-2, x.shape[-3:-1])


def images(x: Tensor, sample_dims: int, channels_last: bool) -> Tensor:
    """Images as they are computed, (n, C, H, W) or (n, K C, H, W), of x (n, *shape) or (K, n, *shape).

    A shape of two dimensions is that of an image with one channel. With `channels_last` those of one run lie so in the
    memory of a processor, whose convolutions are fastest then, as long as everything lies so.
    """
    if sample_dims == 2:
        x = x.unsqueeze(-3)
    if x.dim() == 5:
        return x.transpose(0, 1).flatten(1, 2)
    return x.contiguous(memory_format=torch.channels_last) if channels_last and x.device.type == "cpu" else x


def vectors(x: Tensor, rows: int | None) -> Tensor:
    """All numbers of each image (n, K C, H, W) as a vector: (K, n, C H W), or (n, C H W) where `rows` is None."""
    return x.flatten(1) if rows is None else x.reshape(len(x), rows, -1).transpose(0, 1)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1) -> Tensor:
    """Cross-correlation of images with the kernels (O, C, k, k) or (K, O, C, k, k), k odd, padded by zeros to x's size.

    Images of K C channels are those of K runs, images of C channels are shared by them.
    """
    kernels = weight.reshape(-1, *weight.shape[-3:])
    bias = None if bias is None else bias.reshape(-1)
    return F.conv2d(x, kernels, bias, stride, weight.shape[-1] // 2, groups=x.shape[1] // weight.shape[-3])


def batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, running: tuple[Tensor, Tensor, Tensor], training: bool
) -> Tensor:
    """(x - m) / sqrt(v + eps) weight + bias (Ioffe and Szegedy, 2015), of images for each channel.

    In training m and v are those of the batch, by which the `running` mean and variance, (C,) or (K, C) as the weights,
    are changed in place, and the number of batches is counted up, as torch's are; in evaluation they are the running
    ones.
    """
    mean, variance, batches = running
    if training:
        batches.add_(1)
        mean, variance = mean.view(-1), variance.view(-1)
    scale, shift = weight.reshape(-1), bias.reshape(-1)
    return F.batch_norm(x, mean.reshape(-1), variance.reshape(-1), scale, shift, training, MOMENTUM, EPSILON)


def batch_norm_vectors(
    x: Tensor, weight: Tensor, bias: Tensor, running: tuple[Tensor, Tensor, Tensor], training: bool
) -> Tensor:
    """The same of vectors x (..., n, d), for each of the d numbers."""
    if x.dim() == 2:
        return batch_norm(x, weight, bias, running, training)
    features = batch_norm(x.transpose(0, 1).flatten(1), weight, bias, running, training)
    return features.unflatten(1, weight.shape).transpose(0, 1)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Each image standardised over each of its `groups` of channels; times weight plus bias, (C,) or (K, C).

    (Wu and He, 2018.) With one group it is a layer norm.
    """
    rows = x.shape[1] // weight.shape[-1]
    return F.group_norm(x, rows * groups, weight.reshape(-1), bias.reshape(-1), EPSILON)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each vector of x standardised, times weight plus bias, (d,) or (K, d) (Ba et al., 2016)."""
    size = weight.shape[-1:]
    if weight.dim() == 1:
        return F.layer_norm(x, size, weight, bias, EPSILON)
    between = weight.shape[:1] + (1,) * (x.dim() - 2) + size
    return torch.addcmul(bias.view(between), F.layer_norm(x, size, eps=EPSILON), weight.view(between))


def dropout(x: Tensor, noise: Noise | None, place: int, sample_dims: int = 1) -> Tensor:
    """x with units dropped by the noise of this place; as it is without noise. A sample has so many dimensions."""
    if noise is None or (isinstance(noise.rate, float) and noise.rate == 0):
        return x
    if sample_dims == 1:
        return noise.dropout(x, place)
    return noise.dropout(x.flatten(-sample_dims), place).view(x.shape)


def embedding(ids: Tensor, weight: Tensor, sample_dims: int) -> Tensor:
    """The vectors (..., n, *shape, d) of ids (..., n, *shape) among those of weight, (V, d) or (K, V, d).

    The shape has `sample_dims` dimensions; K runs may share ids (n, *shape).
    """
    if weight.dim() == 2:
        return F.embedding(ids, weight)
    rows, vocabulary = weight.shape[:2]
    first = torch.arange(rows, device=ids.device) * vocabulary
    return F.embedding(ids + first.view(-1, *[1] * (sample_dims + 1)), weight.flatten(0, 1))


def attention(
    x: Tensor,
    heads: int,
    projection: tuple[Tensor, Tensor],
    out: tuple[Tensor, Tensor],
    noise: Noise | None,
    place: int,
) -> Tensor:
    """softmax(q k^T / sqrt(d)) v of each of the heads, for q, k, v of width E = heads d, affine in x (..., n, T, E).

    (Vaswani et al., 2017.) `projection` and `out` are weight and bias of the affine maps to q, k and v, of width 3 E,
    and of what is mixed; probabilities are dropped by the noise of this place.
    """
    qkv = affine_steps(x, *projection).unflatten(-1, (3, heads, -1))
    q, k, v = (part.transpose(-3, -2) for part in qkv.unbind(-3))  # (..., n, heads, T, d)
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.mT).softmax(-1)
    mixed = torch.matmul(dropout(scores, noise, place, 3), v).transpose(-3, -2).flatten(-2)
    return affine_steps(mixed, *out)


def gru(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """The states h (..., n, T, H) of a gated recurrent unit on sequences x (..., n, T, d), with torch's weights.

    r, z = sigmoid(...), c = tanh(W x + b + r (U h + b')), h <- c + z (h - c) (Cho et al., 2014).
    """
    size, outputs = weight_hh.shape[-1], []
    steps = affine_steps(x, weight_ih, bias_ih).movedim(-2, 0)
    h = steps.new_zeros(*steps.shape[1:-1], size)
    for of_x in steps.unbind():
        (gates_x, c_x), (gates_h, c_h) = (
            of_either.split((2 * size, size), -1) for of_either in (of_x, affine(h, weight_hh, bias_hh))
        )
        r, z = torch.sigmoid(gates_x + gates_h).chunk(2, -1)
        c = torch.tanh(torch.addcmul(c_x, r, c_h))
        h = torch.lerp(c, h, z)
        outputs.append(h)
    return torch.stack(outputs, -2)


def lstm(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """The same of long short-term memory: i, f, o = sigmoid(...), g = tanh(...), c <- f c + i g, h = o tanh(c).

    (Hochreiter and Schmidhuber, 1997; Gers et al., 2000.)
    """
    outputs = []
    steps = affine_steps(x, weight_ih, bias_ih).movedim(-2, 0)
    h = c = steps.new_zeros(*steps.shape[1:-1], weight_hh.shape[-1])
    for of_x in steps.unbind():
        i, f, g, o = (of_x + affine(h, weight_hh, bias_hh)).chunk(4, -1)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, -2)


def weights(parameters: Tensors, name: str) -> tuple[Tensor, Tensor]:
    """The weight and the bias of the layer of this name."""
    return parameters[f"{name}.weight"], parameters[f"{name}.bias"]


def running_statistics(parameters: Tensors, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Running mean, running variance and number of batches of the batch norm of this name."""
    return (
        parameters[f"{name}.running_mean"],
        parameters[f"{name}.running_var"],
        parameters[f"{name}.num_batches_tracked"],
    )
