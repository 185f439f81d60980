"""The drop-in optimizers in an ordinary training loop, beside `torch.optim`'s: equal to the last bit of float64."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from nettrain import optim

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "maximize": True}),
    "adagrad": ("Adagrad", {}),
    "adagrad options": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-3},
    ),
    "rmsprop": ("RMSprop", {"lr": 1e-3, "maximize": True}),
    "rmsprop options": (
        "RMSprop",
        {"lr": 1e-3, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5, "centered": True},
    ),
    "adam": ("Adam", {}),
    "adam options": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.1, "amsgrad": True}),
    "adam decoupled": ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamw": ("AdamW", {}),
    "adamw options": ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
}
each_case = pytest.mark.parametrize("case", CASES)

Make = Callable[..., Optimizer]


def pair(case: str) -> tuple[Make, Make]:
    """Our class and torch's, both with the options of a case."""
    name, options = CASES[case]
    return tuple(lambda p, module=m: getattr(module, name)(p, **options) for m in (optim, torch.optim))  # type: ignore[return-value]


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 11), nn.Tanh(), nn.Linear(11, 3)).to(dtype)


def train(module: nn.Module, optimizer: Optimizer, steps: int, scheduler: Any = None, start: int = 0) -> list[float]:
    """Somebody's own loop; the learning rate of every step is returned."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 8, 5, generator=generator, dtype=torch.float64).to(next(module.parameters()).dtype)
    y = torch.randint(3, (4, 8), generator=generator)
    rates = []
    for t in range(start, start + steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x[t % 4]), y[t % 4])
        loss.backward()
        optimizer.step()
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(1.0 + (t > 10))  # a loss that gets worse
        elif scheduler is not None:
            scheduler.step()
    return rates


def same_parameters(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def same_state(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_state(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@each_case
def test_100_steps_and_the_state_dict_equal_torchs(case: str) -> None:
    modules = network(), network()
    optimizers = [make(m.parameters()) for make, m in zip(pair(case), modules, strict=True)]
    for module, optimizer in zip(modules, optimizers, strict=True):
        train(module, optimizer, 100)
    assert same_parameters(*modules)
    assert not same_parameters(modules[0], network())
    ours, theirs = (o.state_dict() for o in optimizers)
    for group in ours["param_groups"]:
        group.pop("bias_correction", None)
    assert same_state(ours, theirs)


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_agrees_with_torch(case: str, dtype: torch.dtype) -> None:
    modules = network(dtype), network(dtype)
    for make, module in zip(pair(case), modules, strict=True):
        train(module, make(module.parameters()), 20)
    for p, q in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=1e-6)


@each_case
def test_tensors_of_any_size_layout_and_type_go_together(case: str) -> None:
    """One is larger than what is updated at a time, one lies in memory by channels, one is in single precision."""
    torch.manual_seed(0)
    tensors = [
        torch.randn(400, 400, dtype=torch.float64),
        torch.randn(150, 110, 3, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last),
        torch.randn(7, dtype=torch.float32),
        torch.randn((), dtype=torch.float64),
        torch.randn(40, 3, dtype=torch.float64).T,
    ]
    both = [[nn.Parameter(tensor.clone()) for tensor in tensors] for _ in range(2)]
    optimizers = [make(parameters) for make, parameters in zip(pair(case), both, strict=True)]
    assert not optimizers[0].state[both[0][0]]  # looking at it is no update
    for _ in range(3):
        for p, q in zip(*both, strict=True):
            p.grad = torch.randn(p.shape, dtype=p.dtype)
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(*both, strict=True):
        assert torch.equal(p, q)


@each_case
@pytest.mark.parametrize("to_torch", [False, True])
def test_a_state_dict_crosses_over_and_training_goes_on_identically(case: str, to_torch: bool) -> None:
    first, second = pair(case) if to_torch else pair(case)[::-1]
    straight = network()
    optimizer = second(straight.parameters())
    train(straight, optimizer, 60)

    crossed = network()
    before = first(crossed.parameters())
    train(crossed, before, 30)
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    after = second(crossed.parameters())
    after.load_state_dict(torch.load(file, weights_only=True))
    train(crossed, after, 30, start=30)
    assert same_parameters(straight, crossed)


@each_case
def test_a_state_dict_from_before_the_first_step_crosses_over(case: str) -> None:
    for first, second in (pair(case), pair(case)[::-1]):
        straight, crossed = network(), network()
        train(straight, second(straight.parameters()), 5)
        after = second(crossed.parameters())
        after.load_state_dict(first(crossed.parameters()).state_dict())
        train(crossed, after, 5)
        assert same_parameters(straight, crossed)


@each_case
@pytest.mark.parametrize("how", ["weights_only", "deepcopy", "pickle"])
def test_a_copy_goes_on_like_the_original(case: str, how: str) -> None:
    module = network()
    optimizer = pair(case)[0](module.parameters())
    train(module, optimizer, 10)
    if how == "deepcopy":
        other, resumed = copy.deepcopy((module, optimizer))
    elif how == "pickle":
        other, resumed = pickle.loads(pickle.dumps((module, optimizer)))
    else:
        file = io.BytesIO()
        torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        other = network()
        other.load_state_dict(saved["module"])
        resumed = getattr(optim, CASES[case][0])(other.parameters())  # its options come from the state dict
        resumed.load_state_dict(saved["optimizer"])
    train(module, optimizer, 10, start=10)
    train(other, resumed, 10, start=10)
    assert same_parameters(module, other)


SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [5, 20]),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=40),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=41, cycle_momentum=False),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=3),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=10),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("case", ["nesterov", "adagrad options", "rmsprop options", "adam", "adamw options"])
def test_torchs_schedulers_drive_it(case: str, scheduler: str) -> None:
    modules, rates = (network(), network()), []
    for make, module in zip(pair(case), modules, strict=True):
        optimizer = make(module.parameters())
        rates.append(train(module, optimizer, 40, SCHEDULERS[scheduler](optimizer)))
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1
    assert same_parameters(*modules)


@pytest.mark.parametrize("case", ["momentum", "adam"])
def test_one_cycle_may_cycle_the_momentum_too(case: str) -> None:
    modules = network(), network()
    for make, module in zip(pair(case), modules, strict=True):
        optimizer = make(module.parameters())
        train(module, optimizer, 40, lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=41))
    assert same_parameters(*modules)


@each_case
def test_groups_have_hyperparameters_of_their_own_and_may_be_added_later(case: str) -> None:
    modules, optimizers = (network(), network()), []
    for make, module in zip(pair(case), modules, strict=True):
        first, _, last = module  # type: ignore[misc]
        optimizer = make([{"params": [first.weight]}, {"params": [first.bias], "lr": 0.003, "weight_decay": 0.0}])
        train(module, optimizer, 10)
        optimizer.add_param_group({"params": last.parameters(), "lr": 0.02})
        train(module, optimizer, 10)
        optimizers.append(optimizer)
    assert [g["lr"] for g in optimizers[0].param_groups] == [g["lr"] for g in optimizers[1].param_groups]
    assert same_parameters(*modules)


@each_case
def test_a_parameter_without_gradient_is_left_alone_and_not_counted(case: str) -> None:
    modules = network(), network()
    for make, module in zip(pair(case), modules, strict=True):
        optimizer = make(module.parameters())
        still = module[0].weight  # type: ignore[index]
        still.requires_grad_(False)
        before = still.clone()
        train(module, optimizer, 5)
        assert torch.equal(still, before)
        still.requires_grad_(True)
        train(module, optimizer, 5)
    assert same_parameters(*modules)


@pytest.mark.parametrize("name", ["Adagrad", "RMSprop", "Adam", "AdamW"])
def test_the_step_counter_is_torchs(name: str) -> None:
    module = network()
    optimizer = getattr(optim, name)(module.parameters())
    train(module, optimizer, 3)
    for state in optimizer.state.values():
        assert state["step"].dtype == torch.float32
        assert state["step"].shape == ()
        assert state["step"].item() == 3


def test_a_state_dict_of_torch_keeps_our_own_bias_correction() -> None:
    module = network()
    theirs = torch.optim.Adam(module.parameters())
    train(module, theirs, 2)
    ours = optim.Adam(module.parameters(), bias_correction=False)
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["bias_correction"] is False


def test_adamw_stays_decoupled_after_adams_state_dict() -> None:
    """As torch has it: the decay that the state dict brings is applied in AdamW's way."""
    modules = network(), network()
    for library, module in zip((optim, torch.optim), modules, strict=True):
        adam = library.Adam(module.parameters(), lr=0.01, weight_decay=0.5)
        train(module, adam, 5)
        adamw = library.AdamW(module.parameters())
        adamw.load_state_dict(adam.state_dict())
        train(module, adamw, 5)
    assert same_parameters(*modules)


