"""One run from its composed config to its finished folder: what the command line, a sweep and `nettrain.train` do."""

import math
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from nettrain.app import report
from nettrain.app.config import to_config
from nettrain.app.folder import claim, save_config
from nettrain.app.prepare import prepare
from nettrain.app.resume import checkpoints, is_complete, resumed_config
from nettrain.errors import ConfigError
from nettrain.parts.random import seeded
from nettrain.run.device import choose_device, threads_for
from nettrain.run.trainer import Trainer


@dataclass
class Outcome:
    """How a run ended: its folder, its status, the signal that ended it, and its best monitored loss."""

    folder: Path
    status: str
    signal: int | None = None
    best_loss: float | None = None


def train_run(composed: DictConfig, folder: Path, hydra: DictConfig) -> Outcome:
    """Train one run into `folder`, or go on with the one that `resume` names; `hydra` are Hydra's settings.

    Raises a `Mistake`, and writes nothing, when the run cannot start.
    """
    going_on = composed.resume is not None
    if going_on:
        config, folder = resumed_config(composed, hydra.overrides.task)
        if is_complete(folder, config):
            print(f"{folder}: the run is complete, there is nothing left to do; more epochs=... would let it go on.")
            return Outcome(folder, "completed")
    else:
        config = to_config(composed)
        claim(folder)
    device = choose_device(config.device)
    setup = prepare(config, folder, device)
    states = checkpoints(setup) if going_on else None
    if states and not math.isfinite(states[0]["last"].get("train_loss", 0.0)):
        raise ConfigError(f"resume={folder}: the run has diverged, its weights are not finite; begin a new one.")
    save_config(folder, setup.config, None if going_on else hydra)
    if not config.quiet:
        print(report.plan(setup, device), flush=True)
    # A foreign module draws its noise from torch's own generator, which the caller may need as it is.
    with threads_for(setup.parameters * config.batch_size(setup.n_train)), seeded(config.seed):
        trainer = Trainer([setup], device)
        if states:
            trainer.restore(*states)
        (row,) = trainer.run()
    if not config.quiet:
        print(report.result(row), flush=True)
    return Outcome(folder, row.status, row.signal, row.best_loss)
