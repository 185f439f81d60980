"""What is measured on a GPU: seconds of an update of one run, alone or in a stack; the device is waited for."""

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark.loops import Work, _jax, work
from benchmark.networks import enlarged, module, samples
from benchmark.sweeps import RATES, SEEDS
from benchmark.timing import seconds_of
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from nettrain.config.build import to_config
from nettrain.config.schema import config_folder, register
from nettrain.preparation.prepare import prepare
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.signals import Signals
from nettrain.training.trainer import Trainer

GPU = torch.device("cuda")
Measure = Callable[[], float]


def _finished(work: Callable[[], object], times: int) -> Measure:
    def all_of_it() -> None:
        work()
        torch.cuda.synchronize()

    return seconds_of(all_of_it, times)


def _run(*overrides: str) -> PreparedRun:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        common = ["tensorboard=false", "quiet=true", "epochs=1000000", "checkpoint.every_seconds=1e9", "device=cuda"]
        return prepare(to_config(compose("train", [*common, *overrides])), Path(tempfile.mkdtemp()))


def mlp() -> PreparedRun:
    return _run("bs=8", "model.hidden=[64,64]")


def lenet() -> PreparedRun:
    """LeNet on digits enlarged to 28x28."""
    return _run("bs=64", "data=npz", f"data.path={enlarged()}", "model=cnn")


def nettrain(run: PreparedRun, rows: int, engine: str) -> Measure:
    """Whole passes over the training split by nettrain's own loop, in a stack of so many rows."""
    runs = []
    for i in range(rows):
        rule = replace(run.optimizer, lr=float(RATES[i % len(RATES)]))  # type: ignore[type-var]
        runs.append(replace(run, config=replace(run.config, seed=i % SEEDS, engine=engine, optimizer=rule)))
    trainer, signals = Trainer(runs, GPU), Signals()
    trainer.choose_engine(signals)

    def epoch() -> None:
        trainer.train_epoch(trainer.learning_rates(), signals)
        trainer.epoch += 1

    return _finished(epoch, rows * run.updates_per_epoch)


def _data(run: PreparedRun) -> tuple[Tensor, Tensor]:
    x, y = samples(run)
    return x.to(GPU), y.to(GPU)


def plain(run: PreparedRun, compiled: bool = False) -> Measure:
    """The fastest plain loop: data on the device, batches from a permuted copy, fused Adam; perhaps torch.compile."""
    (x, y), net = _data(run), _module(run).to(GPU)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    bs, steps = run.batch_size, len(y) // run.batch_size

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(net(x), y)

    value = torch.compile(loss, mode="reduce-overhead") if compiled else loss

    def epoch() -> None:
        order = torch.randperm(len(y), device=GPU)[: steps * bs]
        for a, b in zip(x[order].split(bs), y[order].split(bs), strict=True):
            optimizer.zero_grad()
            value(a, b).backward()
            optimizer.step()

    return _finished(epoch, steps)


def _module(run: PreparedRun) -> nn.Module:
    if run.config.model.name == "cnn":
        return module(run)
    widths = [np.asarray(run.data.x).shape[1], *run.config.model.hidden]  # type: ignore[union-attr]
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def lightning(run: PreparedRun) -> Measure:
    """Lightning's Trainer without checkpoints, logger and bar: the second epoch of a fit."""
    import logging
    import time

    import lightning as L

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    x, y = (t.cpu() for t in _data(run))

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.seconds = _module(run), 0.0

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), fused=True)

        def on_train_epoch_start(self) -> None:
            torch.cuda.synchronize()
            self.started = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.started

    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, run.batch_size, shuffle=True, drop_last=True)
    module = Module()
    quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)

    def measure() -> float:
        L.Trainer(accelerator="gpu", devices=1, max_epochs=2, **quiet).fit(module, loader)
        return module.seconds / len(loader)

    return measure


def jax_rows(run: PreparedRun, rows: int) -> Measure:
    """`vmap` over runs of a jitted `lax.scan` over an epoch, with optax's Adam; the orders are there before."""
    import jax

    w: Work = work(list(run.config.model.hidden), run.batch_size, len(run.data.splits["train"]))  # type: ignore
    state, step = _jax(w)
    x, y, rng = jax.numpy.asarray(w.x.numpy()), jax.numpy.asarray(w.y.numpy()), np.random.default_rng(0)
    steps = len(y) // w.bs
    state = jax.tree.map(lambda leaf: jax.numpy.repeat(jax.numpy.asarray(leaf)[None], rows, 0), state)
    orders = np.stack([rng.permutation(len(y))[: steps * w.bs].reshape(steps, w.bs) for _ in range(SEEDS)])
    orders = jax.device_put(orders[np.arange(rows) % SEEDS].astype(np.int32))

    @partial(jax.jit, donate_argnums=0)
    @jax.vmap
    def scanned(state: Any, order: Any) -> Any:
        return jax.lax.scan(lambda state, chosen: step(state, (x[chosen], y[chosen])), state, order)

    def epoch() -> None:
        nonlocal state
        state, losses = scanned(state, orders)
        jax.block_until_ready((state, losses))

    return _finished(epoch, steps * rows)


def large() -> PreparedRun:
    return _run("bs=512", "model.hidden=[4096,4096]")


def _stacks(rows: int) -> dict[str, Callable[[], Measure]]:
    run = mlp()
    return {
        "nettrain, compiled": partial(nettrain, run, rows, "compiled"),
        "nettrain, graph": partial(nettrain, run, rows, "graph"),
        "JAX, vmap of a scan": partial(jax_rows, run, rows),
    }


def _alone(run: PreparedRun, *engines: str) -> dict[str, Callable[[], Measure]]:
    loops: dict[str, Callable[[], Measure]] = {
        f"nettrain, {engine}": partial(nettrain, run, 1, engine) for engine in engines
    }
    loops["PyTorch, on the device, fused Adam"] = partial(plain, run)
    loops["the same, torch.compile with CUDA graphs"] = partial(plain, run, compiled=True)
    loops["Lightning"] = partial(lightning, run)
    if run.config.model.name == "mlp":
        loops["JAX, scan"] = partial(jax_rows, run, 1)
    return loops


TABLES: dict[str, Callable[[], dict[str, Callable[[], Measure]]]] = {
    "MLP, 1 run": lambda: _alone(mlp(), "compiled", "graph", "eager"),
    "MLP, 256 runs": partial(_stacks, 256),
    "MLP, 4096 runs": partial(_stacks, 4096),
    "MLP, 65536 runs": partial(_stacks, 65536),
    "LeNet, 1 run": lambda: _alone(lenet(), "graph", "eager"),
    "LeNet, 256 runs": lambda: {f"nettrain, {e}": partial(nettrain, lenet(), 256, e) for e in ("graph", "eager")},
    "large MLP, 1 run": lambda: _alone(large(), "graph", "eager"),
}
