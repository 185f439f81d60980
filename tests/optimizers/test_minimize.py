"""`minimize` on the bank of problems: every optimizer against published minima, certified digits and SciPy's counts."""

import numpy as np
import pytest
import scipy.optimize
import torch
from problems import MGH, NIST, rosenbrock

from nettrain.errors import ConfigError
from nettrain.minimization import minimize, optimizers
from nettrain.optimizers.curvature import BFGS, LBFGS

SOLVERS = {"newton": {}, "newton-cg": {"solver": "cg"}, "bfgs": {}, "lbfgs": {}}
SCIPY = {"bfgs": "BFGS", "lbfgs": "L-BFGS-B"}
LOOKS_ELSEWHERE = {("wood", "lbfgs")}  # where SciPy stops at the saddle f = 7.877, and we go on to the minimum

by_name = pytest.mark.parametrize("solver", SOLVERS)
problems = pytest.mark.parametrize("problem", MGH, ids=lambda p: p.name)
regressions = pytest.mark.parametrize(
    "regression",
    [pytest.param(r, id=r.name, marks=[pytest.mark.slow] if r.name == "mgh10" else []) for r in NIST],
)


def run(fun, w0, solver, **options):
    return minimize(fun, w0, solver.removesuffix("-cg"), **SOLVERS[solver], **options)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def scipy_minimize(fun, w0, method):
    def value_and_gradient(x):
        w = torch.tensor(x, requires_grad=True)
        value = fun(w)
        value.backward()
        return value.item(), w.grad.numpy()

    return scipy.optimize.minimize(value_and_gradient, w0.numpy(), jac=True, method=method)


@problems
def test_the_bank_is_as_published(problem):
    assert float(problem.fun(tensor(problem.start))) == pytest.approx(problem.value_at_start, rel=1e-7)


@regressions
def test_the_certified_residuals_are_reproduced(regression):
    assert float(regression.fun(tensor(regression.certified))) == pytest.approx(regression.rss, rel=1e-9)


@by_name
@problems
def test_known_minima_are_reached(problem, solver):
    result = run(problem.fun, tensor(problem.start), solver)
    assert result.converged, result.status
    assert any(result.value == pytest.approx(m, rel=1e-8, abs=1e-10) for m in problem.minima)


def digits(regression, start, solver):
    """The correct digits of the worst parameter, from an official start, in units of that start."""
    scale = tensor(start)
    result = run(lambda u: regression.fun(u * scale), torch.ones_like(scale), solver)
    certified = tensor(regression.certified)
    return -float(((result.w * scale - certified) / certified).abs().max().clamp(min=1e-16).log10())


@by_name
@regressions
def test_nist_from_the_near_start_gives_six_digits(regression, solver):
    assert digits(regression, regression.starts[1], solver) >= 6


FAR_START_MISSED = {  # from the official far start: another local minimum or a plateau, which SciPy's run into as well
    "mgh10": set(SOLVERS),
    "mgh09": {"bfgs", "lbfgs"},
}


@by_name
@regressions
def test_nist_from_the_far_start(regression, solver):
    reached = digits(regression, regression.starts[0], solver) >= 6
    assert reached == (solver not in FAR_START_MISSED.get(regression.name, set()))


SCALED = [(r, tensor(r.starts[1])) for r in NIST]
BANK = [pytest.param(p.fun, tensor(p.start), id=p.name) for p in MGH] + [
    pytest.param(lambda u, r=r, scale=scale: r.fun(u * scale), torch.ones_like(scale), id=r.name) for r, scale in SCALED
]


@pytest.mark.parametrize("solver", SCIPY)
@pytest.mark.parametrize(("fun", "w0"), BANK)
def test_no_more_evaluations_than_one_and_a_half_times_scipys(fun, w0, solver, request):
    ours, theirs = minimize(fun, w0, solver), scipy_minimize(fun, w0, SCIPY[solver])
    assert ours.value <= theirs.fun * (1 + 1e-8) + 1e-9
    if (request.node.callspec.id.split("-")[0], solver) not in LOOKS_ELSEWHERE:
        assert ours.function_evaluations <= 1.5 * theirs.nfev
        assert ours.gradient_evaluations <= 1.5 * theirs.njev


