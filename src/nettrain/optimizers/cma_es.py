"""Evolution by a normal distribution that learns the shape of the objective: CMA-ES."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrain.optimizers.search import Search, evaluate, keep_best, normal, spread
from nettrain.optimizers.solvers import CHANGE, RUNNING, State, generator
from nettrain.problem import Problem
from nettrain.registry import option

LARGEST_FULL = 200  # parameters up to which the covariance is a full matrix


@dataclass
class CMAES(Search):
    """x_k = m + sigma y_k,  y_k ~ Normal(0, C): the (mu/mu_w, lambda) evolution strategy with covariance adaptation.

    Hansen, "The CMA evolution strategy: a tutorial" (2016, arXiv:1604.00772), figure 6 with the defaults of table 1
    and positive weights alone. The mean m starts at w0, sigma at `scale` times the spread of w0, C at I. Up to P = 200
    C is a full (P, P) matrix, whose eigenvectors are computed anew once in 1 / (10 P (c_1 + c_mu)) updates. Beyond that
    it is diagonal: that costs O(P) and learns (P + 2) / 3 times faster (Ros and Hansen, 2008), but knows no
    correlation. lambda is 4 + floor(3 ln P) where `population_size` is null.
    """

    name: str = "cma_es"
    population_size: int | None = option(
        None, "points per update (lambda); null: 4 + floor(3 ln P) for P weights", minimum=4
    )
    scale: float = option(0.3, "first sigma, relative to the spread of w0", above=0)
    covariance: str = option("auto", "shape of C; auto: full up to P = 200", choices=("auto", "full", "diagonal"))
    tolerance: float = option(
        1e-12, "converged when sigma sqrt(C) falls below this share of the first sigma", minimum=0
    )

    def expected_cost(self, size: int, samples: int) -> float:
        return self.points(size)

    def points(self, size: int) -> int:
        """lambda, the points per update, for `size` parameters."""
        return self.population_size or 4 + int(3 * math.log(size))

    def population(self, w: Tensor, seed: int) -> State:
        size, sigma = len(w), self.scale * spread(w)
        full = self.covariance == "full" or (self.covariance == "auto" and size <= LARGEST_FULL)
        state = {
            "mean": w.clone(),
            "sigma": sigma,
            "first_sigma": sigma.clone(),
            "path_sigma": torch.zeros_like(w),
            "path_c": torch.zeros_like(w),
            "deviations": torch.ones_like(w),  # the roots of C's eigenvalues, or of its diagonal
        }
        if full:
            eye = torch.eye(size, dtype=w.dtype, device=w.device)
            return {**state, "covariance": eye, "axes": eye.clone()}
        return {**state, "covariance": torch.ones_like(w)}

    def step(self, problem: Problem, state: State, w: Tensor, t: int, seed: int) -> None:
        n, full = len(w), "axes" in state
        points = self.points(n)
        p = Parameters.of(n, points, full)
        mean, sigma, deviations = state["mean"], state["sigma"], state["deviations"]

        z = normal(w, generator(seed, t), points, n)
        y = z * deviations  # of covariance C, in the coordinates of its axes
        y = y @ state["axes"].T if full else y
        x = mean + sigma * y
        values = evaluate(problem, x)
        keep_best(state, w, x, values)

        best = values.argsort(stable=True)[: len(p.weights)]
        weights = torch.tensor(p.weights, dtype=w.dtype).to(w.device)
        y, z = y[best], z[best]
        step = y.T @ weights
        whitened = z.T @ weights  # C^(-1/2) step, in the coordinates of the axes
        whitened = state["axes"] @ whitened if full else whitened
        state["mean"] = mean + sigma * step

        path = (1 - p.c_sigma) * state["path_sigma"] + math.sqrt(p.c_sigma * (2 - p.c_sigma) * p.mu_eff) * whitened
        length = torch.linalg.vector_norm(path)
        bias = math.sqrt(1 - (1 - p.c_sigma) ** (2 * t))
        steady = (length / bias < (1.4 + 2 / (n + 1)) * p.chi_n).to(w.dtype)
        path_c = (1 - p.c_c) * state["path_c"] + steady * math.sqrt(p.c_c * (2 - p.c_c) * p.mu_eff) * step
        retained = 1 - p.c_1 - p.c_mu + (1 - steady) * p.c_1 * p.c_c * (2 - p.c_c)
        if full:
            learned = p.c_1 * path_c.unsqueeze(1) * path_c + p.c_mu * (y.T * weights) @ y
        else:
            learned = p.c_1 * path_c.square() + p.c_mu * (y.square().T @ weights)
        state["covariance"] = retained * state["covariance"] + learned
        state["path_sigma"], state["path_c"] = path, path_c
        state["sigma"] = sigma * ((p.c_sigma / p.d_sigma) * (length / p.chi_n - 1)).clamp(max=1).exp()
        if not full:
            state["deviations"] = state["covariance"].sqrt()
        elif t % p.eigen_interval == 0:
            eigenvalues, axes = torch.linalg.eigh(state["covariance"])
            state["axes"] = axes.contiguous()  # as it comes back from a checkpoint
            state["deviations"] = eigenvalues.clamp(min=1e-20).sqrt()
        small = state["sigma"] * state["deviations"].max() <= self.tolerance * state["first_sigma"]
        state["converged"] = torch.where(small, CHANGE, RUNNING)


@dataclass(frozen=True)
class Parameters:
    """The strategy parameters of table 1 in the tutorial, for n parameters and lambda points."""

    weights: list[float]
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    chi_n: float
    eigen_interval: int

    @classmethod
    def of(cls, n: int, points: int, full: bool) -> "Parameters":
        raw = [math.log((points + 1) / 2) - math.log(i) for i in range(1, points // 2 + 1)]
        weights = [r / sum(raw) for r in raw]
        mu_eff = 1 / sum(v * v for v in weights)
        c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
        c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)
        c_mu = min(1 - c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))
        interval = max(1, int(1 / ((c_1 + c_mu) * n * 10)))
        if not full:
            c_1, c_mu = min(1.0, c_1 * (n + 2) / 3), min(1.0, c_mu * (n + 2) / 3)
            c_1, c_mu = c_1 / max(1.0, c_1 + c_mu), c_mu / max(1.0, c_1 + c_mu)
        return cls(
            weights=weights,
            mu_eff=mu_eff,
            c_sigma=c_sigma,
            d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma,
            c_c=(4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n),
            c_1=c_1,
            c_mu=c_mu,
            chi_n=math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)),
            eigen_interval=interval,
        )
