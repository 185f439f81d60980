"""Checks for parts of your own: whether one keeps the promises that training, stacks and compiled programs rely on.

Call them from a test: each raises an `AssertionError` whose sentence names the promise that is not kept. nettrain's own
parts go through them, too.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.pieces import Pieces
from nettrain.optimizers.rules import Coefficients, Rule
from nettrain.parts.callbacks import Callback, RunView, misshapen, plain
from nettrain.parts.heads import Head
from nettrain.parts.schedules import Schedule
from nettrain.vector import Layout

ROWS, WEIGHTS, UPDATES = 3, 7, 20
_LAYOUT = Layout(("layer.weight", "layer.bias"), ((2, 3), (1,)))


def check_activation(function: Callable[..., Tensor], **arguments: Any) -> None:
    """Check an activation y = f(x, **arguments): it works number by number, in both precisions, with the right slope.

    The slope is that of its `backward` or, without one, autograd's, beside central differences of float64 numbers.
    """
    f = partial(function, **arguments)
    x = _normal(0, 4, 16) * 2
    y = f(x)
    _require(y.shape == x.shape and y.dtype == x.dtype, "f(x) has the shape and the type of x")
    one_by_one = torch.stack([f(number) for number in x.reshape(-1, 1)]).reshape(x.shape)
    _require_close(y, one_by_one, "f works on each number by itself")
    _require_close(f(x.float()).double(), y, "f is the same in float32", 1e-4)
    step = 1e-6
    slope = (f(x + step) - f(x - step)) / (2 * step)
    before, d = x.clone(), _normal(1, 4, 16)
    backward = getattr(function, "backward", None)
    derivative = backward(d, x, y, **arguments) if backward else torch.func.vjp(f, x)[1](d)[0]
    _require_close(derivative, d * slope, "d f'(x) is the derivative", 1e-5)
    _require(bool((x == before).all()), "backward leaves x as it is")


def check_rule(rule: Rule) -> None:
    """Check an update rule: rows of a stack do not mix, and each is what it is alone; nothing is drawn or remembered.

    Without `clip_norm` it has to work number by number, too: only so can it be split for the cache and compiled. A rule
    with `by_layer` is given parameters of the shapes (2, 3) and (1,) instead.
    """
    w, gradients = _normal(0, ROWS, WEIGHTS), _normal(1, UPDATES, ROWS, WEIGHTS)
    rates = np.array([1.0, 0.5, 0.1])[:ROWS] * (rule.lr or 0.1)
    alone = torch.stack([_descend(rule, w[k], gradients[:, k], float(rates[k])) for k in range(ROWS)])
    _require(bool(alone.isfinite().all()), "weights stay finite")
    _require(
        bool((_descend(rule, w[0], gradients[:, 0], float(rates[0])) == alone[0]).all()),
        "the same start gives the same weights",
    )
    _require_close(_descend(rule, w, gradients, rates), alone, "rows of a stack are what each is alone", 1e-12)
    if not rule.by_layer:
        order = torch.randperm(WEIGHTS, generator=torch.Generator().manual_seed(2))
        plain = replace(rule, clip_norm=None)
        ordered = _descend(plain, w[0][order], gradients[:, 0][:, order], float(rates[0]))
        straight = _descend(plain, w[0], gradients[:, 0], float(rates[0]))
        _require_close(ordered, straight[order], "the update works on each number by itself", 1e-12)
    single = _descend(rule, w.float(), gradients.float(), rates)
    _require(single.dtype == torch.float32, "weights keep their type")
    _require_close(single.double(), alone, "the rule is the same in float32", 1e-2)


def _descend(rule: Rule, w: Tensor, gradients: Tensor, lr: float | np.ndarray) -> Tensor:
    """The weights after an update for each of the gradients; with an array of rates w are the rows of a stack."""
    w = w.clone()
    state = rule.init(w)
    for name, tensor in state.items():
        _require(isinstance(tensor, Tensor) and tensor.shape == w.shape, f"the state {name} is a tensor of w's shape")
    names, pieces = set(state), Pieces(_LAYOUT, [Factors()] * len(_LAYOUT.names), rule.by_layer)
    for t, g in enumerate(gradients, 1):
        scalars = rule.all_coefficients(t if isinstance(lr, float) else np.full(len(lr), float(t)), lr)
        c: Coefficients = {
            name: float(value)
            if isinstance(lr, float)
            else torch.tensor(np.broadcast_to(np.asarray(value, dtype=float), lr.shape), dtype=w.dtype)[:, None]
            for name, value in scalars.items()
        }
        pieces.step(rule, state, w, g.clone(), c)
        _require(set(state) == names, "update makes no new state: init does")
    return w


def check_schedule(schedule: Schedule, epochs: int = 20, per_epoch: int = 5) -> None:
    """Check a schedule: its factors are numbers of 0 or more, alike for one update and for many, and pure functions."""
    t = np.arange(epochs * per_epoch, dtype=float)
    factors = schedule.lr_factors(t, per_epoch, len(t))
    _require(factors.shape == t.shape, "factor gives a number for each update")
    _require(bool(np.isfinite(factors).all() and (factors >= 0).all()), "factors are finite, and 0 or more")
    one_by_one = np.concatenate([schedule.lr_factors(t[i : i + 1], per_epoch, len(t)) for i in range(len(t))])
    _require(bool(np.allclose(one_by_one, factors, rtol=1e-12)), "an update's factor does not depend on the others")
    for loss in (1.0, 0.5, 0.7, 0.7, math.nan):
        schedule.observe(loss)
    later, copy = schedule.lr_factors(t, per_epoch, len(t)), replace(schedule)
    copy.restore(schedule.state())
    _require(bool((copy.lr_factors(t, per_epoch, len(t)) == later).all()), "restore takes back what state gives")


def check_head(head: Head, classes: int = 0, samples: int = 12) -> None:
    """Check a head for targets of so many classes, 0 for numbers; one of several targets, (n, m), too.

    Its loss is that of each sample by itself, with the right derivative, in both precisions; probabilities add up to 1;
    rows of a stack do not mix; nothing is drawn or changed.
    """
    head = head.for_target(classes)
    outputs = head.outputs(classes)
    z = _normal(0, ROWS, samples, outputs)
    generator = torch.Generator().manual_seed(1)
    shape = (samples, *head.event_shape)
    y = torch.randint(classes, shape, generator=generator) if classes else _normal(1, *shape).abs()
    ys = y.expand(ROWS, *shape)
    before, loss = z.clone(), head.loss(z, ys)
    _require(loss.shape == (ROWS, samples), "loss gives a number for each sample")
    _require(bool((head.loss(z, ys) == loss).all()), "the same outputs give the same loss")
    for i in range(samples):
        one = head.loss(z[0, i : i + 1], y[i : i + 1])
        _require_close(one, loss[0, i : i + 1], "the loss of a sample does not depend on the others", 1e-10)
    single = head.loss(z.float(), ys if classes else ys.float())
    _require(single.dtype == torch.float32, "the loss has the type of the outputs")
    _require_close(single.double(), loss, "the loss is the same in float32", 1e-4)
    _require_close(head.loss(z, ys, "sum"), loss.sum(), "reduction='sum' is the sum of all losses", 1e-10)
    for k in range(ROWS):
        _require_close(head.loss(z[k], y), loss[k], "rows of a stack are what each is alone", 1e-10)
    x = z.clone().requires_grad_(True)
    (derivative,) = torch.autograd.grad(head.loss(x, ys).sum(), x)
    _require_close(head.loss_gradient(z, ys), derivative, "loss_gradient is the derivative of the loss by z", 1e-8)
    _require(bool((z == before).all()), "nothing changes the outputs in place")
    step = 1e-6
    for i in range(outputs):
        shift = torch.zeros(outputs, dtype=z.dtype)
        shift[i] = step
        slope = (head.loss(z + shift, ys) - head.loss(z - shift, ys)) / (2 * step)
        _require_close(derivative[..., i], slope, "the loss has the slope that autograd finds", 1e-4)
    mean = head.mean(z)
    _require(mean.shape[:2] == (ROWS, samples), "mean has a value for each sample")
    if head.event_shape:
        _require(mean.shape[2:] == head.event_shape, "mean has a value for each target")
    elif classes:
        _require(mean.shape[2:] == (classes,), "mean has a probability for each class")
        _require_close(mean.sum(-1), torch.ones_like(mean[..., 0]), "probabilities add up to 1", 1e-8)
    _require(head.predict(z).shape == ys.shape, "predict gives one value for each sample")
    for name, value in head.metrics(z, ys).items():
        _require(value.shape == (ROWS,), f"the metric {name} is a number for each row")
        alone = torch.stack([head.metrics(z[k], y)[name] for k in range(ROWS)])
        same = torch.allclose(value.double(), alone.double(), equal_nan=True)
        _require(same, f"the metric {name} of a row is what it is alone")


def check_callback(callback: Callback, epochs: int = 6) -> None:
    """Check a callback: its hooks can be called, and one that goes on from its state does what it would have done.

    It is shown a small linear model, whose weights are drawn anew in each epoch, and numbers of a usual run; files go
    into a folder that is removed afterwards. Copies are called, not the callback itself.
    """
    why = misshapen(callback)
    _require(why is None, f"it is a callback ({why})")
    whole = _accompany(copy.deepcopy(callback), None, 0, epochs)
    half = epochs // 2
    first = _accompany(copy.deepcopy(callback), None, 0, half)
    _require(first.told == whole.told[: len(first.told)], "it does the same twice")
    _require(isinstance(first.state, dict), "state_dict gives a dictionary")
    plain(first.state)  # its TypeError says what a checkpoint cannot keep
    if first.ended:
        return
    rest = _accompany(copy.deepcopy(callback), copy.deepcopy(first.state), half, epochs)
    _require(rest.told == whole.told[half:], "load_state_dict takes back what state_dict gives, so that it goes on")


@dataclass
class _Accompanied:
    """What a callback has told of each epoch, the state that it gave, and whether it has ended the run."""

    told: list[tuple[str | None, dict[str, float]]]
    state: Any
    ended: bool


def _accompany(callback: Callback, state: Any, first: int, epochs: int) -> _Accompanied:
    """Call a callback as a run does that goes on after `first` epochs, up to epoch `epochs`."""
    told: list[tuple[str | None, dict[str, float]]] = []
    with TemporaryDirectory() as folder:

        def shown(epoch: int, **present: Any) -> RunView:
            weights = _normal(epoch, 2, 3)
            model = torch.nn.Linear(3, 2, dtype=torch.float64)
            with torch.no_grad():
                model.weight.copy_(weights)
                model.bias.zero_()
            loss = 1 / (epoch + 1)
            numbers = {"epoch": epoch, "step": 4 * epoch, "seconds": 0.1 * epoch, "train_loss": loss, "val_loss": loss}
            return RunView(
                folder=Path(folder),
                config={"seed": 0, "epochs": epochs},
                hparams={"optimizer": "sgd"},
                numbers={**numbers, "lr": 0.1} if epoch else {},
                best={**numbers, "lr": 0.1} if epoch else {},
                _module=lambda best: copy.deepcopy(model).eval(),
                _samples=lambda split: (_normal(0, 8, 3), torch.arange(8) % 2),
                **present,
            )

        if state is not None:
            callback.load_state_dict(state)
        callback.start(shown(first))
        reason = None
        for epoch in range(first + 1, epochs + 1):
            recorded: dict[str, float] = {}
            reason = callback.epoch(
                shown(epoch, _record=lambda name, value, r=recorded: r.update({name: float(value)}))
            )
            _require(reason is None or isinstance(reason, str), "epoch returns None, or a text")
            told.append((reason, recorded))
            if reason:
                break
        callback.save(shown(len(told) + first))
        state = callback.state_dict()
        state = copy.deepcopy(state)
        callback.end(shown(len(told) + first, status="completed", summary={"status": "completed", "test_loss": 0.5}))
    return _Accompanied(told, state, reason is not None)


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _require(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"{promise}: this does not hold.")


def _require_close(value: Tensor, expected: Tensor, promise: str, tolerance: float = 1e-12) -> None:
    _require(value.shape == expected.shape, promise)
    difference = float((value - expected).abs().max() / (1 + expected.abs().max())) if value.numel() else 0.0
    _require(difference <= tolerance, f"{promise} (difference {difference:.2g})")
