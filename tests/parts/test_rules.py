"""Each rule and option against `torch.optim` on a real network, and K rows against K single runs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nettrain.optimizers import rules
from nettrain.optimizers.rules import Rule
from nettrain.vector import Layout, flatten, join

STEPS = 500


def torch_sgd(**options: Any) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, foreach=False, **options)


# name: the rule, and torch's optimizer with the same options
CASES: dict[str, tuple[Rule, Callable[..., torch.optim.Optimizer]]] = {
    "sgd": (rules.SGD(lr=0.1), torch_sgd(lr=0.1)),
    "sgd decay": (rules.SGD(lr=0.1, weight_decay=0.01), torch_sgd(lr=0.1, weight_decay=0.01)),
    "momentum": (rules.Momentum(lr=0.05), torch_sgd(lr=0.05, momentum=0.9)),
    "momentum dampening": (
        rules.Momentum(lr=0.1, momentum=0.8, dampening=0.3, weight_decay=1e-3),
        torch_sgd(lr=0.1, momentum=0.8, dampening=0.3, weight_decay=1e-3),
    ),
    "nesterov": (
        rules.Momentum(lr=0.05, nesterov=True, weight_decay=1e-3),
        torch_sgd(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    ),
    "adagrad": (rules.Adagrad(lr=0.05), lambda p: torch.optim.Adagrad(p, lr=0.05, foreach=False)),
    "adagrad options": (
        rules.Adagrad(lr=0.1, lr_decay=0.01, weight_decay=1e-3, initial_accumulator_value=0.2, eps=1e-6),
        lambda p: torch.optim.Adagrad(
            p, lr=0.1, lr_decay=0.01, weight_decay=1e-3, initial_accumulator_value=0.2, eps=1e-6, foreach=False
        ),
    ),
    "rmsprop": (rules.RMSprop(lr=3e-3), lambda p: torch.optim.RMSprop(p, lr=3e-3, foreach=False)),
    "rmsprop centered": (
        rules.RMSprop(lr=3e-3, centered=True, alpha=0.9, eps=1e-3, weight_decay=1e-3),
        lambda p: torch.optim.RMSprop(p, lr=3e-3, centered=True, alpha=0.9, eps=1e-3, weight_decay=1e-3, foreach=False),
    ),
    "rmsprop momentum": (
        rules.RMSprop(lr=1e-3, momentum=0.8),
        lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.8, foreach=False),
    ),
    "rmsprop centered momentum": (
        rules.RMSprop(lr=1e-3, momentum=0.8, centered=True, eps=1e-3),
        lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.8, centered=True, eps=1e-3, foreach=False),
    ),
    "adam": (rules.Adam(lr=0.01), lambda p: torch.optim.Adam(p, lr=0.01, foreach=False)),
    "adam options": (
        rules.Adam(lr=0.01, beta1=0.8, beta2=0.99, eps=1e-5, weight_decay=1e-2),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-5, weight_decay=1e-2, foreach=False),
    ),
    "amsgrad": (
        rules.Adam(lr=0.01, beta2=0.9, amsgrad=True),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.9, 0.9), amsgrad=True, foreach=False),
    ),
    "adamw": (rules.AdamW(lr=0.01), lambda p: torch.optim.AdamW(p, lr=0.01, foreach=False)),
    "adamw options": (
        rules.AdamW(lr=0.01, weight_decay=0.1, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True, foreach=False),
    ),
}
STATE_NAMES = {  # torch's names of what an optimizer keeps, for rules that keep anything
    "momentum": {"momentum_buffer"},
    "adagrad": {"sum"},
    "rmsprop centered momentum": {"square_avg", "grad_avg", "momentum_buffer"},
    "adam": {"exp_avg", "exp_avg_sq"},
    "amsgrad": {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
}


def network(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 13), nn.Tanh(), nn.Linear(13, 5), nn.ReLU(), nn.Linear(5, 3)).to(dtype)


def batches(dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 7, generator=generator, dtype=torch.float64).to(dtype)
    return list(zip(x.split(16), torch.randint(3, (64,), generator=generator).split(16), strict=True))


def set_gradient(module: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    module.zero_grad()
    nn.functional.cross_entropy(module(batch[0]), batch[1]).backward()


def rate(lr: float, t: int) -> float:
    """A learning rate that changes while the run goes on."""
    return lr if t <= STEPS // 2 else 0.3 * lr


def train_ours(rule: Rule, dtype: torch.dtype, steps: int = STEPS) -> tuple[Tensor, dict[str, Tensor]]:
    """The flat vector after some updates by the rule, and the rule's state."""
    module, data = network(dtype), batches(dtype)
    layout, w = Layout.of(module), flatten(module)
    state = rule.init(w)
    for t in range(1, steps + 1):
        with torch.no_grad():
            for name, view in layout.views(w).items():
                module.get_parameter(name).copy_(view)
        set_gradient(module, data[t % len(data)])
        g = join(p.grad for p in module.parameters() if p.grad is not None)
        rule.step(state, w, g, rule.all_coefficients(t, rate(rule.lr, t)))  # type: ignore[arg-type]
    return w, state