def test_a_state_dict_of_torch_with_a_tensor_as_lr_is_taken() -> None:
    module = network()
    theirs = torch.optim.Adam(module.parameters(), lr=torch.tensor(0.01, dtype=torch.float64))
    train(module, theirs, 3)
    ours = optim.Adam(module.parameters())
    ours.load_state_dict(theirs.state_dict())
    assert not isinstance(ours.param_groups[0]["lr"], Tensor)
    assert ours.param_groups[0]["lr"] == 0.01
    train(module, ours, 2)


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_a_state_dict_of_torchs_fused_form_goes_on_without_waiting_for_the_gpu(name: str) -> None:
    modules = network().cuda(), network().cuda()
    theirs = [getattr(torch.optim, name)(module.parameters(), fused=True) for module in modules]
    for module, optimizer in zip(modules, theirs, strict=True):
        for t in range(10):
            if t == 5 and module is modules[0]:
                state = optimizer.state_dict()
                optimizer = getattr(optim, name)(module.parameters())
                optimizer.load_state_dict(state)
                assert all(kept["step"].device.type == "cpu" for kept in optimizer.state.values())
            optimizer.zero_grad()
            module(torch.ones(8, 5, dtype=torch.float64, device="cuda")).square().sum().backward()
            torch.cuda.set_sync_debug_mode("error" if module is modules[0] and t >= 5 else "default")
            optimizer.step()
            torch.cuda.set_sync_debug_mode("default")
    for p, q in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)
