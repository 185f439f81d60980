"""What all models share: the config that builds a module, and modules whose parameters may be those of K runs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.inputs import Input, Inputs, described
from nettrain.parts.activations import identity
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.samples import X
from nettrain.wording import counted

Activation = Callable[[Tensor], Tensor]
Derivative = Callable[[Tensor], Tensor]
Tensors = dict[str, Tensor]

NO_EMBEDDING = "; use model=mlp, or 0/1 features with data.embed_above=null and data.columns.<name>=category"


@dataclass
class Model(ABC):
    """A model's config.

    With `takes_ids` whole numbers that were handed over in Python are ids for it (see `Frame`). Without
    `takes_activation` the activation that a person chooses has no place in it. `example` is what x may be, for the
    table of layers that `--help` shows.
    """

    name: str = ""

    takes_ids: ClassVar[bool] = False
    takes_activation: ClassVar[bool] = True
    example: ClassVar[Input | None] = None

    @abstractmethod
    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        """The module with its initial weights, from x to logits z (..., n, outputs).

        `inputs` is the number of features, where x is a vector of numbers for each sample, (..., n, inputs). Otherwise
        it is an `Input`, which says shape and kind of a sample's tensor, and of ids how many there are; or a dictionary
        of them by name, where x is a dictionary of tensors. Raises `ConfigError` for inputs that the model cannot take.
        """

    def vector(self, inputs: int | Inputs) -> tuple[int, int]:
        """How many numbers a sample has for a model that takes them as one vector, and how many dimensions they have.

        Raises `ConfigError` for a dictionary and for ids.
        """
        if isinstance(inputs, int):
            return inputs, 1
        if isinstance(inputs, dict):
            what, remedy = f"x holds several tensors ({described(inputs)})", ""
        elif inputs.vocabularies:
            what, remedy = "x holds categories to be embedded", NO_EMBEDDING
        elif inputs.kind == "ids":
            what, remedy = f"x holds ids ({inputs.text})", ", or make numbers of them with data.ids=false"
        else:
            return inputs.size, len(inputs.shape)
        use = "; use a module of your own (model._target_)" if remedy != NO_EMBEDDING else ""
        raise ConfigError(f"model={self.name}: {what}, and this model takes numbers{use}{remedy}.")

    def shape_of(self, inputs: int | Inputs, what: str, remedy: str, dims: tuple[int, ...], ids: bool) -> Input:
        """x of a model that takes one tensor of so many dimensions a sample, in words `what`.

        Raises `ConfigError` for another number of dimensions, a dictionary, ids where it takes none, and a dimension
        of length 0.
        """
        if isinstance(inputs, int):
            found = f"a sample has {counted(inputs, 'feature')}"
        elif isinstance(inputs, dict):
            found = f"x holds several tensors ({described(inputs)})"
        elif 0 in inputs.shape:
            found = f"x is empty ({inputs.text})"
        elif (inputs.kind == "ids" and not ids) or len(inputs.shape) not in dims:
            found = f"x holds {inputs.text}"
        else:
            return inputs
        raise ConfigError(f"model={self.name}: it takes {what}, and {found}; use {remedy}.")


class RowModule(nn.Module, ABC):
    """A module whose parameters may be those of one run, shape (...), or of K runs, shape (K, ...).

    Its forward pass is a pure function of them and of the noise, but for the running statistics of batch norms, which
    are among the `parameters`, too, and are changed in place in training. `compilable` says whether a program can
    compute it, and `steps` how often its layers are computed for a sample, one time step after another.
    """

    dropout: float = 0.0
    compilable: bool = False
    steps: int = 1
    copies: int = 1  # predictions that are trained each by its own loss

    def __init__(self) -> None:
        super().__init__()
        self.activation: Activation = identity

    @abstractmethod
    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        """The name of each layer and what it gives for x, at last z (..., n, outputs).

        x is (n, *shape), which the runs share, or (K, n, *shape); or a dictionary of such tensors. With `noise` it is
        computed as in training: units are dropped, and batch norms take mean and variance of the batch.
        """

    def logits(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Tensor:
        """z (..., n, outputs), as `layer_outputs` ends."""
        for _, z in self.layer_outputs(parameters, x, noise):  # noqa: B007
            pass
        return z

    def trained_logits(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Tensor:
        """The logits whose loss is trained: z, or of a module with several `copies` those of each, (copies, ..., n, o).

        The loss is then the mean of theirs.
        """
        return self.logits(parameters, x, noise)

    def together(self, z: Tensor) -> Tensor:
        """z (..., n, outputs) of these logits."""
        return z

    def hidden_units(self, parameters: Tensors, x: X) -> Iterator[tuple[str, Tensor]]:
        """Layer by layer what the `activation` is applied to, (..., n, units); nothing where it plays no part."""
        return iter(())

    def backpropagate(
        self, parameters: Tensors, x: X, noise: Noise | None, derivative: Derivative, gradients: Tensors
    ) -> Tensor:
        """z, as `logits` gives it; and the gradients of a loss, written into `gradients`, shaped like the parameters.

        `derivative(z)` is the derivative of the loss by z, of z's shape. Frozen parameters are not among `gradients`.
        By autograd, in one pass for all runs: since rows do not mix, the gradient of the sum of their losses is each
        one's own. A module that knows formulas for it overrides this.
        """
        leaves = {name: parameters[name].detach().requires_grad_() for name in gradients}
        with stage("forward"), torch.enable_grad():
            z = self.trained_logits({**parameters, **leaves}, x, noise)
        with stage("backward"):
            if self.copies == 1:
                by_z = derivative(z.detach())
            else:
                by_z = torch.stack([derivative(copy) for copy in z.detach()]) / self.copies
            found = torch.autograd.grad(z, list(leaves.values()), by_z, materialize_grads=True)
            for gradient, value in zip(gradients.values(), found, strict=True):
                gradient.copy_(value)
        return self.together(z.detach())

    def forward(self, x: X) -> Tensor:
        """The logits (n, outputs) of x (n, *shape), as in evaluation."""
        return self.logits({**dict(self.named_parameters()), **dict(self.named_buffers())}, x)


def can_be_compiled(model: nn.Module) -> bool:
    """Whether a program can compute the model."""
    return isinstance(model, RowModule) and model.compilable


def affine_layer(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    """An affine map with bias 0 and normal weights of standard deviation `scale` / sqrt(inputs)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer
