"""What differs between the kinds of machine that functions are written for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nettrain.compiler.recording import Statement

Matrices = Mapping[str, Callable[[Statement], list[str]]]


@dataclass(frozen=True)
class Target:
    """How a function of tensors is written for a kind of machine.

    `kernels` are what every program begins with; `elementwise` puts loops over these sizes around a body, with indices
    i0, i1, ...; `matrices` has the code of all other operations. Between loops of which one needs what the other has
    written stands the `barrier`.
    """

    kernels: str
    function: str  # how a function begins
    pointer: str  # a pointer; on a GPU other threads write there, too
    constant: str  # how a table of numbers begins
    elementwise: Callable[[Sequence[int], Sequence[str]], list[str]]
    matrices: Matrices
    barrier: str | None = None
