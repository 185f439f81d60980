"""Convolutional networks: from LeNet to small residual networks."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.inputs import Input, Inputs
from nettrain.parts.activations import Activation as Named
from nettrain.parts.activations import gain
from nettrain.parts.models import functional
from nettrain.parts.models.base import Activation, Model, RowModule, Tensors, affine_layer
from nettrain.random import Noise
from nettrain.registry import option
from nettrain.samples import X

RELU = Named("relu")


@dataclass
class CNN(Model):
    """Convolutions, each followed by the activation and max-pooling, and fully connected layers behind them.

    Images are (C, H, W), or (H, W) with one channel. With `blocks` a stage is that many residual blocks of two
    convolutions (He et al., 2016), and all stages but the first begin with a stride of 2 in the place of pooling.
    """

    name: str = "cnn"
    channels: list[int] = option([16, 32], "channels of each stage", minimum=1)
    kernel: int = option(3, "height and width of the kernels", choices=(1, 3, 5, 7, 9, 11))
    pool: int = option(
        2, "height and width of max-pooling behind each stage, 1: none; residual stages have none", minimum=1
    )
    blocks: int = option(0, "residual blocks of each stage; 0: one convolution", minimum=0)
    norm: str = option("none", "norm behind each convolution", choices=("none", "batch", "group", "layer"))
    groups: int = option(4, "groups of channels of norm=group", minimum=1)
    flatten: bool = option(
        True, "the last images are one vector for what follows; false: the mean of each channel (global pooling)"
    )
    hidden: list[int] = option([64], "widths of the fully connected layers before the last", minimum=1)
    dropout: float = option(
        0.0, "probability of zeroing an input of a fully connected layer in training", per_row=True, minimum=0, below=1
    )

    example: ClassVar[Input | None] = Input((1, 28, 28), "bytes")

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        input = self.shape_of(inputs, "images, C x H x W or H x W numbers", "data=digits_images", (2, 3), ids=False)
        if not self.channels:
            raise ConfigError("model.channels=[]: a convolutional network has a stage at least, such as channels=[16].")
        if self.norm == "group" and (wrong := [c for c in self.channels if c % self.groups]):
            stage = f"stages.{self.channels.index(wrong[0])}"
            raise ConfigError(
                f"model.groups={self.groups}: it does not divide the {wrong[0]} channels of {stage} (model.channels="
                f"{self.channels}); use a divisor of all of them, or model.norm=layer."
            )
        return ConvolutionalNetwork(self, input.shape, outputs, activation)


class ConvolutionalNetwork(RowModule):
    """The network of a `CNN` for samples of the given shape."""

    def __init__(self, config: CNN, shape: tuple[int, ...], outputs: int, activation: Activation) -> None:
        super().__init__()
        self.activation, self.dropout, self.sample_dims = activation, config.dropout, len(shape)
        self.pool, self.flatten = 1 if config.blocks else config.pool, config.flatten
        self.compilable = config.norm != "batch"
        width, *size = (1, *shape) if len(shape) == 2 else shape
        scale, softening = gain(activation), (len(config.channels) * max(1, config.blocks)) ** -0.5
        self.stem = nn.ModuleList()
        if config.blocks:
            _fits("stem.0", width, size, config)
            self.stem.append(Convolution(width, config.channels[0], config, 1.0))
            width = config.channels[0]
        self.stages = nn.ModuleList()
        for i, channels in enumerate(config.channels):
            name = f"stages.{i}"
            _fits(name, width, size, config)
            if config.blocks:
                stride = 2 if i else 1
                size = [-(-n // stride) for n in size]
                ends = [(width, stride), *[(channels, 1)] * (config.blocks - 1)]
                blocks = [Block(a, channels, config, scale, softening, stride) for a, stride in ends]
                self.stages.append(nn.ModuleList(blocks))
            else:
                self.stages.append(Convolution(width, channels, config, scale if i else 1.0))
                _fits(name, channels, size, config, pool=self.pool)
                size = [n // self.pool for n in size]
            width = channels
        widths = [width * math.prod(size) if config.flatten else width, *config.hidden]
        self.hidden = nn.ModuleList(affine_layer(a, b, scale) for a, b in itertools.pairwise(widths))
        self.linear = affine_layer(widths[-1], outputs, 0.1 * scale)

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        weight = parameters["linear.weight"]
        rows, f = (len(weight) if weight.dim() == 3 else None), self.activation
        x = functional.images(cast(Tensor, x), self.sample_dims, channels_last=not self.flatten)
        for i, stem in enumerate(self.stem):
            yield f"stem.{i}", (x := cast(Convolution, stem).of_rows(parameters, f"stem.{i}", x, noise))
            x = f(x)
        for i, stage in enumerate(self.stages):
            name = f"stages.{i}"
            if isinstance(stage, Convolution):
                yield name, (x := stage.of_rows(parameters, name, x, noise))
                if self.pool > 1 and f == RELU:  # which keeps the order of positive numbers: there is less to compute
                    x = f(F.max_pool2d(x, self.pool))
                else:
                    x = f(x) if self.pool == 1 else F.max_pool2d(f(x), self.pool)
                continue
            for j, block in enumerate(cast(nn.ModuleList, stage)):
                yield f"{name}.{j}", (x := cast(Block, block).of_rows(parameters, f"{name}.{j}", x, noise, f))
                x = f(x)
        x = functional.vectors(x if self.flatten else x.mean((-2, -1), keepdim=True), rows)
        for i in range(len(self.hidden)):
            x = functional.affine(functional.dropout(x, noise, i), *functional.weights(parameters, f"hidden.{i}"))
            yield f"hidden.{i}", x
            x = f(x)
        yield (
            "linear",
            functional.affine(
                functional.dropout(x, noise, len(self.hidden)), *functional.weights(parameters, "linear")
            ),
        )

    def hidden_units(self, parameters: Tensors, x: X) -> Iterator[tuple[str, Tensor]]:
        rows = len(parameters["linear.weight"]) if parameters["linear.weight"].dim() == 3 else None
        outputs = ((name, z) for name, z in self.layer_outputs(parameters, x) if name != "linear")
        return ((name, functional.vectors(z, rows) if z.dim() == 4 else z) for name, z in outputs)


class Convolution(nn.Module):
    """The parameters of a convolution and of the norm behind it."""

    def __init__(
        self, inputs: int, outputs: int, config: CNN, scale: float, stride: int = 1, kernel: int | None = None
    ) -> None:
        super().__init__()
        kernel = kernel or config.kernel
        self.stride, self.kind, self.groups = stride, config.norm, 1 if config.norm == "layer" else config.groups
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=config.norm == "none")
        nn.init.normal_(self.conv.weight, std=scale / math.sqrt(inputs * kernel * kernel))
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        elif config.norm == "batch":
            self.norm: nn.Module = nn.BatchNorm2d(outputs)
        else:
            self.norm = nn.GroupNorm(self.groups, outputs)

    def of_rows(self, parameters: Tensors, name: str, x: Tensor, noise: Noise | None) -> Tensor:
        """What it gives for images (n, K C, H, W), with the parameters of this name."""
        kernels, bias = parameters[f"{name}.conv.weight"], parameters.get(f"{name}.conv.bias")
        x = functional.convolution(x, kernels, bias, self.stride)
        if self.kind == "none":
            return x
        weights = functional.weights(parameters, f"{name}.norm")
        if self.kind == "batch":
            running = functional.running_statistics(parameters, f"{name}.norm")
            return functional.batch_norm(x, *weights, running, noise is not None)
        return functional.group_norm(x, *weights, self.groups)


class Block(nn.Module):
    """A residual block: x + conv2(f(conv1(x))), x through a convolution of size 1 where its shape changes."""

    def __init__(self, inputs: int, outputs: int, config: CNN, scale: float, softening: float, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, config, scale, stride)
        self.conv2 = Convolution(outputs, outputs, config, scale * softening)  # so that signals keep their size
        if stride > 1 or inputs != outputs:
            self.shortcut = Convolution(inputs, outputs, config, scale, stride, kernel=1)

    def of_rows(self, parameters: Tensors, name: str, x: Tensor, noise: Noise | None, f: Activation) -> Tensor:
        """What it gives for images (n, K C, H, W), with the parameters of this name."""
        inside = f(self.conv1.of_rows(parameters, f"{name}.conv1", x, noise))
        inside = self.conv2.of_rows(parameters, f"{name}.conv2", inside, noise)
        if not hasattr(self, "shortcut"):
            return inside + x
        return inside + self.shortcut.of_rows(parameters, f"{name}.shortcut", x, noise)


def _fits(name: str, channels: int, size: list[int], config: CNN, pool: int = 0) -> None:
    """Raise `ConfigError` where the images that a stage gets are smaller than its kernels, or than what it pools."""
    if min(size) >= (pool or config.kernel):
        return
    seen = " x ".join(map(str, [channels, *size]))
    what, key = (
        (f"pools {pool} x {pool}", "pool") if pool else (f"has kernels of {config.kernel} x {config.kernel}", "kernel")
    )
    raise ConfigError(
        f"model.{key}={pool or config.kernel}: {name} {what}, and the images there are {seen}, which is smaller; use a "
        f"smaller model.{key} or fewer stages than model.channels={config.channels}."
    )
