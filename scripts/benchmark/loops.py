"""The training loops that are compared. Each makes a measurement: seconds per step, of an epoch with shuffling.

All train the same MLP on the same samples with ReLU, softmax cross-entropy and Adam (lr 0.001), in float32. A maker
raises ImportError if its library is not installed.
"""

import itertools
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from benchmark.timing import seconds_of
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nettrain.config.build import to_config
from nettrain.config.schema import config_folder, register
from nettrain.preparation.prepare import prepare
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.device import threads_for
from nettrain.training.signals import Signals
from nettrain.training.trainer import Trainer

Measure = Callable[[], float]


@dataclass
class Work:
    """What is trained: the hidden widths, the batch size, and x (n, D), y (n,)."""

    hidden: list[int]
    bs: int
    run: PreparedRun
    x: Tensor
    y: Tensor

    @property
    def steps(self) -> int:
        return -(-len(self.y) // self.bs)

    def model(self) -> nn.Module:
        widths = [self.x.shape[1], *self.hidden]
        layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def work(hidden: list[int], bs: int, samples: int) -> Work:
    """An MLP on the first `samples` of the training rows of digits, repeated where there are not so many."""
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        never = "checkpoint.every_seconds=1e9"  # a save that is due would end a pass
        overrides = [f"bs={bs}", f"model.hidden={hidden}", "tensorboard=false", "quiet=true", "epochs=1000000", never]
        run = prepare(to_config(compose("train", overrides)), Path(tempfile.mkdtemp()))
    rows = np.resize(run.data.splits["train"], samples)
    run = replace(run, data=replace(run.data, splits={**run.data.splits, "train": rows}))
    x, y = torch.as_tensor(run.data.x[rows], dtype=torch.float32), torch.as_tensor(run.data.y[rows])
    return Work(hidden, bs, run, x, y)


def dataloader(w: Work) -> Measure:
    """The loop of most tutorials."""
    net, loader = w.model(), DataLoader(TensorDataset(w.x, w.y), w.bs, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters())
    return seconds_of(lambda: _loop(net, optimizer, loader), w.steps)


def in_memory(w: Work) -> Measure:
    """The fastest plain loop: batches are slices of a permuted copy, and Adam is fused."""
    net = w.model()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def epoch() -> None:
        order = torch.randperm(len(w.y))
        _loop(net, optimizer, zip(w.x[order].split(w.bs), w.y[order].split(w.bs), strict=True))

    return seconds_of(epoch, w.steps)


def _loop(net: nn.Module, optimizer: torch.optim.Optimizer, batches: object) -> None:
    for x, y in batches:  # type: ignore[attr-defined]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()


def lightning(w: Work) -> Measure:
    """Lightning's Trainer without checkpoints, logger and bar: the second epoch of a fit."""
    import lightning as L

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.seconds = w.model(), 0.0

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

        def on_train_epoch_start(self) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.seconds = time.perf_counter() - self.started

    module, loader = Module(), DataLoader(TensorDataset(w.x, w.y), w.bs, shuffle=True)
    quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)

    def measure() -> float:
        L.Trainer(accelerator="cpu", max_epochs=2, **quiet).fit(module, loader)
        return module.seconds / w.steps

    return measure


def skorch(w: Work) -> Measure:
    """skorch's NeuralNetClassifier without validation: the second of two epochs, as its history has it."""
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        w.model(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=w.bs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).initialize()
    x, y = w.x.numpy(), w.y.numpy()

    def measure() -> float:
        net.partial_fit(x, y, epochs=2)
        return float(net.history[-1]["dur"]) / w.steps

    return measure


def sklearn(w: Work) -> Measure:
    """scikit-learn's MLPClassifier, one epoch at a time."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    net = MLPClassifier(w.hidden, batch_size=min(w.bs, len(w.y)), max_iter=1, warm_start=True, alpha=0.0)
    x, y = w.x.numpy(), w.y.numpy()
    return seconds_of(lambda: net.fit(x, y), w.steps)


def jax_step(w: Work) -> Measure:
    """One jitted step for each batch."""
    import jax

    state, step = _jax(w)
    x, y, rng, jitted = w.x.numpy(), w.y.numpy(), np.random.default_rng(0), jax.jit(step, donate_argnums=0)
    whole = len(y) // w.bs * w.bs

    def epoch() -> None:
        nonlocal state
        for rows in rng.permutation(len(y))[:whole].reshape(-1, w.bs):
            state, _ = jitted(state, (x[rows], y[rows]))
        jax.block_until_ready(state)

    return seconds_of(epoch, len(y) // w.bs)


def jax_scan(w: Work) -> Measure:
    """A whole epoch as one jitted scan."""
    import jax

    state, step = _jax(w)
    x, y, rng = jax.numpy.asarray(w.x.numpy()), jax.numpy.asarray(w.y.numpy()), np.random.default_rng(0)
    whole = len(y) // w.bs * w.bs

    @partial(jax.jit, donate_argnums=0)
    def scanned(state: object, order: object) -> object:
        return jax.lax.scan(lambda state, rows: step(state, (x[rows], y[rows])), state, order)

    def epoch() -> None:
        nonlocal state
        state, losses = scanned(state, rng.permutation(len(y))[:whole].reshape(-1, w.bs))
        jax.block_until_ready((state, losses))

    return seconds_of(epoch, len(y) // w.bs)


def _jax(w: Work) -> tuple[object, Callable]:
    """The state of an MLP with optax.adam, and its step: (state, batch) -> (state, loss)."""
    import jax
    import optax

    layers = [layer for layer in w.model() if isinstance(layer, nn.Linear)]
    weights = [tuple(jax.numpy.asarray(p.detach().numpy()) for p in (each.weight.T, each.bias)) for each in layers]
    adam = optax.adam(1e-3)

    def loss(weights: list, x: object, y: object) -> object:
        for a, b in weights[:-1]:
            x = jax.nn.relu(x @ a + b)
        return optax.softmax_cross_entropy_with_integer_labels(x @ weights[-1][0] + weights[-1][1], y).mean()

    def step(state: tuple, batch: tuple) -> tuple:
        weights, moments = state
        value, gradient = jax.value_and_grad(loss)(weights, *batch)
        updates, moments = adam.update(gradient, moments)
        return (optax.apply_updates(weights, updates), moments), value

    return (weights, adam.init(weights)), step


def nettrain(w: Work, engine: str) -> Measure:
    """The pass over the training split that every run of nettrain makes."""
    run = replace(w.run, config=replace(w.run.config, engine=engine))
    trainer, signals = Trainer([run], torch.device("cpu")), Signals()
    trainer.choose_engine(signals)

    def epoch() -> None:
        with threads_for(run.parameters * w.bs):
            trainer.train_epoch(trainer.learning_rates(), signals)
        trainer.epoch += 1

    return seconds_of(epoch, w.steps)


LOOPS: dict[str, Callable[[Work], Measure]] = {
    "PyTorch, DataLoader": dataloader,
    "PyTorch, in memory, fused": in_memory,
    "Lightning": lightning,
    "skorch": skorch,
    "scikit-learn": sklearn,
    "JAX, jitted step": jax_step,
    "JAX, scan": jax_scan,
    "nettrain, eager": partial(nettrain, engine="eager"),
    "nettrain, compiled": partial(nettrain, engine="compiled"),
}
