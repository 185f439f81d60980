"""What a model is told of x: the shape and the kind of a sample's tensor, or of each in a dictionary of tensors."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

Kind = Literal["numbers", "bytes", "ids"]

FEATURES = "features"  # the name of the vector of all columns of numbers and categories beside other tensors


@dataclass(frozen=True)
class Input:
    """A tensor of x, of which a sample has the `shape`.

    - numbers: standardised before training, and floats from then on.
    - bytes: 0 to 255, as in images. They stay so in memory; each batch of them is scaled to floats.
    - ids: whole numbers below `vocabulary`, such as those of words. They are never scaled; a batch holds int64.

    The last numbers of a vector may be ids of categories to be embedded, below each of the `vocabularies`; its floats
    hold them exactly.

    What is scaled is `(x - mean) / scale`, of which there is one, or one for each place along the dimension `axis` of a
    sample.
    """

    shape: tuple[int, ...]
    kind: Kind = "numbers"
    vocabulary: int = 0
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    axis: int = 0
    vocabularies: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.shape)

    @property
    def text(self) -> str:
        """Such as `1 x 8 x 8 bytes`."""
        of = f" below {self.vocabulary}" if self.kind == "ids" else ""
        return f"{' x '.join(map(str, self.shape)) or '1'} {self.kind}{of}"


Inputs: TypeAlias = Input | dict[str, Input]


def each(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """The function of a tensor or of each one in a dictionary, with what the others hold under its name."""
    if isinstance(x, dict):
        return {name: function(value, *(other[name] for other in others)) for name, value in x.items()}
    return function(x, *others)


def one_of(x: Any) -> Any:
    """The tensor, or the first one of a dictionary."""
    return next(iter(x.values())) if isinstance(x, dict) else x


def unscaled(inputs: Inputs) -> Inputs:
    """Shapes and kinds alone, in which the rows of a stack agree."""
    return each(lambda input: replace(input, mean=(0.0,), scale=(1.0,), axis=0), inputs)


def described(inputs: Inputs) -> str:
    """Such as `1 x 8 x 8 bytes`, or `image: 1 x 8 x 8 bytes, age: 1 numbers`."""
    if isinstance(inputs, dict):
        return ", ".join(f"{name}: {input.text}" for name, input in inputs.items())
    return inputs.text


def total_size(inputs: Inputs) -> int:
    """How many numbers a sample has, of all its tensors."""
    return sum(input.size for input in (inputs.values() if isinstance(inputs, dict) else [inputs]))


def is_vector(inputs: Inputs) -> bool:
    """Whether x is a vector of numbers for each sample."""
    return isinstance(inputs, Input) and inputs.kind == "numbers" and len(inputs.shape) == 1
