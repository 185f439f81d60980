"""Methods that use second derivatives, exact (Newton) or estimated from gradients (BFGS, L-BFGS).

f is the objective, g its gradient, H its Hessian at w; d is the direction of an update, s = w_new - w the update
itself and y = g_new - g what it changed in the gradient. The direction is the method's own; the step length is found
by `nettrain.optimizers.line_search`, or by the trust region of `nettrain.optimizers.newton_steps`.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrain.optimizers.line_search import Point, line, strong_wolfe
from nettrain.optimizers.newton_steps import dense_model, product_model, trust_region_update
from nettrain.optimizers.quasi_newton import bfgs_update, two_loop
from nettrain.optimizers.solvers import (
    CHANGE,
    DIVERGED,
    GRADIENT,
    RUNNING,
    STALLED,
    Solver,
    State,
    read,
    require_memory,
    rounding,
)
from nettrain.problem import Problem, cost
from nettrain.registry import option

CG_PRODUCTS = 30  # H v of an update with solver=cg, usually
DENSE = 400  # products H v that an update with a dense Hessian may cost for solver=auto: it also gets further
MATRIX_PASSES = 80  # what an element of BFGS's matrix costs an update, in multiplications of a network
MANY = 100  # parameters from which on BFGS's first estimate is scaled


def dense_products(size: int, samples: int) -> float:
    """What an update with a dense Hessian costs in products H v of a network: P of them, and P^3 for the factors.

    A product is about 4 P multiplications for each sample, and the three or four factors of an update are P^3 / 6 each,
    of a kind that is several times as fast.
    """
    return size + size**2 / (30 * samples)


@dataclass
class CurvatureSolver(Solver):
    """What curvature methods share: the point they stand on, and when they are done.

    Converged where max|g| <= tolerance_grad, or after an update that was expected to lower f, and did lower it, by no
    more than tolerance_change times all that was gained so far, or than the rounding of f. Unlike the first, the second
    test is the same in every scale of w and f.
    """

    tolerance_grad: float = option(1e-10, "converged when no element of the gradient is larger than this", minimum=0)
    tolerance_change: float = option(
        1e-20, "converged when an update gains less than this share of the whole gain", minimum=0
    )

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = self.memory(w)
        state["converged"] = torch.tensor(RUNNING)
        self.renew(problem, state, w)
        state["first_value"] = state["value"].clone()
        return state

    @abstractmethod
    def memory(self, w: Tensor) -> State:
        """What the method remembers beside its point, empty."""

    def renew(self, problem: Problem, state: State, w: Tensor) -> None:
        state["value"], state["gradient"] = problem.gradient(w)

    def judge(self, state: State, expected: float, before: float) -> None:
        """Set state["converged"] after an update with which f was expected to fall by `expected` from `before`."""
        value, max_gradient, first = read(state["value"], state["gradient"].abs().max(), state["first_value"])
        lost = rounding(state["value"].dtype, value)
        if not (math.isfinite(value) and math.isfinite(max_gradient)):
            reason = DIVERGED
        elif max_gradient <= self.tolerance_grad:
            reason = GRADIENT
        else:
            reason = (
                CHANGE
                if max(expected, before - value) <= max(lost, self.tolerance_change * (first - value))
                else RUNNING
            )
        state["converged"].fill_(reason)


@dataclass
class Newton(CurvatureSolver):
    """w <- w + d, where d minimises the model g.d + d.Hd / 2 within a trust region; -H^-1 g where that lies inside.

    solver=cholesky forms H, (P, P), and solves this exactly, in a norm that follows the scales of the parameters (More
    and Sorensen, 1983); solver=cg needs only products H v (Steihaug, 1983). Either accepts an update only when f does
    not rise. solver=auto takes the first where its update is expected to cost no more than a few of the second.
    """

    name: str = "newton"
    solver: str = option(
        "auto",
        "cholesky: dense Hessian; cg: Hessian-vector products; auto: cholesky for few parameters, else cg",
        choices=("auto", "cholesky", "cg"),
    )
    radius: float | None = option(
        None, "trust radius of the first update; null: 1 with solver=cg, else as far as Newton's step goes", above=0
    )

    def dense(self, size: int, samples: int = 1) -> bool:
        """Whether H itself is formed for `size` parameters and an objective that is a sum over `samples`."""
        return self.solver == "cholesky" or (self.solver == "auto" and dense_products(size, samples) <= DENSE)

    def require(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        if self.dense(size):
            need = 4 * size * size * dtype.itemsize
            require_memory(need, device, f"newton: the Hessian of {size} parameters", "solver=cg")

    def expected_cost(self, size: int, samples: int) -> float:
        return cost(1, 1, dense_products(size, samples) if self.dense(size, samples) else CG_PRODUCTS)

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = super().init(problem, w, seed)
        if not self.dense(len(w), problem.samples):
            return state
        self.require(len(w), w.dtype, w.device)
        state["radius"].fill_(self.radius or math.inf)
        return {**state, "scale": torch.zeros_like(w)}

    def memory(self, w: Tensor) -> State:
        return {"radius": torch.tensor(self.radius or 1.0, dtype=torch.float64)}

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        (before,) = read(state["value"])
        dense = "scale" in state
        model = dense_model(problem, state, w, self.tolerance_grad) if dense else product_model(problem, state, w)
        expected = trust_region_update(problem, state, w, model)
        self.judge(state, math.inf if expected is None else expected, before)
        if expected is None and not state["converged"]:
            state["converged"].fill_(STALLED)
        elif dense and expected == math.inf and state["converged"] == GRADIENT:
            state["converged"].fill_(RUNNING)  # this may be a saddle: the next update looks


@dataclass
class QuasiNewton(CurvatureSolver):
    """What BFGS and L-BFGS share: w <- w + t d with t from the strong-Wolfe line search, d = -g at first.

    Where no lower point is found the memory is emptied, so that the next update starts with -g again; if there is none
    along -g either, it has stalled. The memory may also be wrong about how little there is to be gained: where an
    update changed less than tolerance_change, it is emptied, too, and only if -g gains no more has it converged.
    """

    lr: float = option(1.0, "step length that the line search tries first", above=0)

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = super().init(problem, w, seed)
        return {**state, "previous_value": state["value"].clone(), "look": torch.zeros((), dtype=torch.float64)}

    def memory(self, w: Tensor) -> State:
        return {"fresh": torch.tensor(True)}

    @abstractmethod
    def direction(self, state: State) -> Tensor:
        """d (P,), from the gradient and the memory."""

    @abstractmethod
    def trial(self, state: State, slope: Tensor) -> Tensor:
        """The first step length to try along a direction with this slope, 0-d."""

    @abstractmethod
    def remember(self, state: State, s: Tensor, y: Tensor) -> None:
        """Learn from an update s that changed the gradient by y."""

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        g, fresh = state["gradient"], bool(state["fresh"])
        d = -g if fresh else self.direction(state)
        slope = g.dot(d)
        first, length, value, slope_, gg = read(
            self.trial(state, slope), d.abs().max(), state["value"], slope, g.dot(g)
        )
        look = float(state["look"])
        first = look or first
        point = start = Point(0.0, value, slope_, g)
        if slope_ < 0:
            point = strong_wolfe(line(problem, w, d), start, first, length)
        if point.t > 0:
            w.add_(d, alpha=point.t)
            self.remember(state, d * point.t, point.gradient - g)
            state["previous_value"], state["value"] = state["value"], torch.full_like(state["value"], point.value)
            state["gradient"], state["fresh"] = point.gradient, torch.tensor(False)
        elif not fresh:
            state.update(self.memory(w))
        self.judge(state, -slope_ if not fresh else 0.0 if look else math.inf, value)
        doubt = not fresh and int(state["converged"]) == CHANGE
        state["look"].fill_(abs(slope_) / gg if doubt else 0.0)  # how far along -g the method would have gone
        if state["look"]:
            state.update(self.memory(w))
            state["converged"].fill_(RUNNING)
        if point.t == 0 and fresh and not state["converged"]:
            state["converged"].fill_(STALLED)


@dataclass
class BFGS(QuasiNewton):
    """d = -B g, where B, the inverse Hessian estimated so far, satisfies B y = s for the last update.

    Nocedal and Wright (2006), algorithm 6.1 (their H is B here). B starts as the identity; with many parameters it is
    scaled by y.s / y.y after the first update (6.20), with few it is not, because P updates replace all of it anyway.
    B stays symmetric and positive definite: the line search ensures y.s > 0, and an update in which rounding hides
    that is not learned from. The line search first tries a step of length lr, and then
    lr min(1, 2.02 (f - f_previous) / (g.d)) (their 3.60), which becomes lr near the minimum.
    """

    name: str = "bfgs"

    def require(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        need = 3 * size * size * dtype.itemsize
        require_memory(need, device, f"bfgs: a matrix for {size} parameters", "optimizer=lbfgs")

    def expected_cost(self, size: int, samples: int) -> float:
        return cost(1, 1, 0) + MATRIX_PASSES * size / samples

    def memory(self, w: Tensor) -> State:
        self.require(len(w), w.dtype, w.device)
        return {**super().memory(w), "inverse": torch.eye(len(w), dtype=w.dtype, device=w.device)}

    def direction(self, state: State) -> Tensor:
        return -(state["inverse"] @ state["gradient"])

    def trial(self, state: State, slope: Tensor) -> Tensor:
        if state["fresh"]:
            return self.lr / (-slope).sqrt()
        t = 2.02 * (state["value"] - state["previous_value"]) / slope
        return self.lr * torch.where(t > 0, t, 1).clamp(max=1)

    def remember(self, state: State, s: Tensor, y: Tensor) -> None:
        ys = y.dot(s)
        if not ys > 0:
            return
        if state["fresh"] and len(s) >= MANY:
            state["inverse"].mul_(ys / y.dot(y))
        bfgs_update(state["inverse"], s, y)


@dataclass
class LBFGS(QuasiNewton):
    """d = -B g, where B is BFGS's estimate from the last m = history_size pairs (s, y) alone, never formed.

    Nocedal and Wright (2006), algorithms 7.4 and 7.5, B_0 = (y.s / y.y) I from the last pair (7.20). The line search
    first tries lr min(1, 1/|g|_1) along -g, later lr, as in `torch.optim.LBFGS(line_search_fn="strong_wolfe")`, whose
    iterates these are as long as both learn from every update: a pair is kept here unless rounding hides that
    y.s > 0, and there only where y.s > 1e-10, which depends on the scales of w and f.
    """

    name: str = "lbfgs"
    history_size: int = option(100, "pairs of updates and gradient changes to keep (m)", minimum=1)

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

    def trial(self, state: State, slope: Tensor) -> Tensor:
        if state["fresh"]:
            return self.lr * (1 / state["gradient"].abs().sum()).clamp(max=1)
        return torch.full_like(slope, self.lr)

    def remember(self, state: State, s: Tensor, y: Tensor) -> None:
        ys = y.dot(s)
        if not ys > torch.finfo(ys.dtype).eps * y.dot(y).sqrt() * s.dot(s).sqrt():
            return
        slot = int(state["pairs"]) % self.history_size
        state["steps"][slot], state["changes"][slot] = s, y
        state["rho"][slot] = 1 / ys
        state["scale"] = ys / y.dot(y)
        state["pairs"] += 1
