"""Any `torch.nn.Module` as a model."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from nettrain.errors import ConfigError
from nettrain.inputs import Inputs, described
from nettrain.parts.models.base import Activation, Model
from nettrain.registry import option, values_of
from nettrain.targets import make


@dataclass
class Module(Model):
    """Any `torch.nn.Module`: what `_target_` names, called with the other keys of this node by Hydra's `instantiate`.

    They may be nested nodes with a `_target_` of their own. Parameters of the constructor that the config does not set
    are filled in by their names: `in_features` (how many numbers a sample has), `out_features` (the outputs of the
    head), `in_channels` (the first dimension of images) and `num_embeddings` (how many ids there are). The module is
    called with x as it is: a tensor (n, *shape), or one dictionary of such tensors.
    """

    name: str = "module"
    _target_: str = option(
        "???",
        "class or function that makes the module; in_features, out_features, in_channels and num_embeddings are filled "
        "in if it takes them",
    )

    takes_any_key: ClassVar[bool] = True
    takes_ids: ClassVar[bool] = True
    takes_activation: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What is said of the model when a run starts."""
        return self._notes

    def say(self, note: str) -> None:
        """Let a sentence be said when a run starts."""
        self._notes.append(note)

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        arguments: dict[str, Any] = {key: value for key, value in values_of(self).items() if key != "name"}
        module = make("model", arguments, {**_sizes(inputs), "out_features": outputs}, _when(inputs))
        if not isinstance(module, nn.Module):
            kind = "function still to be called (_partial_)" if arguments.get("_partial_") else type(module).__name__
            raise ConfigError(f"model._target_={self._target_}: it is a {kind}, and no torch.nn.Module.")
        return module


def _when(inputs: int | Inputs) -> dict[str, str]:
    """When the parameters of a constructor are filled in that these inputs say nothing of."""
    x = f"{inputs} numbers" if isinstance(inputs, int) else described(inputs)
    of = {
        "in_features": "x holds numbers in one tensor",
        "in_channels": "a sample has three dimensions (C, H, W)",
        "num_embeddings": "x holds ids in one tensor",
    }
    return {name: f"{name} is filled in where {what}, and here a sample is {x}" for name, what in of.items()}


def _sizes(inputs: int | Inputs) -> dict[str, int]:
    """What is known of x, by the names that torch's layers have for it."""
    if isinstance(inputs, int):
        return {"in_features": inputs}
    if isinstance(inputs, dict):
        return {}
    if inputs.kind == "ids":
        return {"num_embeddings": inputs.vocabulary}
    return {"in_features": inputs.size, **({"in_channels": inputs.shape[0]} if len(inputs.shape) == 3 else {})}
