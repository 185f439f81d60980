"""The command line: `python train.py [overrides]`, and `nettrain [overrides]` once installed."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nettrain.app import report, sweep
from nettrain.app.config import config_folder, known_keys, register, to_config
from nettrain.app.folder import claim, discard, save_config
from nettrain.app.help import help_text
from nettrain.app.messages import explain
from nettrain.app.prepare import prepare
from nettrain.errors import Mistake
from nettrain.run.device import choose_device
from nettrain.run.files import write_json
from nettrain.run.trainer import Trainer

DIVERGED = 4  # the exit code of a run whose loss is no longer finite


def main() -> None:
    """Run the command line; ends the process with one of nettrain's exit codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    sys.path.append(os.getcwd())  # a user's own modules, for `model._target_`
    register()
    arguments = sys.argv[1:]
    if {"--help", "-h"} & set(arguments):
        print(help_text(arguments))
        return
    sys.argv[1:] = with_module(arguments)
    code = 0
    try:
        _job()
    except (HydraException, OmegaConfBaseException) as error:
        code = _tell(explain(error, known_keys()))
    except Mistake as error:
        code = _tell(error)
    finally:
        code = sweep.finish() or code
    sys.exit(code)


def with_module(arguments: list[str]) -> list[str]:
    """The arguments with `model._target_=...` spelled as Hydra wants it: model=module, and its keys added."""
    if not any(argument.startswith("model._target_=") for argument in arguments):
        return arguments
    chosen = any(argument.startswith("model=") for argument in arguments)
    added = ["++" + a if a.startswith("model.") else a for a in arguments]
    return added if chosen else ["model=module", *added]


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")
def _job(composed: DictConfig) -> float | None:
    """Train one run, alone or as a job of a sweep; its value for a sweeper is the best monitored loss."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    sweeping = settings.mode == RunMode.MULTIRUN
    try:
        config = to_config(composed)
        device = choose_device(config.device)
        claim(folder)
        setup = prepare(config, folder)
    except Mistake as error:
        code = _tell(error)
        if not sweeping:
            discard(folder)
            sys.exit(code)
        write_json(folder / "summary.json", {"status": "failed", "message": str(error), "exit_code": code})
        return None
    save_config(folder, setup.config, settings)
    if not config.quiet:
        print(report.plan(setup, device), flush=True)
    (row,) = Trainer([setup], device).run()
    if not config.quiet:
        print(report.result(row), flush=True)
    if row.status == "interrupted":
        sys.exit(128 + row.signal)
    if row.status == "diverged" and not sweeping:
        sys.exit(DIVERGED)
    return row.best_loss


def _tell(error: Mistake) -> int:
    print(f"nettrain: {error}", file=sys.stderr, flush=True)
    return error.exit_code
