"""What the theory says of each solver, and what every solver promises: elitism, one path per seed, exact resume."""

import io
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import rosenbrock, wood

from nettrain.errors import Abandoned
from nettrain.minimization import minimize, optimizers
from nettrain.objective import Objective
from nettrain.optimizers.cma_es import CMAES
from nettrain.optimizers.curvature import Newton
from nettrain.optimizers.line_search import Point, line, strong_wolfe
from nettrain.optimizers.quasi_newton import bfgs_update, two_loop
from nettrain.optimizers.search import Genetic, HillClimb, SimulatedAnnealing
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.trust_region import BLOCK, cholesky, exact_step, steihaug
from nettrain.parts.activations import tanh
from nettrain.parts.heads import SoftmaxCE
from nettrain.parts.models import MLP
from nettrain.problem import HESSIAN_ROWS, HESSIAN_WORK, Problem
from nettrain.vector import flatten

SEARCH = [Genetic(), CMAES(), CMAES(covariance="diagonal"), HillClimb(), SimulatedAnnealing()]
SOLVERS = [c() for c in optimizers().values() if issubclass(c, Solver)]
SOLVERS += [Newton(solver="cg"), CMAES(covariance="diagonal")]


def label(solver):
    return "-".join([solver.name, *(str(getattr(solver, key, "")) for key in ("solver", "covariance"))])


def wood_start():
    return torch.tensor([-3.0, -1, -3, -1], dtype=torch.float64)


def positive_definite(seed, size):
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    product = a @ a.T
    return (product + product.T) / 2 + 0.1 * torch.eye(size, dtype=torch.float64)


def vector(seed, size):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Derivatives


def mlp(inputs=4, hidden=5):
    torch.manual_seed(0)
    model = MLP(hidden=[hidden]).build(inputs, 3, tanh).double()
    objective = Objective(model, SoftmaxCE())
    x, y = torch.randn(30, inputs, dtype=torch.float64), torch.randint(3, (30,))
    return Problem(lambda w: objective.value(w, x, y.expand(*w.shape[:-1], -1)), rows=True), flatten(model)


@pytest.mark.parametrize("hidden", [5, 12])
def test_the_hessian_of_an_mlp_equals_finite_differences(hidden):
    problem, w = mlp(hidden=hidden)
    assert (len(w) > HESSIAN_ROWS) == (hidden == 12)
    hessian, h = problem.hessian(w), 1e-5
    steps = h * torch.eye(len(w), dtype=w.dtype)
    differences = torch.stack([(problem.gradient(w + e)[1] - problem.gradient(w - e)[1]) / (2 * h) for e in steps])
    torch.testing.assert_close(hessian, differences, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(problem.hvp(w, w), hessian @ w)
    assert problem.counts.hessian_vector_products == len(w) + 1


def test_a_plain_function_has_the_derivatives_of_torch_func():
    w = wood_start()
    problem = Problem(wood)
    torch.testing.assert_close(problem.hessian(w), torch.func.hessian(wood)(w))
    torch.testing.assert_close(problem.value(torch.stack([w, w + 1])), torch.stack([wood(w), wood(w + 1)]))
    assert vars(problem.counts) == {
        "function_evaluations": 2,
        "gradient_evaluations": 0,
        "hessian_vector_products": 4,
    }


def test_linear_and_constant_functions_have_zero_hessians():
    w = torch.ones(3, dtype=torch.float64)
    assert torch.equal(Problem(lambda w: 2 * w.sum()).hessian(w), torch.zeros(3, 3, dtype=torch.float64))
    assert torch.equal(Problem(lambda w: w.new_ones(())).gradient(w)[1], torch.zeros(3, dtype=torch.float64))


# Curvature


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 8))
def test_bfgs_satisfies_the_secant_equation_and_stays_positive_definite(seed, size):
    inverse, s = positive_definite(seed, size), vector(seed + 1, size)
    y = positive_definite(seed + 2, size) @ s
    bfgs_update(inverse, s, y)
    torch.testing.assert_close(inverse @ y, s, rtol=1e-6, atol=1e-6)
    assert torch.equal(inverse, inverse.T)
    assert torch.linalg.eigvalsh(inverse).min() > 0


