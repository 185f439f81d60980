"""L-BFGS for anybody's own training loop, with the interface and the iterates of `torch.optim.LBFGS`."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nettrain.optimizers.line_search import Line, Point, strong_wolfe
from nettrain.optimizers.quasi_newton import two_loop


class LBFGS(Optimizer):
    """d = -B g by the two-loop recursion over the last `history_size` pairs (Nocedal and Wright, 2006, algorithm 7.4).

    `step(closure)` makes up to `max_iter` updates and returns the loss before the first; `closure` clears the
    gradients, computes the loss, calls `backward` and returns the loss, for the same batch at each call. With
    `line_search_fn="strong_wolfe"` the step length comes from the line search that `minimize` uses too, with
    None it is `lr` (and lr min(1, 1/|g|_1) in the very first update).

    An update is the last of a call when `max_iter` updates or `max_eval` evaluations (None: 1.25 max_iter) are made,
    when max|g| <= tolerance_grad, when the update in every parameter or in the loss is within tolerance_change, or
    when the loss is not finite any more. The state is that of `torch.optim.LBFGS`: each loads the other's.

    Raises `ValueError` for a negative `lr`, an unknown `line_search_fn`, or more than one parameter group.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if not lr >= 0:
            raise ValueError(f"lr={lr}: it must be a number >= 0.")
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn={line_search_fn}: it must be None or 'strong_wolfe'.")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS has one parameter group: its curvature belongs to all parameters together.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Up to `max_iter` updates of the parameters; the closure's loss before the first of them."""
        options = self.param_groups[0]
        lr = float(options["lr"])
        state = self.state[self._parameters[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss, loss, g = self._evaluate(closure)
        evaluations = 1
        state["func_evals"] += 1
        if g.abs().max() <= options["tolerance_grad"]:
            return first_loss

        for iteration in range(1, options["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d = -g
                state |= {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
                t = float((1 / g.abs().sum()).clamp(max=1)) * lr
            else:
                self._remember(state, state["d"] * state["t"], g - state["prev_flat_grad"])
                newest_first = range(len(state["ro"]) - 1, -1, -1)
                d = two_loop(-g, state["old_stps"], state["old_dirs"], state["ro"], state["H_diag"], newest_first)
                t = lr
            state |= {"d": d, "t": t, "prev_flat_grad": g.clone(), "prev_loss": loss}
            slope, length = torch.stack([g.dot(d), d.abs().max()]).tolist()
            if not slope <= -options["tolerance_change"]:
                break

            before, spent = loss, 0
            if options["line_search_fn"]:
                line, calls = self._line(closure, d), state["func_evals"]
                point = strong_wolfe(
                    line, Point(0.0, loss, slope, g), t, length, max_steps=options["max_eval"] - evaluations
                )
                t, loss, g = point.t, point.value, point.gradient
                spent = state["func_evals"] - calls
                self._move(d, t)
            else:
                self._move(d, t)
                if iteration < options["max_iter"]:
                    _, loss, g = self._evaluate(closure)
                    state["func_evals"] += 1
                    spent = 1
            state["t"] = t
            evaluations += spent
            if (
                iteration == options["max_iter"]
                or evaluations >= options["max_eval"]
                or not math.isfinite(loss)
                or g.abs().max() <= options["tolerance_grad"]
                or length * t <= options["tolerance_change"]
                or abs(loss - before) < options["tolerance_change"]
            ):
                break
        return first_loss

    @property
    def _parameters(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _remember(self, state: dict[str, Any], s: Tensor, y: Tensor) -> None:
        ys = y.dot(s)
        if not ys > 1e-10:
            return
        for name, item in (("old_stps", s), ("old_dirs", y), ("ro", 1.0 / ys)):
            state[name] = [*state[name], item][-self.param_groups[0]["history_size"] :]
        state["H_diag"] = ys / y.dot(y)

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, float, Tensor]:
        """The closure's loss, as it is and as a number, and the gradient in one vector."""
        with torch.enable_grad():
            loss = closure()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in self._parameters]
        return loss, float(loss), torch.cat([g.reshape(-1) for g in gradients])

    def _line(self, closure: Callable[[], Any], d: Tensor) -> Line:
        """phi(t) along d; the parameters are afterwards as before, to the bit."""
        start = [p.clone() for p in self._parameters]

        def phi(t: float) -> Point:
            self._move(d, t)
            _, loss, g = self._evaluate(closure)
            self.state[self._parameters[0]]["func_evals"] += 1
            for p, saved in zip(self._parameters, start, strict=True):
                p.copy_(saved)
            return Point(t, loss, float(g.dot(d)), g)

        return phi

    def _move(self, d: Tensor, t: float) -> None:
        parts = d.split([p.numel() for p in self._parameters])
        for p, part in zip(self._parameters, parts, strict=True):
            p.add_(part.view_as(p), alpha=t)
