"""One run from its checked config to its finished folder: what the command line, a sweep and `nettrain.train` do."""

from pathlib import Path

from omegaconf import DictConfig

from nettrain.app import report
from nettrain.app.config import Config
from nettrain.app.folder import claim, save_config
from nettrain.app.prepare import prepare
from nettrain.run.device import choose_device, threads_for
from nettrain.run.row import Row
from nettrain.run.trainer import Trainer


def train_run(config: Config, folder: Path, hydra: DictConfig) -> Row:
    """Train one run into `folder`; `hydra` are Hydra's settings, which are saved beside the config.

    Raises a `Mistake`, and writes nothing, when the run cannot start.
    """
    device = choose_device(config.device)
    claim(folder)
    setup = prepare(config, folder, device)
    save_config(folder, setup.config, hydra)
    if not config.quiet:
        print(report.plan(setup, device), flush=True)
    with threads_for(setup.parameters * config.batch_size(setup.n_train)):
        (row,) = Trainer([setup], device).run()
    if not config.quiet:
        print(report.result(row), flush=True)
    return row