def test_bfgs_with_exact_steps_finds_the_inverse_of_a_quadratic_in_n_updates():
    a, size = positive_definite(0, 5), 5
    w, inverse = vector(1, size), torch.eye(size, dtype=torch.float64)
    for _ in range(size):
        g = a @ w
        d = -inverse @ g
        s = d * (-g.dot(d) / d.dot(a @ d))
        w = w + s
        bfgs_update(inverse, s, a @ s)
    torch.testing.assert_close(inverse, torch.linalg.inv(a), rtol=1e-6, atol=1e-6)
    assert (a @ w).abs().max() < 1e-8


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 8), pairs=st.integers(0, 6))
def test_lbfgs_with_enough_memory_is_dense_bfgs(seed, size, pairs):
    a, scale = positive_definite(seed, size), torch.tensor(0.7, dtype=torch.float64)
    steps = [vector(seed + i, size) for i in range(pairs)]
    changes = [a @ s for s in steps]
    rho = [1 / y.dot(s) for s, y in zip(steps, changes, strict=True)]
    inverse = scale * torch.eye(size, dtype=torch.float64)
    for s, y in zip(steps, changes, strict=True):
        bfgs_update(inverse, s, y)
    g = vector(seed + 99, size)
    product = two_loop(g.clone(), steps, changes, rho, scale, range(pairs - 1, -1, -1))
    torch.testing.assert_close(product, inverse @ g, rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), log_t=st.floats(-6, 4))
def test_the_line_search_satisfies_the_strong_wolfe_conditions(seed, log_t):
    problem, w = Problem(rosenbrock), 2 * vector(seed, 2)
    value, g = problem.gradient(w)
    d = -g
    start = Point(0.0, float(value), float(g.dot(d)), g)
    point = strong_wolfe(line(problem, w, d), start, 10.0**log_t / float(g.norm()), float(d.abs().max()))
    assert point.t > 0
    assert point.value <= start.value + 1e-4 * point.t * start.slope
    assert abs(point.slope) <= 0.9 * abs(start.slope)


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_newton_solves_a_quadratic(solver):
    a, b = positive_definite(0, 6), vector(1, 6)
    result = minimize(
        lambda w: 0.5 * w @ a @ w - b @ w, torch.zeros(6, dtype=torch.float64), "newton", solver=solver, radius=1e6
    )
    torch.testing.assert_close(result.w, torch.linalg.solve(a, b), rtol=1e-8, atol=1e-8)
    assert result.updates <= {"cholesky": 2, "cg": 8}[solver]


def test_newton_converges_quadratically():
    problem, w = Problem(rosenbrock), torch.tensor([1.1, 1.2], dtype=torch.float64)
    solver, errors = Newton(), []
    state = solver.init(problem, w, 0)
    for t in range(1, 10):
        solver.step(problem, state, w, t, 0)
        errors.append(float((w - 1).norm()))
    small = [(e, after) for e, after in pairwise(errors) if 1e-7 < e < 1e-2]
    assert len(small) >= 2
    assert all(after < 300 * e**2 for e, after in small)


@pytest.mark.parametrize("start", [[0.0, 0.0], [1.0, 0.0], [1e-9, 1e-3], [3.0, 0.4]])
def test_newton_leaves_saddles_and_regions_of_negative_curvature(start):
    result = minimize(lambda w: w[0] ** 2 + (w[1] ** 2 - 1) ** 2, torch.tensor(start, dtype=torch.float64), "newton")
    assert result.converged
    assert result.value < 1e-12


