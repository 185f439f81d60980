"""Methods that only evaluate the objective: many points at once, as the rows of one call.

N points form a matrix X (N, P) with values (N,). `w` is always the best point found so far, so the value of a run never
rises. The noise of update t is a function of (seed, t), drawn on the host. Lengths are relative to the start: `spread`
is the root mean square of the parameters w0, 1 where they are all 0.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nettrain.optimizers.solvers import RUNNING, Solver, State, generator
from nettrain.problem import Problem
from nettrain.registry import option


@dataclass
class Search(Solver):
    """What search methods share: the best point so far in w, and points in state["points"] where they keep any."""

    uses_gradient: ClassVar[bool] = False

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = self.population(w, seed)
        state["converged"] = torch.tensor(RUNNING)
        self.renew(problem, state, w)
        if "points" in state:
            keep_best(state, w, state["points"], state["values"])
        return state

    def renew(self, problem: Problem, state: State, w: Tensor) -> None:
        state["value"] = evaluate(problem, w.unsqueeze(0))[0]
        if "points" in state:
            state["values"] = evaluate(problem, state["points"])

    @abstractmethod
    def population(self, w: Tensor, seed: int) -> State:
        """The first points, and what else the method remembers, before anything is evaluated."""


def evaluate(problem: Problem, points: Tensor) -> Tensor:
    """The values (N,) of points (N, P); one that is not finite counts as infinitely high."""
    values = problem.value(points)
    return values.where(values.isfinite(), torch.inf)


def keep_best(state: State, w: Tensor, points: Tensor, values: Tensor) -> None:
    """Replace w and state["value"] by the best of the points where it is better."""
    value, index = values.min(dim=0)
    better = value < state["value"]
    w.copy_(torch.where(better, points.index_select(0, index.view(1))[0], w))
    state["value"] = torch.where(better, value, state["value"])


def spread(w: Tensor) -> Tensor:
    """The root mean square of w, 0-d, and 1 for w = 0."""
    rms = w.square().mean().sqrt()
    return torch.where(rms > 0, rms, 1)


def normal(like: Tensor, rng: torch.Generator, *shape: int) -> Tensor:
    """Standard normal noise in the dtype and on the device of `like`."""
    return torch.randn(*shape, generator=rng, dtype=like.dtype).to(like.device)


def uniform(like: Tensor, rng: torch.Generator, *shape: int) -> Tensor:
    """Noise from [0, 1) in the dtype and on the device of `like`."""
    return torch.rand(*shape, generator=rng, dtype=like.dtype).to(like.device)


@dataclass
class Genetic(Search):
    """A real-coded genetic algorithm: tournaments, blend crossover, self-adapting Gaussian mutation, elitism.

    The next generation is the `elites` best individuals and, for each other place, a child of two parents a and b that
    each won a tournament:  x = a + u (b - a) with u_i uniform in [-alpha, 1 + alpha] (BLX-alpha; Eshelman and Schaffer,
    1993) with probability `crossover`, else x = a;  then x <- x + sigma exp(tau z0) m z, where z0 and z are standard
    normal and m picks each gene with probability `mutation`. By default that is a tenth of the P genes, or one where
    there are fewer than ten: with less, most children would only be mixtures of their parents. From the share r of
    children that are better than their parent a, sigma adapts by the 1/5 success rule,
    sigma <- sigma exp(tau (r - 1/5) / (1 - 1/5)) (Rechenberg, 1973).
    """

    name: str = "genetic"
    population_size: int = option(64, "individuals (N)", minimum=4)
    elites: int = option(2, "best individuals that survive unchanged (elitism)", minimum=1)
    tournament: int = option(5, "individuals that compete to become a parent (tournament)", minimum=1)
    crossover: float = option(0.9, "probability that a child has two parents", minimum=0, maximum=1)
    blend: float = option(0.1, "how far beyond its parents a child's gene may lie (alpha)", minimum=0)
    mutation: float | None = option(
        None, "probability that a gene mutates; null: 0.1, but at least 1 / P for P weights", minimum=0, maximum=1
    )
    scale: float = option(0.3, "sigma of the first generation, relative to the spread of w0", above=0)
    adaptation: float = option(0.2, "how fast sigma adapts (tau)", minimum=0)

    def expected_cost(self, size: int, samples: int) -> float:
        return self.population_size

    def population(self, w: Tensor, seed: int) -> State:
        sigma = self.scale * spread(w)
        points = w + sigma * normal(w, generator(seed, 0), self.population_size, len(w))
        points[0] = w
        return {"points": points, "sigma": sigma}

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        rng = generator(seed, t)
        points, values, sigma = state["points"], state["values"], state["sigma"]
        elites = min(self.elites, self.population_size - 1)
        children, size = self.population_size - elites, len(w)
        rivals = torch.randint(self.population_size, (2, children, self.tournament), generator=rng).to(w.device)
        a, b = rivals.gather(-1, values[rivals].argmin(-1, keepdim=True)).squeeze(-1)

        u = uniform(w, rng, children, size) * (1 + 2 * self.blend) - self.blend
        crossed = uniform(w, rng, children, 1) < self.crossover
        born = torch.where(crossed, torch.lerp(points[a], points[b], u), points[a])
        length = sigma * (self.adaptation * normal(w, rng, children, 1)).exp()
        mutation = max(0.1, 1 / size) if self.mutation is None else self.mutation
        mutated = uniform(w, rng, children, size) < mutation
        born += length * mutated * normal(w, rng, children, size)
        born_values = evaluate(problem, born)

        best = values.argsort(stable=True)[:elites]
        success = (born_values < values[a]).to(w.dtype).mean()
        state["sigma"] = sigma * (self.adaptation * (success - 0.2) / 0.8).exp()
        state["points"] = torch.cat([points[best], born])
        state["values"] = torch.cat([values[best], born_values])
        keep_best(state, w, born, born_values)


@dataclass
class HillClimb(Search):
    """From several starts at once:  x' = x + sigma m z;  x <- x' where f(x') <= f(x).

    z is standard normal, and m picks each parameter with a probability that is drawn anew for every row and update,
    log-uniform between 1/P and 1, so that large and small changes are tried. Every row adapts its own sigma by the 1/5
    success rule, sigma <- 1.5 sigma after a success and sigma 1.5^(-1/4) after a failure (Rechenberg, 1973; Kern et
    al., 2004). A row whose sigma has fallen below `smallest` starts again, from the best point so far and with the
    first sigma.
    """

    name: str = "hill_climb"
    starts: int = option(16, "points that climb at once", minimum=1)
    scale: float = option(0.3, "first sigma, relative to the spread of w0", above=0)
    smallest: float = option(
        1e-6, "a point starts again when its sigma falls below this share of the first one", above=0, below=1
    )

    def expected_cost(self, size: int, samples: int) -> float:
        return self.starts

    def population(self, w: Tensor, seed: int) -> State:
        sigma = (self.scale * spread(w)).expand(self.starts, 1).clone()
        points = w + sigma * normal(w, generator(seed, 0), self.starts, len(w))
        points[0] = w
        return {"points": points, "sigma": sigma, "first_sigma": sigma[0, 0].clone()}

    def accepts(self, state: State, rise: Tensor, t: int, rng: torch.Generator) -> Tensor:
        """Which rows move, (N,), where their value would rise by `rise` (N,)."""
        return rise <= 0

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        rng = generator(seed, t)
        points, values, sigma = state["points"], state["values"], state["sigma"]
        rows, size = points.shape
        probability = size ** -uniform(w, rng, rows, 1)
        mask = uniform(w, rng, rows, size) < probability
        trial = points + sigma * mask * normal(w, rng, rows, size)
        trial_values = evaluate(problem, trial)
        moves = self.accepts(state, trial_values - values, t, rng).unsqueeze(1)
        sigma = sigma * torch.where(moves, 1.5, 1.5**-0.25)
        keep_best(state, w, trial, trial_values)
        stalled = sigma < self.smallest * state["first_sigma"]
        state["points"] = torch.where(stalled, w, torch.where(moves, trial, points))
        state["values"] = torch.where(
            stalled.squeeze(1), state["value"], torch.where(moves.squeeze(1), trial_values, values)
        )
        state["sigma"] = torch.where(stalled, state["first_sigma"], sigma)


@dataclass
class SimulatedAnnealing(HillClimb):
    """Hill climbing that also accepts a rise of f by delta, with probability exp(-delta / T).

    Kirkpatrick et al. (1983). The temperature is T = T_0 `cooling`^t, T_0 = `temperature` |f(w0)|; as it falls, this
    becomes hill climbing.
    """

    name: str = "simulated_annealing"
    temperature: float = option(1e-2, "first temperature, relative to the value at the start", minimum=0)
    cooling: float = option(0.995, "factor of the temperature per update", above=0, maximum=1)

    def init(self, problem: Problem, w: Tensor, seed: int) -> State:
        state = super().init(problem, w, seed)
        state["first_value"] = state["values"][0].abs()
        return state

    def accepts(self, state: State, rise: Tensor, t: int, rng: torch.Generator) -> Tensor:
        temperature = self.temperature * self.cooling**t * state["first_value"]
        return uniform(rise, rng, len(rise)) < (-rise / temperature).exp()
