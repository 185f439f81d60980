"""Any `torch.optim.Optimizer` as a part: what it is made of, and what is known of it once it has been tried."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.registry import option, values_of
from nettrain.targets import building, maker


@dataclass
class Traits:
    """What an optimizer is like.

    `defaults` are its own settings with those of the config; `by_closure` says that its `step` needs a closure, `draws`
    that it draws random numbers; `state` is one that it has had, without its numbers.
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    by_closure: bool = False
    draws: bool = False
    state: dict[str, Any] = field(default_factory=dict)


@dataclass
class TorchOptimizer:
    """Any `torch.optim.Optimizer`: what `_target_` names, called with the parameters and the other keys of this node.

    Every run has an instance of its own, also as a row of a stack. One whose `step` needs a closure evaluates the loss
    and the gradient of its batch as often as it likes, and trains alone.
    """

    name: str = "torch"
    _target_: str = option("???", "class of the optimizer, such as torch.optim.NAdam; further keys are its arguments")
    lr: float | None = option(None, "learning rate (eta); null: the optimizer's own default", minimum=0)
    clip_norm: float | None = option(
        None, "scale gradients down to this norm if they are longer; null: no clipping", above=0
    )

    takes_any_key: ClassVar[bool] = True
    per_row: ClassVar[bool] = True  # each row of a stack may have an optimizer of its own

    def __post_init__(self) -> None:
        self._traits = Traits()

    @property
    def traits(self) -> Traits:
        """What is known of the optimizer; nothing before it has been tried."""
        return self._traits

    def learn(self, traits: Traits) -> None:
        """Take notice of what a trial has shown."""
        self._traits = traits

    @property
    def arguments(self) -> dict[str, Any]:
        """The node of its class: what it is called with beside the parameters."""
        left_out = ("name", "clip_norm", *(["lr"] if self.lr is None else []))
        return {key: value for key, value in values_of(self).items() if key not in left_out}

    @property
    def notes(self) -> list[str]:
        """What is said of it when a run starts; the times are those of thousands of parameters on one core."""
        named = f"optimizer._target_={self._target_}"
        if self.traits.by_closure:
            return [
                f"{named}: it evaluates each batch as often as it likes, and trains alone, not as a row of a stack."
            ]
        return [
            f"{named}: it makes each run's updates one by one, not compiled; for a small network one takes 2 to 15 "
            "times as long as with nettrain's own adam, and 5 to 40 times in a stack of 16 rows."
        ]

    @property
    def stack_key(self) -> str:
        """What the optimizers of a stack's rows have in common; all else is each row's own."""
        return self._target_

    def build(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of these parameter groups. Raises `ConfigError` with what its class says against them."""
        with building("optimizer", self.arguments, supplied=1):
            plain = len(groups) == 1 and list(groups[0]) == ["params"]
            made = maker(self.arguments)(groups[0]["params"] if plain else list(groups))
        if not isinstance(made, torch.optim.Optimizer):
            raise ConfigError(
                f"optimizer._target_={self._target_}: it is a {type(made).__name__}, and no torch.optim.Optimizer."
            )
        return made

    def fits(self, state: dict[str, Any]) -> bool:
        """Whether a state, of a checkpoint that may be somebody else's, is made as those of the trial were."""
        expected = self.traits.state
        shapes = {tensor.shape for tensor in _tensors(expected)}
        return set(state) == set(expected) and _fits(state, expected, shapes)


def outline(value: Any) -> Any:
    """The value with tensors that have no content."""
    if isinstance(value, dict):
        return {key: outline(inner) for key, inner in value.items()}
    return value.to("meta") if isinstance(value, Tensor) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inner)


def _fits(value: Any, expected: Any, shapes: set[torch.Size]) -> bool:
    """Whether what both have is of the same kind; what is not expected may be of any of the shapes."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(_fits(inner, expected.get(key), shapes) for key, inner in value.items())
    if isinstance(expected, Tensor):
        return isinstance(value, Tensor) and (value.shape, value.dtype) == (expected.shape, expected.dtype)
    if isinstance(expected, int | float):
        return isinstance(value, int | float)
    return all(tensor.shape in shapes or tensor.numel() == 1 for tensor in _tensors(value))