def test_steihaug_minimises_the_model_inside_and_stops_at_the_boundary():
    a, g = positive_definite(3, 6), 1e-9 * vector(4, 6)
    d, product, length = steihaug(lambda v: a @ v, g, radius=1e6)
    torch.testing.assert_close(d, -torch.linalg.solve(a, g), rtol=1e-3, atol=0)
    torch.testing.assert_close(product, a @ d, rtol=1e-8, atol=1e-20)
    assert length == pytest.approx(float(d.norm()))
    for matrix in (a, -a):
        d, product, length = steihaug(lambda v, m=matrix: m @ v, g, radius=1e-12)
        assert float(d.norm()) == pytest.approx(1e-12)
        assert float(g.dot(d) + 0.5 * d.dot(product)) < 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 8),
    lowest=st.sampled_from([-3.0, -1e-6, 0.0, 1e-3, 1.0]),
    hard=st.booleans(),
    log_radius=st.floats(-6, 3),
)
def test_the_exact_step_is_the_best_within_the_region_up_to_a_tenth(seed, size, lowest, hard, log_radius):
    q, _ = torch.linalg.qr(positive_definite(seed, size))
    values = torch.linspace(lowest, lowest + 2, size, dtype=torch.float64)
    a, b, radius = q @ torch.diag(values) @ q.T, vector(seed + 1, size), 10.0**log_radius
    if hard and size > 1:
        b = b - q[:, 0] * q[:, 0].dot(b)  # no part along the lowest eigenvector
    a = (a + a.T) / 2
    newton = -torch.linalg.solve(a, b) if lowest > 0 else None
    d, length, inside = exact_step(a, b, radius, newton, lambda: None)
    assert length == pytest.approx(float(d.norm()), rel=1e-6)
    assert length <= 1.1 * radius * (1 + 1e-9)
    assert inside == (newton is not None and float(newton.norm()) <= radius)

    coordinates = q.T @ b

    def of(mu):
        return -coordinates / (values + mu).clamp(min=1e-300)

    low = max(0.0, -lowest)
    high = low + float(b.norm()) / radius + 1
    for _ in range(200):  # the length falls with mu
        mu = (low + high) / 2
        low, high = (mu, high) if float(of(mu).norm()) > radius else (low, mu)
    z = newton if inside else q @ of(high)
    best = float(b.dot(z) + 0.5 * z.dot(a @ z)) - (0 if inside else 0.5 * high * max(radius**2 - float(z.dot(z)), 0))
    assert float(b.dot(d) + 0.5 * d.dot(a @ d)) <= 0.75 * best


def test_a_factor_made_of_blocks_is_the_factor_and_can_be_left_between_them():
    a, looks = positive_definite(0, 3 * BLOCK + 7), []
    torch.testing.assert_close(
        cholesky(a, 0.5, lambda: looks.append(1)), torch.linalg.cholesky(a + 0.5 * torch.eye(len(a)))
    )
    assert len(looks) == 4
    assert cholesky(a, -1e6, lambda: None) is None

    def leave():
        if len(looks) == 2:
            raise Abandoned
        looks.append(1)

    looks.clear()
    with pytest.raises(Abandoned):
        cholesky(a, 0.0, leave)


def test_a_hessian_is_made_of_parts_that_can_be_left_within_a_second():
    parts, looks = [], 0

    def fun(w):
        parts.append(len(w))
        return w.square().sum(-1)

    def abandon():
        nonlocal looks
        looks += 1
        return looks > 10

    w = torch.zeros(2000)
    with pytest.raises(Abandoned):
        Problem(fun, rows=True, abandon=abandon, samples=10_000).hessian(w)
    assert max(parts) * 2000 * 10_000 <= HESSIAN_WORK
    assert len(parts) <= 5


def test_newton_forms_the_hessian_where_that_costs_little():
    assert Newton().dense(67, 105)
    assert not Newton().dense(8970, 1257)
    assert not Newton().dense(300, 1)  # the factors of a tiny sum cost more than its products
    assert Newton(solver="cholesky").dense(8970, 1257)
    assert not Newton(solver="cg").dense(2, 1000)


# Search


@pytest.mark.parametrize("seed_of_start", range(7))
@pytest.mark.parametrize(
    ("fun", "start"), [(rosenbrock, [-1.2, 1.0]), (lambda w: (w - 1).square().sum(), [0.0, 0.0, 0.0])]
)
def test_genetic_search_finds_the_digits_of_a_few_weights(fun, start, seed_of_start):
    w0 = torch.tensor(start, dtype=torch.float64)
    result = minimize(fun, w0, "genetic", seed=seed_of_start, max_function_evaluations=12_000)
    assert result.value < 1e-5


