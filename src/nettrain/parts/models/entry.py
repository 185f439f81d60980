"""What the first layer of a network for tables is given: numbers, embeddings of ids, and embeddings of the numbers."""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from nettrain.inputs import Input, Inputs
from nettrain.parts.embeddings import WIDTH, embedded, embedding_gradients, embeddings, one_hot
from nettrain.parts.models.base import Model, RowModule, Tensors
from nettrain.parts.periodic import Periodic, Waves
from nettrain.registry import option
from nettrain.samples import X


@dataclass
class TableModel(Model):
    """A model that takes all numbers of a sample as one vector, whatever its shape, and categories to be embedded."""

    hidden: list[int] = option([64, 64], "widths of the hidden layers", minimum=1)
    dropout: float = option(
        0.0, "probability of zeroing a hidden unit during training", per_row=True, minimum=0, below=1
    )
    periodic: int = option(0, "frequencies of the periodic embedding that each number has, which is learnt", minimum=0)
    sigma: float = option(0.1, "standard deviation of these frequencies before they are trained", above=0)

    def entry(self, inputs: int | Inputs) -> "Entry":
        """What an `EntryModule` is made of."""
        if isinstance(inputs, Input) and inputs.vocabularies:
            size, dims, vocabularies = inputs.size, 1, inputs.vocabularies
        else:
            (size, dims), vocabularies = self.vector(inputs), ()
        periodic = Periodic(size - len(vocabularies), self.periodic, self.sigma) if self.periodic else None
        return Entry(size, dims, vocabularies, periodic)


class Entry(NamedTuple):
    """The `size` numbers of a sample, which has so many dimensions, as one vector.

    The last ones are ids where there are `vocabularies`, ids below each, and are replaced by their embeddings; with
    `periodic` those of the numbers come behind.
    """

    size: int
    sample_dims: int = 1
    vocabularies: tuple[int, ...] = ()
    periodic: Periodic | None = None


class EntryModule(RowModule):
    """A network whose first layer is given `entered` numbers: those of a sample, with embeddings."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        size, self.sample_dims, self.vocabularies, periodic = entry
        if self.vocabularies:
            self.embeddings = embeddings(self.vocabularies)
        self.periodic = periodic
        self.entered = size + (WIDTH - 1) * len(self.vocabularies) + (0 if periodic is None else periodic.size)

    def enter(self, parameters: Tensors, x: X) -> tuple[Tensor, list[Tensor], Waves | None]:
        """What the first layer is given, (..., n, entered), and what `leave` needs of each kind of embedding."""
        x = cast(Tensor, x)
        x = x if self.sample_dims == 1 else x.flatten(-self.sample_dims)
        places = one_hot(x, self.vocabularies)
        waves = None if self.periodic is None else self.periodic.waves(parameters, x)
        if places:
            x = embedded(x, places, [parameters[name] for name in self._embedding_names])
        if self.periodic is not None and waves is not None:
            of_numbers = self.periodic.embedded(parameters, waves)
            x = torch.cat([x.expand(*of_numbers.shape[:-1], -1), of_numbers], dim=-1)
        return x, places, waves

    def leave(
        self,
        parameters: Tensors,
        d: Tensor,
        weight: Tensor,
        places: list[Tensor],
        waves: Waves | None,
        gradients: Tensors,
    ) -> None:
        """Write the gradients of the embeddings, for the derivative d by what the first layer's `weight` gives."""
        end = weight.shape[-1] - (0 if self.periodic is None else self.periodic.size)
        if places:
            of_ids = torch.matmul(d, weight[..., end - WIDTH * len(places) : end])
            embedding_gradients(of_ids, places, [gradients.get(name) for name in self._embedding_names])
        if self.periodic is not None and waves is not None:
            self.periodic.write_gradients(parameters, waves, torch.matmul(d, weight[..., end:]), gradients)

    @property
    def _embedding_names(self) -> list[str]:
        return [f"embeddings.{i}.weight" for i in range(len(self.vocabularies))]
