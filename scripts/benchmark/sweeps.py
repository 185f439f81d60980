"""What a sweep of 256 runs takes: whole processes, and steps in steady state."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from benchmark.loops import Work, _jax, work
from benchmark.timing import seconds_of

from nettrain import data
from nettrain.preparation.rows import fast_rows
from nettrain.training.signals import Signals
from nettrain.training.trainer import Trainer

RATES = ("0.0003", "0.001", "0.003", "0.01")
SEEDS = 64
HERE = Path(__file__).parent
PEER_RUNS = (8, 24)  # of Lightning and the basic launcher: the time of 256 runs lies on the line through these


def whole(program: list[str], runs: int, *overrides: str) -> Callable[[], float]:
    """Seconds of a process that sweeps over learning rates and seeds, `runs` in all, and writes all files."""

    def sweep() -> None:
        with tempfile.TemporaryDirectory() as folder:
            seeds = f"seed=range({runs // len(RATES)})"
            command = [sys.executable, *program, "-m", seeds, *overrides, f"hydra.sweep.dir={folder}/sweep"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])

    return seconds_of(sweep)


def nettrain(launcher: str, runs: int, *overrides: str) -> Callable[[], float]:
    rates = "optimizer.lr=" + ",".join(RATES)
    return whole(
        [str(HERE.parents[1] / "train.py")], runs, rates, "bs=8", "epochs=5", f"hydra/launcher={launcher}", *overrides
    )


def lightning(launcher: str, runs: int, file: Path) -> Callable[[], float]:
    rates = "lr=" + ",".join(RATES)
    jobs = [f"hydra.launcher.n_jobs={os.cpu_count()}"] if launcher == "joblib" else []
    return whole([str(HERE / "lightning_sweep.py")], runs, rates, f"data={file}", f"hydra/launcher={launcher}", *jobs)


def save_digits(file: Path) -> None:
    """The splits of nettrain's seed 0, for the peers."""
    loaded = data.load(work([64, 64], 8, 1257).run.config.data, 0)  # type: ignore[attr-defined]
    arrays = {f"x_{name}": loaded.x[rows].astype(np.float32) for name, rows in loaded.splits.items()}
    np.savez(file, **arrays, **{f"y_{name}": loaded.y[rows] for name, rows in loaded.splits.items()})


def stacked_steps(rows: int, engine: str) -> Callable[[], float]:
    """Seconds per step of one run, in a stack of so many: passes over the training split, with shuffling."""
    w = work([64, 64], 8, 1257)
    runs = []
    for i in range(rows):
        rule = replace(w.run.optimizer, lr=float(RATES[i % len(RATES)]))  # type: ignore[type-var]
        config = replace(w.run.config, seed=i % SEEDS, engine=engine, optimizer=rule)
        runs.append(replace(w.run, config=config))
    trainer, signals = Trainer(runs, torch.device("cpu"), threads=torch.get_num_threads()), Signals()
    trainer.choose_engine(signals)

    def epoch() -> None:
        trainer.train_epoch(trainer.learning_rates(), signals)
        trainer.epoch += 1

    return seconds_of(epoch, w.steps * rows)


def jax_steps(rows: int) -> Callable[[], float]:
    """The same in JAX: `vmap` over runs of a jitted `lax.scan` over the epoch, with optax's Adam."""
    import jax

    w: Work = work([64, 64], 8, 1257)
    state, step = _jax(w)
    x, y, rng = jax.numpy.asarray(w.x.numpy()), jax.numpy.asarray(w.y.numpy()), np.random.default_rng(0)
    steps = len(y) // w.bs
    state = jax.tree.map(lambda leaf: jax.numpy.stack([jax.numpy.asarray(leaf)] * rows), state)

    @partial(jax.jit, donate_argnums=0)
    @jax.vmap
    def scanned(state: object, order: object) -> object:
        return jax.lax.scan(lambda state, chosen: step(state, (x[chosen], y[chosen])), state, order)

    def epoch() -> None:
        nonlocal state
        order = np.stack([rng.permutation(len(y))[: steps * w.bs].reshape(steps, w.bs) for _ in range(rows)])
        state, losses = scanned(state, order)
        jax.block_until_ready((state, losses))

    return seconds_of(epoch, steps * rows)


def modelbatch_steps(rows: int, steps: int = 20) -> Callable[[], float]:
    """The same with the package modelbatch: vmap over the models, torch.optim.Adam with a group for each of them."""
    from modelbatch import ModelBatch, OptimizerFactory

    w = work([64, 64], 8, 1257)
    models = ModelBatch([w.model() for _ in range(rows)], shared_input=False)
    rates = [{"lr": float(RATES[i % len(RATES)])} for i in range(rows)]
    optimizer = OptimizerFactory(torch.optim.Adam).create_optimizer(models, rates)

    def some() -> None:
        order = torch.stack([torch.randperm(len(w.y)) for _ in range(rows)])
        for batch in order[:, : steps * w.bs].split(w.bs, dim=1):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy
            models.compute_loss(models(w.x[batch]), w.y[batch], loss).backward()
            optimizer.step()

    return seconds_of(some, steps * rows)


def eager_rows() -> int:
    """The rows of a stack that nettrain would make of this network where there is no compiler."""
    run = work([64, 64], 8, 1257).run
    return int(fast_rows(replace(run, config=replace(run.config, engine="eager")), torch.device("cpu")))
