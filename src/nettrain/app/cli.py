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

from nettrain.app import sweep
from nettrain.app.arguments import with_module
from nettrain.app.config import config_folder, known_keys, register
from nettrain.app.folder import discard
from nettrain.app.help import help_text
from nettrain.app.job import train_run
from nettrain.app.messages import explain
from nettrain.errors import Mistake
from nettrain.run.files import write_json

DIVERGED = 4  # the exit code of a run whose loss is no longer finite


def main() -> None:
    """Run the command line; ends the process with one of nettrain's exit codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    sys.path.append(os.getcwd())  # a user's own modules, for `model._target_`
    register()
    if {"--help", "-h"} & set(sys.argv):
        print(help_text(sys.argv[1:]))
        return
    sys.argv[1:] = with_module(sys.argv[1:])
    code = 0
    try:
        _job()
    except (HydraException, OmegaConfBaseException) as error:
        code = _tell(explain(error, known_keys()))
    finally:
        code = sweep.finish() or code
    sys.exit(code)


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")
def _job(composed: DictConfig) -> float | None:
    """Train one run, alone or as a job of a sweep; its value for a sweeper is the best monitored loss."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    sweeping = settings.mode == RunMode.MULTIRUN
    try:
        outcome = train_run(composed, folder, settings)
    except Mistake as error:
        code = _tell(error)
        if not sweeping:
            discard(folder)  # Hydra has made it
            sys.exit(code)
        write_json(folder / "summary.json", {"status": "failed", "message": str(error), "exit_code": code})
        return None
    if composed.resume is not None:
        discard(folder)  # the run has its own
    if outcome.signal is not None:
        sys.exit(128 + outcome.signal)
    if outcome.status == "diverged" and not sweeping:
        sys.exit(DIVERGED)
    return outcome.best_loss


def _tell(error: Mistake) -> int:
    print(f"nettrain: {error}", file=sys.stderr, flush=True)
    return error.exit_code