@by_name
def test_linear_least_squares_equals_its_closed_form(solver):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=rng, dtype=torch.float64)
    y = torch.randn(50, generator=rng, dtype=torch.float64)
    result = run(lambda w: (x @ w - y).square().mean(), torch.zeros(6, dtype=torch.float64), solver)
    torch.testing.assert_close(result.w, torch.linalg.lstsq(x, y).solution, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_every_optimizer_lowers_a_quadratic_and_counts_what_it_does(name):
    calls = 0

    def fun(w):
        nonlocal calls
        calls += 1
        return (w - 1).square().sum()

    result = minimize(fun, torch.zeros(3, dtype=torch.float64), name, max_updates=30)
    assert result.value < 3
    if result.hessian_vector_products == 0 and result.gradient_evaluations > 0:
        assert result.function_evaluations == result.gradient_evaluations == calls
    assert result.value == pytest.approx(float(fun(result.w)))
    assert result.updates <= 30
    assert (result.gradient_evaluations == 0) == (name in {"genetic", "cma_es", "hill_climb", "simulated_annealing"})
    assert (result.hessian_vector_products > 0) == (name == "newton")


def test_gradient_rules_take_the_steps_of_their_definition():
    result = minimize(lambda w: 0.5 * (w * w).sum(), tensor([1.0, 2.0]), "sgd", lr=0.1, max_updates=7)
    torch.testing.assert_close(result.w, tensor([1.0, 2.0]) * 0.9**7, rtol=1e-14, atol=0)
    assert (result.function_evaluations, result.gradient_evaluations) == (8, 8)
    assert result.status == "stopped: max_updates=7 reached"


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_a_budget_stops_after_the_update_that_uses_it_up(name):
    def run(**budget):
        return minimize(lambda w: (w - 3).pow(4).sum(), tensor([1.0, 2.0]), name, **budget)

    result = run(max_function_evaluations=5)
    assert result.status == "stopped: max_function_evaluations=5 reached"
    assert not result.converged
    assert result.function_evaluations >= 5
    assert result.updates == 0 or run(max_updates=result.updates - 1).function_evaluations < 5


@pytest.mark.parametrize(
    ("budget", "value"),
    [("max_gradient_evaluations", 5), ("max_hessian_vector_products", 7), ("max_seconds", 0), ("max_updates", 0)],
)
def test_every_budget_stops(budget, value):
    result = minimize(rosenbrock, tensor([-1.2, 1]), "newton", **{budget: value})
    assert result.status == f"stopped: {budget}={value} reached"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@by_name
def test_the_start_and_its_dtype_are_kept(solver, dtype):
    w0 = torch.tensor([-1.2, 1], dtype=dtype)
    result = run(rosenbrock, w0, solver)
    assert result.w.dtype == dtype
    assert torch.equal(w0, torch.tensor([-1.2, 1], dtype=dtype))
    assert result.value < 1e-9
    assert result.updates < 100


def test_an_instance_is_taken_with_its_options_replaced():
    a = minimize(rosenbrock, tensor([-1.2, 1]), LBFGS(history_size=1), history_size=5)
    b = minimize(rosenbrock, tensor([-1.2, 1]), "lbfgs", history_size=5)
    assert torch.equal(a.w, b.w)


def test_functions_that_vmap_refuses_are_evaluated_in_a_loop():
    def fun(w):
        return w[0] ** 2 + w[1] ** 2 if w[0].item() > 0 else w[0] ** 2 + 2 * w[1] ** 2

    for name in ("genetic", "newton"):
        assert minimize(fun, tensor([-2.0, 1.0]), name).value < 1e-4


def test_values_that_are_not_finite_are_never_accepted():
    def fun(w):  # NaN for w < 0, infinite slope at 0
        return (w.sqrt() - 0.1).square().sum() + w.sum()

    def overflow(w):
        return (w.exp() - 1000 * w).sum()

    for solver in SOLVERS:
        result = run(fun, tensor([4.0, 9.0]), solver)
        assert result.w.isfinite().all()
        assert (result.w >= 0).all()
        assert np.isfinite(result.value)
        result = run(overflow, tensor([0.0, 5.0]), solver)
        torch.testing.assert_close(result.w, torch.full_like(result.w, np.log(1000)), rtol=1e-6, atol=0)


def test_mistakes_are_said_in_one_sentence():
    w0 = tensor([1.0])
    cases = [
        (lambda: minimize(rosenbrock, w0, "bfsg"), "optimizer=bfsg: there is no such optimizer; did you mean bfgs."),
        (lambda: minimize(rosenbrock, w0, "lbfgs", history=3), "did you mean history_size"),
        (lambda: minimize(rosenbrock, w0, "lbfgs", history_size=0), "history_size must be at least 1"),
        (lambda: minimize(rosenbrock, w0, "newton", solver="qr"), "one of cholesky, cg"),
        (lambda: minimize(lambda w: w.log().sum(), tensor([-1.0])), "fun(w0) is nan"),
        (lambda: minimize(lambda w: w, tensor([1.0, 2.0])), "shape (2,)"),
        (lambda: minimize(lambda w: 1.0, w0), "it is float"),
        (lambda: minimize(rosenbrock, torch.tensor([1, 2])), "floating point"),
        (lambda: minimize(rosenbrock, torch.ones(2, 2)), "shape (P,)"),
    ]
    for call, words in cases:
        with pytest.raises(ConfigError) as error:
            call()
        assert words in str(error.value)
        assert "\n" not in str(error.value)


def test_matrices_that_do_not_fit_are_refused_by_name(monkeypatch):
    monkeypatch.setattr("nettrain.optimizers.solvers.free_memory", lambda device: 10_000)
    w0 = torch.ones(50, dtype=torch.float64)
    with pytest.raises(ConfigError, match="use solver=cg"):
        minimize(lambda w: w.square().sum(), w0, "newton")
    with pytest.raises(ConfigError, match="use optimizer=lbfgs"):
        minimize(lambda w: w.square().sum(), w0, BFGS())
    assert minimize(lambda w: w.square().sum(), w0, "newton", solver="cg").converged
