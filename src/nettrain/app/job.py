"""One run from its composed config to its finished folder: what the command line, a sweep and `nettrain.train` do."""

import math
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from nettrain.app import report
from nettrain.app.config import Config, to_config
from nettrain.app.folder import claim, save_config
from nettrain.app.prepare import prepare
from nettrain.app.resume import is_complete, last_checkpoint, resumed_config
from nettrain.errors import ConfigError
from nettrain.parts.random import seeded
from nettrain.run.device import choose_device, threads_for
from nettrain.run.files import locked
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
    if composed.resume is not None:
        config, folder = resumed_config(composed, hydra.overrides.task)
    else:
        config = to_config(composed)
    with locked(folder):
        return _train(config, folder, hydra)


def _train(config: Config, folder: Path, hydra: DictConfig) -> Outcome:
    going_on = config.resume is not None
    if not going_on:
        claim(folder)
    elif is_complete(folder, config):
        print(f"{folder}: the run is complete, there is nothing left to do; more epochs=... would let it go on.")
        return Outcome(folder, "completed")
    device = choose_device(config.device)
    setup = prepare(config, folder, device)
    checkpoint = last_checkpoint(setup) if going_on else None
    if checkpoint and not math.isfinite(checkpoint["last"].get("train_loss", 0.0)):
        raise ConfigError(f"resume={folder}: the run has diverged, its weights are not finite; begin a new one.")
    save_config(folder, setup.config, None if going_on else hydra)
    if not config.quiet:
        print(report.plan(setup, device), flush=True)
    # A foreign module draws its noise from torch's own generator, which the caller may need as it is.
    with threads_for(setup.parameters * config.batch_size(setup.n_train)), seeded(config.seed):
        trainer = Trainer([setup], device)
        if checkpoint:
            trainer.restore([checkpoint])
        (row,) = trainer.run()
    if not config.quiet:
        print(report.result(row), flush=True)
    return Outcome(folder, row.status, row.signal, row.best_loss)
