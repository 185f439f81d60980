"""Networks beyond the MLP: a LeNet on 8x8 and 28x28 images, a GRU and a residual MLP, one run and a stack of many.

All are trained with Adam, in float32, on digits; each makes a measurement: seconds of an update of one run. JAX runs
one scan of an epoch, for a stack under `vmap`.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark.timing import alternating, seconds_of
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from nettrain.config.build import to_config
from nettrain.config.schema import config_folder, register
from nettrain.preparation.prepare import prepare
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.device import threads_for
from nettrain.training.signals import Signals
from nettrain.training.trainer import Trainer

Measure = Callable[[], float]
ROWS = {"LeNet, 8x8": 64, "LeNet, 28x28": 16, "GRU, 8 steps of 8": 64, "residual MLP": 64}  # of a stack
SAMPLES = 320  # of an epoch that is measured
BS = 32
CPU = torch.device("cpu")


def prepared(*overrides: str) -> PreparedRun:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        common = ["tensorboard=false", "quiet=true", "epochs=1000000", "checkpoint.every_seconds=1e9", f"bs={BS}"]
        run = prepare(to_config(compose("train", [*common, *overrides])), Path(tempfile.mkdtemp()))
    rows = run.data.splits["train"][:SAMPLES]
    return replace(run, data=replace(run.data, splits={**run.data.splits, "train": rows}))


def enlarged() -> Path:
    """Digits as images of 28x28 bytes."""
    from sklearn.datasets import load_digits

    digits, path = load_digits(), Path(tempfile.mkdtemp()) / "digits.npz"
    images = np.kron(digits.images, np.ones((1, 4, 4)))[:, 2:30, 2:30]
    np.savez(path, x=(images * 15).astype(np.uint8), y=digits.target)
    return path


WORKS: dict[str, Callable[[], PreparedRun]] = {
    "LeNet, 8x8": lambda: prepared("data=digits_images", "model=cnn"),
    "LeNet, 28x28": lambda: prepared("data=npz", f"data.path={enlarged()}", "model=cnn"),
    "GRU, 8 steps of 8": lambda: prepared("data=digits_rows", "model=gru"),
    "residual MLP": lambda: prepared("data=digits", "model=resmlp"),
}


def nettrain(run: PreparedRun, rows: int = 1) -> Measure:
    """The pass over the training split that every run makes, with the engine that nettrain chooses."""
    runs = [replace(run, config=replace(run.config, seed=i)) for i in range(rows)]
    trainer, signals = Trainer(runs, CPU, threads=torch.get_num_threads()), Signals()
    trainer.choose_engine(signals)

    def epoch() -> None:
        with threads_for(run.multiplications * BS * rows):
            trainer.train_epoch(trainer.learning_rates(), signals)
        trainer.epoch += 1

    return seconds_of(epoch, rows * run.updates_per_epoch)


def samples(run: PreparedRun) -> tuple[Tensor, Tensor]:
    """x and y of the training split, floats; of images (n, 1, H, W)."""
    rows = run.data.splits["train"]
    x = torch.as_tensor(np.asarray(run.data.x)[rows], dtype=torch.float32)
    x = x.unsqueeze(1) if run.config.model.name == "cnn" and x.dim() == 3 else x
    return x / x.max(), torch.as_tensor(run.data.y[rows])


class Recurrent(nn.Module):
    """A GRU whose last state is classified."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gru, self.last = nn.GRU(inputs, hidden, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.gru(x)[0][:, -1])


