"""A function of the flat parameter vector, its derivatives, and the count of what they cost.

Everything is computed on rows: a Hessian-vector product for C vectors is one double backward pass over C copies of w,
so that the same batched products which advance K runs give the Hessian, and nothing but autograd is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from nettrain.errors import Abandoned, ConfigError

Function = Callable[[Tensor], Tensor]

HESSIAN_ROWS = 64  # rows of the Hessian per double backward pass: enough to be fast, few enough for memory
HESSIAN_WORK = 2**28  # rows x parameters x samples of such a pass: a large one has to be left within a second


@dataclass
class Counts:
    """What an optimizer has asked for: a row is one evaluation, a value with its gradient is one of each."""

    function_evaluations: int = 0
    gradient_evaluations: int = 0
    hessian_vector_products: int = 0


COUNTS = tuple(field.name for field in fields(Counts))


def cost(functions: Any, gradients: Any, products: Any) -> Any:
    """All of it in evaluations of the function, of numbers or arrays: f + 2 g + 4 H v.

    A gradient takes a backward pass, which is about two forward ones, and H v a second pass over both.
    """
    return functions + 2 * gradients + 4 * products


class Problem:
    """Minimise a function of w: its values and derivatives, each counted in `counts`.

    `fun` maps w (P,) to a 0-d tensor. With `rows=True` it also maps (N, P) to (N,), as `Objective.value` does;
    otherwise rows go through `torch.vmap`, or through a loop where vmap refuses the function. No more than `chunk` rows
    are evaluated at once. Where `abandon()` is true before an evaluation or a derivative, `Abandoned` is raised
    instead. `samples` says how many terms `fun` is a sum of.
    """

    def __init__(
        self,
        fun: Function,
        rows: bool = False,
        chunk: int = 1024,
        abandon: Callable[[], bool] = lambda: False,
        samples: int = 1,
    ) -> None:
        self.fun, self.chunk, self.abandon, self.samples = fun, chunk, abandon, samples
        self.counts = Counts()
        self._rows: Function = fun if rows else _each_row(fun)

    @torch.no_grad()
    def value(self, w: Tensor) -> Tensor:
        """f(w): 0-d for w (P,), and (N,) for w (N, P), all rows in one call."""
        self.counts.function_evaluations += 1 if w.dim() == 1 else len(w)
        return self._evaluate(w) if w.dim() == 1 else torch.cat([self._evaluate(part) for part in w.split(self.chunk)])

    def gradient(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """f(w), 0-d, and its gradient g (P,)."""
        self.counts.function_evaluations += 1
        self.counts.gradient_evaluations += 1
        w = w.detach().requires_grad_()
        with torch.enable_grad():
            value = self._evaluate(w)
        return value.detach(), self._gradient(value, w)

    def hvp(self, w: Tensor, v: Tensor) -> Tensor:
        """H v for v (P,), or H v_c for each row of v (C, P); H is the Hessian of f at w (P,)."""
        rows = torch.atleast_2d(v)
        self.counts.hessian_vector_products += len(rows)
        copies = w.detach().expand_as(rows).clone().requires_grad_()
        with torch.enable_grad():
            g = self._gradient(self._evaluate(copies).sum(), copies, create_graph=True)
            product = self._gradient((g * rows).sum(), copies)
        return product.view_as(v)

    def hessian(self, w: Tensor) -> Tensor:
        """The Hessian H (P, P) at w (P,), counted as P Hessian-vector products."""
        size = len(w)
        rows = max(1, min(HESSIAN_ROWS, self.chunk, HESSIAN_WORK // (size * self.samples)))
        columns = [
            self.hvp(w, torch.eye(min(rows, size - first), size, dtype=w.dtype, device=w.device).roll(first, 1))
            for first in range(0, size, rows)
        ]
        return torch.cat(columns)

    def go_on(self) -> None:
        """Raise `Abandoned` if that is wanted."""
        if self.abandon():
            raise Abandoned

    def _evaluate(self, w: Tensor) -> Tensor:
        self.go_on()
        value = self.fun(w) if w.dim() == 1 else self._rows(w)
        if not isinstance(value, Tensor) or value.shape != w.shape[:-1]:
            result = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(f"fun(w) must be a 0-d tensor for w of shape (P,); it is {result}.")
        return value

    def _gradient(self, value: Tensor, w: Tensor, create_graph: bool = False) -> Tensor:
        """The gradient of a scalar with respect to w, zero where the value does not depend on w."""
        self.go_on()
        if not value.requires_grad:
            return torch.zeros_like(w)
        (g,) = torch.autograd.grad(value, w, create_graph=create_graph, materialize_grads=True)
        return g


def _each_row(fun: Function) -> Function:
    """`fun` for every row of a matrix: by vmap, or in a loop from the first call on that vmap refuses."""
    batched: Function | None = torch.vmap(fun)

    def rows(w: Tensor) -> Tensor:
        nonlocal batched
        if batched is not None:
            try:
                return batched(w)
            except Exception:  # whatever vmap cannot trace; a mistake in `fun` itself is raised by the loop
                batched = None
        return torch.stack([fun(row) for row in w])

    return rows
