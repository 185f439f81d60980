"""The rules against what mathematics says of them: the plain equations, quadratics, first steps, a counterexample."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from nettrain.optimizers import rules
from nettrain.optimizers.rules import Rule

EIGENVALUES = torch.tensor([0.1, 0.7, 1.3, 2.0], dtype=torch.float64)
START = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def advance(rule: Rule, w: Tensor, g: Tensor, state: dict[str, Tensor], t: int, lr: float | None = None) -> None:
    c = rule.all_coefficients(t, rule.lr if lr is None else lr)
    rule.step(state, w, g, c)  # type: ignore[arg-type]


def on_quadratic(rule: Rule, steps: int) -> list[Tensor]:
    """w_0, w_1, ... of the minimisation of sum_i l_i w_i^2 / 2."""
    w, path = START.clone(), [START]
    state = rule.init(w)
    for t in range(1, steps + 1):
        advance(rule, w, EIGENVALUES * w, state, t)
        path.append(w.clone())
    return path


def test_gradient_descent_shrinks_each_component_of_a_quadratic_geometrically() -> None:
    for t, w in enumerate(on_quadratic(rules.SGD(lr=0.3), 50)):
        torch.testing.assert_close(w, (1 - 0.3 * EIGENVALUES) ** t * START, rtol=1e-12, atol=0)


def test_decayed_gradient_descent_multiplies_the_factors_of_its_updates() -> None:
    w, expected, rule = START.clone(), START.clone(), rules.SGD(lr=0.3)
    for t in range(1, 51):
        lr = 0.3 / (1 + 0.1 * (t - 1))
        advance(rule, w, EIGENVALUES * w, {}, t, lr)
        expected = expected * (1 - lr * EIGENVALUES)
        torch.testing.assert_close(w, expected, rtol=1e-12, atol=0)


def test_momentum_on_a_quadratic_is_the_heavy_ball_recursion() -> None:
    lr, mu = 0.3, 0.8
    path = on_quadratic(rules.Momentum(lr=lr, momentum=mu), 60)
    torch.testing.assert_close(path[1], (1 - lr * EIGENVALUES) * START)
    for before, now, after in zip(path, path[1:], path[2:], strict=False):
        expected = (1 + mu - lr * EIGENVALUES) * now - mu * before
        torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-13)


def test_nesterov_on_a_quadratic_steps_from_the_point_ahead() -> None:
    """torch's w are the points ahead: w_(t+1) = x_t + mu (x_t - x_(t-1)), x_t = w_t - lr grad(w_t)."""
    lr, mu = 0.3, 0.8
    path = on_quadratic(rules.Momentum(lr=lr, momentum=mu, nesterov=True), 60)
    x = START
    for now, after in pairwise(path):
        before, x = x, (1 - lr * EIGENVALUES) * now
        torch.testing.assert_close(after, x + mu * (x - before), rtol=1e-12, atol=1e-13)