class ResidualBlock(nn.Module):
    """x + W2 f(W1 norm(x))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        layers = [nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)]
        self.inside = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inside(x)


def module(run: PreparedRun) -> nn.Module:
    """The same network of torch's own layers."""
    config: Any = run.config.model
    if config.name == "resmlp":
        blocks = [ResidualBlock(config.width, config.hidden) for _ in range(config.blocks)]
        last = nn.LayerNorm(config.width), nn.ReLU(), nn.Linear(config.width, 10)
        return nn.Sequential(nn.Linear(samples(run)[0].shape[-1], config.width), *blocks, *last)
    if config.name == "gru":
        return Recurrent(samples(run)[0].shape[-1], config.hidden)
    (c1, c2), (hidden,), side = config.channels, config.hidden, samples(run)[0].shape[-1] // 4
    convolutions: list[nn.Module] = [nn.Conv2d(1, c1, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(c1, c2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*convolutions, nn.Linear(c2 * side**2, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def plain(run: PreparedRun) -> Measure:
    """The fastest plain loop: batches are slices of a permuted copy, and Adam is fused."""
    (x, y), net = samples(run), module(run)
    assert sum(p.numel() for p in net.parameters()) == run.parameters
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def epoch() -> None:
        order = torch.randperm(len(y))
        for a, b in zip(x[order].split(BS), y[order].split(BS), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(a), b).backward()
            optimizer.step()

    return seconds_of(epoch, run.updates_per_epoch)


def jax_scan(run: PreparedRun, rows: int = 1) -> Measure:
    """A whole epoch as one jitted scan, under `vmap` for several runs, with optax's Adam."""
    import jax
    import optax

    x, y = (jax.numpy.asarray(part.numpy()) for part in samples(run))
    logits = {"gru": _jax_gru, "cnn": _jax_lenet, "resmlp": _jax_resmlp}[run.config.model.name]
    weights = [jax.numpy.asarray(p.detach().numpy()) for p in module(run).parameters()]
    adam, rng = optax.adam(1e-3), np.random.default_rng(0)

    def loss(weights: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits(weights, x), y).mean()

    def step(state: Any, chosen: Any) -> Any:
        weights, moments = state
        value, gradient = jax.value_and_grad(loss)(weights, x[chosen], y[chosen])
        updates, moments = adam.update(gradient, moments)
        return (optax.apply_updates(weights, updates), moments), value

    state: Any = (weights, adam.init(weights))
    state = jax.tree.map(lambda leaf: jax.numpy.repeat(jax.numpy.asarray(leaf)[None], rows, 0), state)
    scanned = jax.jit(jax.vmap(lambda state, order: jax.lax.scan(step, state, order)), donate_argnums=0)

    def epoch() -> None:
        nonlocal state
        order = np.stack([rng.permutation(len(y)).reshape(-1, BS) for _ in range(rows)])
        state, losses = scanned(state, order)
        jax.block_until_ready((state, losses))

    return seconds_of(epoch, rows * run.updates_per_epoch)


def _jax_lenet(weights: Any, x: Any) -> Any:
    import jax

    for kernel, bias in (weights[0:2], weights[2:4]):
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME") + bias[:, None, None]
        x = jax.lax.reduce_window(jax.nn.relu(x), -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = jax.nn.relu(x.reshape(len(x), -1) @ weights[4].T + weights[5])
    return x @ weights[6].T + weights[7]


def _jax_gru(weights: Any, x: Any) -> Any:
    import jax

    into, recurrent, b_into, b_recurrent, last, bias = weights

    def one(h: Any, a: Any) -> Any:
        (r, z, n), (hr, hz, hn) = jax.numpy.split(a, 3, -1), jax.numpy.split(h @ recurrent.T + b_recurrent, 3, -1)
        r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        return (1 - z) * jax.numpy.tanh(n + r * hn) + z * h, None

    steps = jax.numpy.moveaxis(x @ into.T + b_into, 1, 0)
    h, _ = jax.lax.scan(one, jax.numpy.zeros((len(x), recurrent.shape[1])), steps)
    return h @ last.T + bias


def _jax_resmlp(weights: Any, x: Any) -> Any:
    import jax

    def normed(x: Any, scale: Any, shift: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x / jax.numpy.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale + shift

    first, bias, *blocks, scale, shift, last, last_bias = weights
    x = x @ first.T + bias
    for i in range(0, len(blocks), 6):
        norm, norm_shift, w1, b1, w2, b2 = blocks[i : i + 6]
        x = x + jax.nn.relu(normed(x, norm, norm_shift) @ w1.T + b1) @ w2.T + b2
    return jax.nn.relu(normed(x, scale, shift)) @ last.T + last_bias


def networks(seconds: float) -> list[dict[str, Any]]:
    """A cell for every network."""
    cells = []
    for name, maker in WORKS.items():
        run, rows = maker(), ROWS[name]
        makers: dict[str, Callable[[], Measure]] = {
            "nettrain, 1 run": partial(nettrain, run),
            "nettrain, a stack": partial(nettrain, run, rows),
            "PyTorch, in memory, fused": partial(plain, run),
            "JAX, scan": partial(jax_scan, run),
            "JAX, vmap of a scan for as many": partial(jax_scan, run, rows),
        }
        measures = {}
        for key, make in makers.items():
            try:
                measures[key] = make()
            except ImportError as error:
                print(f"{key}: left out, {error}")
        spreads = alternating(measures, seconds)
        cells.append(
            {"name": f"{name}, a stack of {rows}", "seconds": {key: asdict(spread) for key, spread in spreads.items()}}
        )
    return cells
