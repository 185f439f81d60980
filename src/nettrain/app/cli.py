"""The command line: `python train.py [overrides]`, and `nettrain [overrides]` once installed."""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import nettrain
from nettrain.app.help import help_text
from nettrain.app.jobs.failure import fail
from nettrain.app.jobs.folder import discard, holds_run, hydra_settings
from nettrain.app.jobs.folder_match import match_folder
from nettrain.app.jobs.job import Job, Outcome, take_up, train_alone
from nettrain.app.jobs.ranks import taking_part
from nettrain.app.jobs.resume import with_resumed_parts, with_saved_config
from nettrain.app.jobs.run import train_run
from nettrain.app.sweep import sweep, workers
from nettrain.config.build import place_paths, to_config
from nettrain.config.explain import explain
from nettrain.config.overrides import SWEEP_FLAGS, config_options, for_hydra, is_of_run, with_module, with_own_parts
from nettrain.config.received import require_harmless
from nettrain.config.recipes import with_recipe
from nettrain.config.schema import config_folder, hydra_defaults, register
from nettrain.errors import ConfigError, Mistake, StorageError, first_line
from nettrain.hydra_versions import run_main, trusted
from nettrain.preparation.prepare import NOTHING, HandedOver
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.storage.atomic import storage_error
from nettrain.terminal import tell, warn

_SWEEP = "the sweep was interrupted"
DIVERGED = 4  # the exit code of a run whose loss is no longer finite


def main() -> None:
    """Run the command line; ends the process with one of nettrain's exit codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    code = failed = 0
    try:
        register()
        if "--version" in sys.argv:
            print(f"nettrain {nettrain.__version__}")
        else:
            if _names_code(sys.argv[1:]):
                _find_own_modules()
            arguments = with_own_parts(sys.argv[1:])
            if {"--help", "-h"} & set(arguments):
                print(help_text(arguments))
            else:
                with taking_part(arguments) as (ranks, arguments):
                    typed = for_hydra(arguments)
                    if not any(argument in SWEEP_FLAGS for argument in typed) and config_options(typed)[1] is None:
                        typed = with_recipe(typed)  # those of a sweep have theirs one by one
                    sys.argv[1:] = with_module(with_resumed_parts(with_saved_config(typed)))
                    with hydra_defaults(), trusted():
                        require_harmless(sys.argv[1:])
                        _run_hydra(ranks)
    except (HydraException, OmegaConfBaseException) as error:
        code = _tell(explain(error))
    except Mistake as mistake:  # of a whole sweep
        code = _tell(mistake)
    except (AssertionError, TypeError, ValueError) as error:  # what Hydra raises for rare command lines
        code = _tell(ConfigError(f"{' '.join(sys.argv[1:])}: it cannot be read: {first_line(error)}."))
    except OSError as error:  # Hydra could not make a folder
        code = _tell(storage_error(Path(error.filename or sweep.underway() or "."), error))
    except KeyboardInterrupt as interrupt:
        code = 128 + (workers.received() or SIGINT)
        warn(str(interrupt) or (_SWEEP if sweep.underway() else "interrupted before training began"))
    except Exception as error:  # outside of any run
        code = 1 if workers.received() else fail(error, sweep.underway() or Path.cwd(), None, holding=True)
    finally:
        if (number := workers.received()) and code <= 1:
            code = 128 + number
            warn(_SWEEP)
        failed = sweep.finish()
    sys.exit(code or failed)


def _names_code(arguments: list[str]) -> bool:
    """Whether a user names code of his own: typed, with trust in what a run's config names, or in configs of his."""
    folder, name, rest = config_options(arguments)
    named = any("_target_=" in argument or argument.startswith(("parts=", "metrics=")) for argument in rest)
    return named or "trust=true" in rest or (folder is not None and not is_of_run(folder, name))


