"""Learnt embeddings of categories that ride in a vector of numbers as ids, for one run or for K.

An embedding is the product of the id's one-hot vector and the matrix of all embeddings: it stacks, and compiles, as any
layer does.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTH = 8  # numbers of an embedding


def embeddings(vocabularies: Sequence[int]) -> nn.ModuleList:
    """A matrix (ids, 8) for each vocabulary, drawn from the standard normal distribution; 0 for the last id.

    The last id stands for all categories that were not, or hardly, seen in training.
    """
    layers = [nn.Embedding(ids, WIDTH) for ids in vocabularies]
    for layer in layers:
        nn.init.zeros_(layer.weight[-1])
    return nn.ModuleList(layers)


def one_hot(x: Tensor, vocabularies: Sequence[int]) -> list[Tensor]:
    """The one-hot vectors (..., n, ids) of the ids that are the last numbers of x (..., n, D)."""
    first = x.shape[-1] - len(vocabularies)
    return [
        (x[..., first + i : first + i + 1] == torch.arange(ids, dtype=x.dtype, device=x.device)).to(x.dtype)
        for i, ids in enumerate(vocabularies)
    ]


def embedded(x: Tensor, places: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """x (..., n, D), its ids replaced by their embeddings: (..., n, D - V + 8 V) for V vocabularies."""
    vectors = [_product(place, weight) for place, weight in zip(places, weights, strict=True)]
    numbers = x[..., : x.shape[-1] - len(places)]
    return torch.cat([numbers.expand(*vectors[0].shape[:-1], -1), *vectors], dim=-1)


def embedding_gradients(d: Tensor, places: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Write the gradients of the matrices, of those not None, for the derivative d (..., n, 8 V) by embeddings."""
    for i, (place, gradient) in enumerate(zip(places, gradients, strict=True)):
        if gradient is not None:
            gradient.copy_(_product(place.mT, d[..., i * WIDTH : (i + 1) * WIDTH]))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a b, where rows of b (K, ., .) may share a."""
    return torch.mm(a, b) if b.dim() == 2 else torch.bmm(a.expand(b.shape[0], -1, -1), b)
