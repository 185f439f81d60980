"""Methods that use second derivatives, exact (Newton) or estimated from gradients (BFGS, L-BFGS).

f is the objective, g its gradient, H its Hessian at w; d is the direction of an update, s = w_new - w the update
itself and y = g_new - g what it changed in the gradient. The direction is the method's own; the step length is found
by `nettrain.parts.line_search`, or by the damping and the trust region of `nettrain.parts.newton_steps`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrain.parts.line_search import Point, line, strong_wolfe
from nettrain.parts.newton_steps import damped_newton, trust_region_newton
from nettrain.parts.option import option
from nettrain.parts.quasi_newton import bfgs_update, two_loop
from nettrain.parts.solvers import CHANGE, DIVERGED, GRADIENT, RUNNING, STALLED, Solver, State, require_memory
from nettrain.problem import Problem


@dataclass
class CurvatureSolver(Solver):
    """What curvature methods share: the point they stand on, and when they are done.

    Converged where max|g| <= tolerance_grad, or where an update lowers f by no more than tolerance_change |f|.
    """

    tolerance_grad: float = option(1e-8, "converged where no element of the gradient is larger", minimum=0)
    tolerance_change: float = option(1e-15, "converged where an update lowers f by no more than this part", minimum=0)

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = self.memory(w)
        state["converged"] = torch.tensor(RUNNING)
        self.renew(problem, state, w)
        return state

    def memory(self, w: Tensor) -> State:
        """What the method remembers beside its point, empty."""
        raise NotImplementedError

    def renew(self, problem: Problem, state: State, w: Tensor) -> None:
        state["value"], state["gradient"] = problem.gradient(w)

    def reason(self, value: float, before: float, max_gradient: float) -> int:
        """Why to stop at f = value, which was `before`, where the largest element of g is max_gradient."""
        if not (math.isfinite(value) and math.isfinite(max_gradient)):
            return DIVERGED
        if max_gradient <= self.tolerance_grad:
            return GRADIENT
        return CHANGE if before - value <= self.tolerance_change * abs(value) else RUNNING


@dataclass
class Newton(CurvatureSolver):
    """w <- w - (H + lambda D)^-1 g (Newton's method with the damping of Levenberg, 1944, and Marquardt, 1963).

    solver=cholesky forms H, (P, P), and adapts lambda by the gain ratio; solver=cg needs only products H v and
    limits the length of the update instead (a trust region). Either accepts an update only when f falls.
    """

    name: str = "newton"
    solver: str = option("cholesky", "dense Hessian, or Hessian-vector products", choices=("cholesky", "cg"))
    damping: float = option(0.0, "lambda of the first update (solver=cholesky)", minimum=0)
    radius: float = option(1.0, "largest length of the first update (solver=cg)", above=0)

    def memory(self, w: Tensor) -> State:
        if self.solver == "cg":
            return {"radius": torch.tensor(self.radius, dtype=torch.float64)}
        size = len(w)
        require_memory(
            4 * size * size * w.element_size(), w.device, f"newton: the Hessian of {size} parameters", "solver=cg"
        )
        return {"damping": torch.tensor(self.damping, dtype=torch.float64)}

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        advance = trust_region_newton if self.solver == "cg" else damped_newton
        before = float(state["value"])
        moved = advance(problem, state, w, self.tolerance_grad)
        value, max_gradient = torch.stack([state["value"], state["gradient"].abs().max()]).tolist()
        reason = self.reason(value, before, max_gradient)
        if reason == GRADIENT and moved and self.solver == "cholesky" and state["damping"] > 0:
            reason = RUNNING  # the next update looks whether this is a saddle
        state["converged"].fill_(STALLED if reason == CHANGE and not moved else reason)


@dataclass
class QuasiNewton(CurvatureSolver):
    """What BFGS and L-BFGS share: w <- w + t d with t from the strong-Wolfe line search.

    The first trial is t = lr, and lr min(1, 1/|g|_1) along the first, unscaled direction -g. Where no lower point is
    found the memory is emptied, and the next update starts with -g again; if that fails too, it has stalled.
    """

    lr: float = option(1.0, "first step length that the line search tries", above=0)

    def memory(self, w: Tensor) -> State:
        return {"fresh": torch.tensor(True)}

    def direction(self, state: State) -> Tensor:
        """d (P,), from the gradient and the memory."""
        raise NotImplementedError

    def remember(self, state: State, s: Tensor, y: Tensor, ys: float) -> None:
        """Learn from an update s that changed the gradient by y; ys = y . s."""
        raise NotImplementedError

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        g, fresh = state["gradient"], bool(state["fresh"])
        d = -g if fresh else self.direction(state)
        value, slope, length, norm = torch.stack([state["value"], g.dot(d), d.abs().max(), g.abs().sum()]).tolist()
        first = self.lr * (min(1.0, 1.0 / norm) if fresh and norm > 0 else 1.0)
        start = point = Point(0.0, value, slope, g)
        if slope < 0:
            point = strong_wolfe(line(problem, w, d), start, first, length)
        if point.t == 0 and not fresh:
            state.update(self.memory(w))
            return
        s = d * point.t
        w.add_(d, alpha=point.t)
        y = point.gradient - g
        max_gradient, ys = torch.stack([point.gradient.abs().max(), y.dot(s)]).tolist()
        self.remember(state, s, y, ys)
        state["value"] = torch.full_like(state["value"], point.value)
        state["gradient"], state["fresh"] = point.gradient, torch.tensor(False)
        reason = self.reason(point.value, value, max_gradient)
        state["converged"].fill_(STALLED if point.t == 0 and reason == CHANGE else reason)


@dataclass
class BFGS(QuasiNewton):
    """d = -B g, where B, the inverse Hessian estimated so far, satisfies B y = s for the last update.

    Nocedal and Wright (2006), algorithm 6.1 (their H is B here): B starts as the identity, scaled by y.s / y.y after
    the first update (6.20). B stays symmetric and positive definite, because the line search ensures y.s > 0;
    an update in which rounding hides that is not learned from.
    """

    name: str = "bfgs"

    def memory(self, w: Tensor) -> State:
        size = len(w)
        require_memory(
            3 * size * size * w.element_size(), w.device, f"bfgs: a matrix for {size} parameters", "optimizer=lbfgs"
        )
        return {**super().memory(w), "inverse": torch.eye(size, dtype=w.dtype, device=w.device)}

    def direction(self, state: State) -> Tensor:
        return -(state["inverse"] @ state["gradient"])

    def remember(self, state: State, s: Tensor, y: Tensor, ys: float) -> None:
        if ys <= 0:
            return
        if state["fresh"]:
            state["inverse"].mul_(ys / y.dot(y))
        bfgs_update(state["inverse"], s, y)


@dataclass
class LBFGS(QuasiNewton):
    """d = -B g, where B is BFGS's estimate from the last m = history_size pairs (s, y) alone, never formed.

    Nocedal and Wright (2006), algorithms 7.4 and 7.5, B_0 = (y.s / y.y) I from the last pair (7.20). A pair is kept
    where y.s > 1e-10, as in `torch.optim.LBFGS(line_search_fn="strong_wolfe")`, whose iterates these are.
    """

    name: str = "lbfgs"
    history_size: int = option(100, "pairs of updates and gradient changes that are kept (m)", minimum=1)

    def memory(self, w: Tensor) -> State:
        history = w.new_zeros(self.history_size, len(w))
        return {
            **super().memory(w),
            "steps": history,
            "changes": history.clone(),
            "rho": w.new_zeros(self.history_size),
            "scale": w.new_ones(()),
            "pairs": torch.tensor(0),
        }

    def direction(self, state: State) -> Tensor:
        pairs = int(state["pairs"])
        newest_first = [(pairs - 1 - age) % self.history_size for age in range(min(pairs, self.history_size))]
        steps, changes = state["steps"], state["changes"]
        return two_loop(-state["gradient"], steps, changes, state["rho"], state["scale"], newest_first)

    def remember(self, state: State, s: Tensor, y: Tensor, ys: float) -> None:
        if ys <= 1e-10:
            return
        slot = int(state["pairs"]) % self.history_size
        state["steps"][slot], state["changes"][slot] = s, y
        product = y.dot(s)
        state["rho"][slot] = 1 / product
        state["scale"] = product / y.dot(y)
        state["pairs"] += 1