def _find_own_modules() -> None:
    """Let modules in the working directory be imported, but none as plugins of Hydra: the folder may be received."""
    Plugins.instance()  # which imports all plugins there are
    sys.path.append(os.getcwd())


def _run_hydra(ranks: Ranks, tries: int = 10) -> None:
    """Run what the command line asks for; while Hydra makes its folder, others may remove empty ones above it."""

    def task(composed: DictConfig) -> float | None:
        return run_job(composed, ranks=ranks)

    for left in reversed(range(tries)):
        try:
            run_main(task, config_folder(), "train")
            return
        except (FileNotFoundError, FileExistsError):
            if not left or sweep.underway():
                raise


def _tell(mistake: Mistake) -> int:
    """Print a mistake's sentence; the exit code that it calls for."""
    tell(mistake)
    return mistake.exit_code


def run_job(composed: DictConfig, handed: HandedOver = NOTHING, ranks: Ranks = ALONE) -> float | None:
    """Train one run, alone or as a job of a sweep; its value for a sweeper is the best monitored loss."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    sweeping = settings.mode == RunMode.MULTIRUN
    if settings.job.chdir:  # the working directory is no longer that in which the paths were typed
        place_paths(composed, Path(settings.runtime.cwd))
    fresh = not holds_run(folder)  # what lies in the folder from now on is ours
    made = [folder.absolute()] if sweeping else None
    if workers.received():  # its sweep is over
        discard(folder, made)
        return math.nan
    try:
        with workers.taking_signals(), ranks.underway():
            outcome = _train(composed, folder, hydra_settings(settings), sweeping, handed, ranks)
    except KeyboardInterrupt as interrupt:
        discard(folder, made)
        if workers.is_worker():
            return math.nan
        if fresh and holds_run(folder):
            raise KeyboardInterrupt(f"interrupted at once; {folder} is as it was last saved") from interrupt
        raise
    except Exception as error:
        code = fail(error, folder, list(settings.overrides.task) if fresh and sweeping else None)
        discard(folder, made)  # Hydra has made it
        everywhere = isinstance(error, StorageError) and error.everywhere
        if workers.is_worker() or (sweeping and fresh and not everywhere):  # the sweep goes on, and ends with the code
            sweep.add_failure(code)
            return sweep.FailedRun(code)
        sys.exit(code)
    if composed.resume is not None:
        discard(folder, made)  # the run has its own
        sweep.add_resumed(outcome.folder)
    if outcome.signal is not None and workers.is_worker():
        return math.nan  # whoever started it ends the sweep
    if outcome.signal is not None and (sweeping or outcome.status == "interrupted"):
        sys.exit(128 + outcome.signal)
    if outcome.status == "diverged" and not sweeping:
        sys.exit(DIVERGED)
    if outcome.status == "failed" and not ranks.leads:
        sys.exit(1)  # the leader says why
    return outcome.best_loss


@dataclass
class Task:
    """What the jobs of a sweep in Python do."""

    handed: HandedOver

    def __call__(self, composed: DictConfig) -> float | None:
        return run_job(composed, self.handed)


def _train(
    composed: DictConfig, folder: Path, hydra: dict[str, Any], sweeping: bool, handed: HandedOver, ranks: Ranks
) -> Outcome:
    if not sweeping or composed.resume is not None:
        if ranks.leads:
            ranks.begin(str(folder.absolute()))
        return train_run(composed, folder, hydra, handed, ranks)
    config, sweep = to_config(composed, hydra["overrides"]["task"]), Path(HydraConfig.get().sweep.dir).absolute()
    job = Job(config, folder, hydra, sweep=sweep, handed=handed)
    match = match_folder(job.config, folder, 0)
    if holds_run(folder) and not match.begun:
        raise ConfigError(
            f"{folder}: it holds another run; only hydra/launcher=stacked recognises runs by their configs."
        )
    taken_up = take_up(job, match)
    return taken_up if isinstance(taken_up, Outcome) else train_alone(taken_up)