def train_torch(
    make: Callable[..., torch.optim.Optimizer], dtype: torch.dtype, steps: int = STEPS, max_norm: float | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The same by torch's optimizer on the module's own parameters; its state is flattened."""
    module, data = network(dtype), batches(dtype)
    optimizer = make(module.parameters())
    lr = optimizer.param_groups[0]["lr"]
    for t in range(1, steps + 1):
        set_gradient(module, data[t % len(data)])
        if max_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), max_norm)
        optimizer.param_groups[0]["lr"] = rate(lr, t)
        optimizer.step()
    kept = [optimizer.state[p] for p in module.parameters()]
    return flatten(module), {key: join(s[key] for s in kept) for key in kept[0] if key != "step"}


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", CASES)
def test_500_updates_equal_torch_to_the_last_bit_of_float64(name: str) -> None:
    rule, make = CASES[name]
    w, state = train_ours(rule, torch.float64)
    expected, expected_state = train_torch(make, torch.float64)
    assert torch.equal(w, expected)
    assert state.keys() == expected_state.keys()
    assert all(torch.equal(state[key], expected_state[key]) for key in state)
    assert (w - flatten(network(torch.float64))).abs().max() > 0.05  # and it has moved at all


@pytest.mark.parametrize("name", CASES)
def test_100_updates_agree_with_torch_in_float32(name: str) -> None:
    rule, make = CASES[name]
    w, _ = train_ours(rule, torch.float32, steps=100)
    torch.testing.assert_close(w, train_torch(make, torch.float32, steps=100)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STATE_NAMES)
def test_the_state_has_torchs_names(name: str) -> None:
    assert CASES[name][0].init(torch.ones(3)).keys() == STATE_NAMES[name]


@pytest.mark.parametrize("name", ["sgd decay", "nesterov", "adam options", "adamw"])
def test_clip_norm_is_clip_grad_norm_before_the_weight_decay(name: str) -> None:
    rule, make = CASES[name]
    clipped, _ = train_ours(replace(rule, clip_norm=0.05), torch.float64)
    expected, _ = train_torch(make, torch.float64, max_norm=0.05)
    torch.testing.assert_close(clipped, expected, rtol=1e-12, atol=1e-12)
    assert (clipped - train_ours(rule, torch.float64)[0]).abs().max() > 1e-3


def test_clip_leaves_short_gradients_alone_and_acts_on_each_row_by_itself() -> None:
    g = torch.tensor([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]], dtype=torch.float64)
    clipped = rules.clip(g, 1.0)
    assert torch.equal(clipped[1:], g[1:])
    torch.testing.assert_close(clipped[0], g[0] / 5, rtol=1e-6, atol=0)


# K rows with hyperparameters of their own

ROWS: dict[str, tuple[Rule, dict[str, list[float]]]] = {
    "sgd": (rules.SGD(), {"weight_decay": [0.0, 0.1, 0.01]}),
    "momentum": (rules.Momentum(), {"momentum": [0.9, 0.5, 0.0], "dampening": [0.0, 0.5, 0.1]}),
    "nesterov": (rules.Momentum(nesterov=True), {"momentum": [0.9, 0.5, 0.99], "weight_decay": [0.1, 0.0, 0.01]}),
    "adagrad": (
        rules.Adagrad(),
        {"lr_decay": [0.0, 0.1, 0.01], "initial_accumulator_value": [0.0, 1.0, 0.3], "eps": [1e-10, 1e-3, 1e-5]},
    ),
    "rmsprop": (rules.RMSprop(), {"alpha": [0.99, 0.9, 0.5], "eps": [1e-8, 1e-3, 1e-5]}),
    "rmsprop centered momentum": (
        rules.RMSprop(centered=True, eps=1e-3),
        {"alpha": [0.99, 0.9, 0.7], "momentum": [0.9, 0.5, 0.1], "weight_decay": [0.1, 0.2, 0.0]},
    ),
    "adam": (rules.Adam(), {"beta1": [0.9, 0.8, 0.0], "beta2": [0.999, 0.9, 0.99], "eps": [1e-8, 1e-4, 1e-6]}),
    "amsgrad": (rules.Adam(amsgrad=True), {"beta2": [0.999, 0.5, 0.9], "weight_decay": [0.1, 0.2, 0.0]}),
    "plain adam": (rules.Adam(bias_correction=False), {"beta1": [0.9, 0.8, 0.5], "eps": [0.0, 0.0, 1e-3]}),
    "adamw": (rules.AdamW(), {"weight_decay": [0.0, 0.1, 1.0], "beta1": [0.9, 0.8, 0.7]}),
    "clipped": (rules.Adam(), {"clip_norm": [1.0, 5.0, 100.0]}),
}


def run(rule: Rule, w: Tensor, gradients: Tensor, lr: Any, size: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
    """w after one update per gradient, and the state; `size` makes tensors of the coefficients."""
    w = w.clone()
    state = rule.init(w)
    for t, g in enumerate(gradients, start=1):
        c: Any = rule.all_coefficients(t, lr)
        if size is not None:
            c = {key: torch.as_tensor(np.broadcast_to(value, size).copy(), dtype=w.dtype) for key, value in c.items()}
        rule.step(state, w, g.clone(), c)
    return w, state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ROWS)
def test_rows_equal_single_runs_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    rule, options = ROWS[name]
    lr = [0.1, 0.01, 0.003]
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(3, 131, generator=generator, dtype=torch.float64).to(dtype)
    gradients = torch.randn(30, 3, 131, generator=generator, dtype=torch.float64).to(dtype)
    column = {key: np.array(values)[:, None] for key, values in options.items()}
    stacked, stacked_state = run(replace(rule, **column), w, gradients, np.array(lr)[:, None], size=(3, 1))
    for k in range(3):
        single, state = run(
            replace(rule, **{key: values[k] for key, values in options.items()}), w[k], gradients[:, k], lr[k]
        )
        assert torch.equal(stacked[k], single)
        assert all(torch.equal(stacked_state[key][k], state[key]) for key in state)


@pytest.mark.parametrize("name", [*CASES, "plain adam"])
def test_coefficients_of_many_updates_at_once_are_those_of_one_at_a_time(name: str) -> None:
    rule = CASES[name][0] if name in CASES else ROWS[name][0]
    t = np.arange(1, 401)
    lr = 0.1 / t
    together = rule.all_coefficients(t, lr)
    for i in range(t.size):
        alone = rule.all_coefficients(int(t[i]), float(lr[i]))
        assert alone.keys() == together.keys()
        for key, value in alone.items():
            assert value == np.broadcast_to(together[key], t.shape)[i]


def test_coefficients_over_runs_and_updates_have_one_column_per_update() -> None:
    t, beta = np.arange(1, 6), np.array([0.9, 0.99])[:, None]
    c = rules.Adam(beta1=beta).coefficients(t, np.full((2, 5), 0.1))  # type: ignore[arg-type]
    assert np.shape(c["step"]) == (2, 5)
    np.testing.assert_array_equal(c["step"][1], rules.Adam(beta1=0.99).coefficients(t, 0.1)["step"])  # type: ignore[index]


@pytest.mark.parametrize("name", CASES)
def test_nan_and_inf_in_one_row_leave_the_other_rows_alone(name: str) -> None:
    rule = replace(CASES[name][0], clip_norm=1.0)
    w = torch.ones(3, 5)
    gradients = torch.ones(4, 3, 5)
    expected, _ = run(rule, w, gradients, 0.1)
    gradients[1, 0, 2], gradients[2, 2, 0] = torch.nan, torch.inf
    disturbed, _ = run(rule, w, gradients, 0.1)
    assert torch.equal(disturbed[1], expected[1])
    assert disturbed[0].isnan().any()


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_not_changed(name: str) -> None:
    rule = CASES[name][0]
    w, g = torch.ones(5), torch.arange(5.0)
    rule.step(rule.init(w), w, g, rule.all_coefficients(1, 0.1))  # type: ignore[arg-type]
    assert torch.equal(g, torch.arange(5.0))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(1000,), (1000, 3), (3, 1000)], ids=["a vector", "a matrix", "rows"])
def test_a_large_vector_is_updated_in_chunks_with_the_bits_of_the_whole(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, generator = replace(CASES[name][0], clip_norm=20.0), torch.Generator().manual_seed(0)
    start = torch.randn(shape, dtype=torch.float64, generator=generator)
    gradients = torch.randn(4, *shape, dtype=torch.float64, generator=generator)
    results = []
    for chunk in (10**6, 128):
        monkeypatch.setattr(rules, "CHUNK", chunk)
        w, state = start.clone(), rule.init(start)
        for t, g in enumerate(gradients, 1):
            c: dict[str, Any] = dict(rule.all_coefficients(float(t), rule.lr))
            if shape[0] == 3:
                c = {key: torch.full((3, 1), value, dtype=torch.float64) for key, value in c.items()}
            rule.step(state, w, g, c)
        results.append([w, *state.values()])
    assert all(torch.equal(whole, chunks) for whole, chunks in zip(*results, strict=True))