@pytest.mark.parametrize("solver", SEARCH, ids=label)
def test_the_best_never_rises_and_is_what_w_is(solver):
    problem, w = Problem(rosenbrock), torch.tensor([-1.2, 1], dtype=torch.float64)
    state = solver.init(problem, w, 0)
    values = [float(state["value"])]
    assert values[0] <= 24.2
    for t in range(1, 200):
        solver.step(problem, state, w, t, 0)
        values.append(float(state["value"]))
        assert values[-1] <= values[-2]
        assert values[-1] == pytest.approx(float(rosenbrock(w)), rel=1e-12)
    assert values[-1] < 0.1 * values[0]


@pytest.mark.parametrize("solver", SEARCH, ids=label)
def test_points_that_are_not_finite_are_never_taken(solver):
    def fun(w):
        return torch.where(w.sum() > 0, w.square().sum(), torch.nan)

    problem, w = Problem(fun), torch.ones(3, dtype=torch.float64)
    state = solver.init(problem, w, 0)
    for t in range(1, 60):
        solver.step(problem, state, w, t, 0)
        assert state["value"].isfinite()
        assert w.sum() > 0
    assert state["value"] < 0.5  # of 3 at the start


def test_cma_es_learns_an_ill_conditioned_rotated_quadratic():
    q, _ = torch.linalg.qr(positive_definite(5, 6))
    a = q @ torch.diag(10.0 ** torch.arange(6, dtype=torch.float64)) @ q.T
    result = minimize(lambda w: w @ a @ w, torch.ones(6, dtype=torch.float64), "cma_es", max_updates=300)
    assert result.value < 1e-8


@pytest.mark.parametrize("name", ["genetic", "cma_es", "hill_climb", "simulated_annealing"])
def test_the_sphere_is_found(name):
    result = minimize(lambda w: (w - 0.5).square().sum(), torch.zeros(10, dtype=torch.float64), name, max_updates=500)
    assert result.value < (0.02 if name == "simulated_annealing" else 1e-3)


# What every solver promises


@pytest.mark.parametrize("solver", SOLVERS, ids=label)
def test_the_same_seed_is_the_same_path_and_only_search_has_others(solver):
    def path(seed):
        torch.manual_seed(int(torch.randint(10**6, ())))  # whatever the global generator is, it has no say
        return minimize(wood, wood_start(), solver, max_updates=12, seed=seed).w

    assert torch.equal(path(0), path(0))
    assert torch.equal(path(0), path(1)) == solver.uses_gradient


@pytest.mark.parametrize("solver", SOLVERS, ids=label)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_state_goes_on_bit_for_bit(solver, dtype):
    def advance(w, state, first, last):
        for t in range(first, last):
            solver.step(problem, state, w, t, 3)

    problem, w = Problem(wood), wood_start().to(dtype)
    state = solver.init(problem, w, 3)
    advance(w, state, 1, 9)
    file = io.BytesIO()
    torch.save({"w": w, "state": state}, file)
    advance(w, state, 9, 20)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    advance(saved["w"], saved["state"], 9, 20)
    assert torch.equal(w, saved["w"])
    assert state.keys() == saved["state"].keys()
    for key, value in state.items():
        assert torch.equal(value, saved["state"][key]), key


@pytest.mark.parametrize("solver", SOLVERS, ids=label)
def test_another_batch_is_evaluated_anew(solver):
    first, second = Problem(wood), Problem(lambda w: wood(w) + 7)
    w = wood_start()
    state = solver.init(first, w, 0)
    solver.step(first, state, w, 1, 0)
    solver.renew(second, state, w)
    assert float(state["value"]) == pytest.approx(float(wood(w)) + 7)
    solver.step(second, state, w, 2, 0)
    assert float(state["value"]) == pytest.approx(float(wood(w)) + 7)
