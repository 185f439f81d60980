"""All parameters of a model are one vector: where each parameter lies in it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """The names and shapes of a model's parameters, in the order in which they lie in the flat vector `w`.

    The vector has shape (P,), or (K, P) for K runs; `P` is `layout.size`.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, module: nn.Module) -> "Layout":
        """The layout of a module's trainable parameters, in the order of `named_parameters()`."""
        named = list(trainable(module).items())
        return cls(tuple(name for name, _ in named), tuple(tuple(p.shape) for _, p in named))

    @cached_property
    def sizes(self) -> list[int]:
        """How many numbers each parameter has."""
        return [math.prod(shape) for shape in self.shapes]

    @cached_property
    def size(self) -> int:
        return sum(self.sizes)

    @cached_property
    def layers(self) -> dict[str, slice]:
        """Where each layer lies in the vector, by name: the parameters of one submodule, which are neighbours."""
        slices: dict[str, slice] = {}
        end = 0
        for name, size in zip(self.names, self.sizes, strict=True):
            layer = name.rpartition(".")[0] or name
            begin, end = end, end + size
            slices[layer] = slice(slices[layer].start if layer in slices else begin, end)
        return slices

    def views(self, w: Tensor) -> dict[str, Tensor]:
        """The parameters as views into `w` of shape (..., P): each of shape (..., *its own shape)."""
        parts = w.split(self.sizes, dim=-1)
        rows = w.shape[:-1]
        return {name: part.view(rows + shape) for name, shape, part in zip(self.names, self.shapes, parts, strict=True)}


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that have a gradient; frozen ones stay as they are, outside the vector."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def constants(module: nn.Module) -> dict[str, Tensor]:
    """What a module computes with beside its trainable parameters: its buffers, and parameters that are frozen."""
    frozen = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
    return {**dict(module.named_buffers()), **frozen}


def flatten(module: nn.Module) -> Tensor:
    """A new vector of shape (P,) with the values of a module's trainable parameters."""
    return join(p.detach() for p in trainable(module).values())


def state_dict(module: nn.Module, w: Tensor, buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """The module's `state_dict` as it would be with the parameters w (P,) and these buffers, in new tensors."""
    first_names = {id(p): name for name, p in module.named_parameters()}
    names = {name: first_names[id(p)] for name, p in module.named_parameters(remove_duplicate=False)}  # tied ones, too
    values = {**Layout.of(module).views(w), **buffers}
    return {
        key: values.get(names.get(key, key), tensor).detach().clone() for key, tensor in module.state_dict().items()
    }


def join(tensors: Iterable[Tensor]) -> Tensor:
    """Tensors laid one after another in one vector."""
    return torch.cat([t.reshape(-1) for t in tensors])