G = torch.tensor([5.0, -1e-3, 1e3, 0.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("rule", "length"),
    [
        (rules.Adam(lr=0.1), 1.0),
        (rules.AdamW(lr=0.1, weight_decay=0.0), 1.0),
        (rules.Adam(lr=0.1, amsgrad=True), 1.0),
        (rules.Adagrad(lr=0.1), 1.0),
        (rules.RMSprop(lr=0.1), 10.0),
        (rules.Adam(lr=0.1, bias_correction=False, eps=0), 3.1622776601683795),
        (rules.Adagrad(lr=0.1, eps=0), 1.0),
    ],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_length_of_the_first_step_is_that_of_the_gradients_sign(rule: Rule, length: float) -> None:
    w = torch.zeros_like(G)
    advance(rule, w, G, rule.init(w), 1)
    torch.testing.assert_close(w, -0.1 * length * G.sign(), rtol=2e-4, atol=0)


def noisy_gradients(steps: int) -> np.ndarray:
    g = np.random.default_rng(0).normal(size=(steps, 6))
    g[:, 0] = 0.0  # a weight that never gets a gradient
    g[: steps // 2, 1] = 0.0  # one that gets it late
    return g


def test_adam_without_eps_and_bias_correction_is_the_plain_rule() -> None:
    rule = rules.Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=0, bias_correction=False)
    w, expected = torch.ones(6, dtype=torch.float64), np.ones(6)
    state, m, v = rule.init(w), np.zeros(6), np.zeros(6)
    for t, g in enumerate(noisy_gradients(100), start=1):
        advance(rule, w, torch.from_numpy(g), state, t)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        expected = expected - 0.01 * np.divide(m, np.sqrt(v), out=np.zeros(6), where=v > 0)
        np.testing.assert_allclose(w, expected, rtol=1e-12)
    assert w[0] == 1


def test_adagrad_without_eps_is_the_plain_rule() -> None:
    rule = rules.Adagrad(lr=0.1, eps=0)
    w, expected = torch.ones(6, dtype=torch.float64), np.ones(6)
    state, s = rule.init(w), np.zeros(6)
    for t, g in enumerate(noisy_gradients(100), start=1):
        advance(rule, w, torch.from_numpy(g), state, t)
        s = s + g**2
        expected = expected - 0.1 * np.divide(g, np.sqrt(s), out=np.zeros(6), where=s > 0)
        np.testing.assert_allclose(w, expected, rtol=1e-12)
    assert w[0] == 1


@pytest.mark.parametrize("rule", [rules.Adam(eps=0, bias_correction=False), rules.Adagrad(eps=0), rules.RMSprop(eps=0)])
def test_without_eps_a_nan_gradient_is_still_seen(rule: Rule) -> None:
    w = torch.zeros(2)
    advance(rule, w, torch.tensor([torch.nan, 0.0]), rule.init(w), 1)
    assert w.isnan().tolist() == [True, False]


def test_longest_step_of_plain_adam_under_a_constant_gradient() -> None:
    """The missing bias correction makes it 6.57 lr at t = 12; with the correction every step is one lr long."""
    for correct, t_longest, longest in [(False, 12, 6.57), (True, None, 1.0)]:
        rule = rules.Adam(lr=1.0, eps=0, bias_correction=correct)
        w = torch.zeros(1, dtype=torch.float64)
        state, path = rule.init(w), [0.0]
        for t in range(1, 40):
            advance(rule, w, torch.ones_like(w), state, t)
            path.append(w.item())
        lengths = -np.diff(path)
        assert lengths.max() == pytest.approx(longest, abs=0.005)
        assert t_longest is None or lengths.argmax() + 1 == t_longest


def test_adam_fails_and_amsgrad_finds_the_minimum_of_the_counterexample_of_reddi() -> None:
    """f_t(x) = 1010 x if t mod 101 = 1, else -10 x, on [-1, 1]: the mean slope is positive, the minimum -1."""
    t = np.arange(1, 15_001)
    lr = 0.5 / np.sqrt(t)
    reached = {}
    for amsgrad in (False, True):
        rule = rules.Adam(beta1=0.9, beta2=0.99, amsgrad=amsgrad)
        scalars = {key: np.broadcast_to(value, t.shape).tolist() for key, value in rule.all_coefficients(t, lr).items()}
        x = torch.zeros(1, dtype=torch.float64)
        state, large, small = rule.init(x), torch.full_like(x, 1010.0), torch.full_like(x, -10.0)
        for i in range(t.size):
            rule.step(state, x, large if t[i] % 101 == 1 else small, {key: s[i] for key, s in scalars.items()})
            x.clamp_(-1, 1)
        reached[amsgrad] = x.item()
    assert reached[False] > 0.9
    assert reached[True] < -0.9


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_adamw_decays_weights_without_a_gradient_and_adam_rescales_the_decay(decay: float) -> None:
    w = torch.ones(1, dtype=torch.float64)
    advance(rules.AdamW(lr=0.1, weight_decay=decay), w, torch.zeros_like(w), rules.AdamW().init(w), 1)
    assert w.item() == pytest.approx(1 - 0.1 * decay)
    w = torch.ones(1, dtype=torch.float64)
    advance(rules.Adam(lr=0.1, weight_decay=decay), w, torch.zeros_like(w), rules.Adam().init(w), 1)
    assert w.item() == pytest.approx(0.9 if decay else 1.0)
