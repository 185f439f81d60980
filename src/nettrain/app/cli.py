"""The command line: `python train.py [overrides]`, and `nettrain [overrides]` once installed."""

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from signal import SIGINT
from typing import Any

_INTERRUPTED = "nettrain: interrupted before training began"

try:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    from nettrain.app import sweep
    from nettrain.app.arguments import for_hydra, with_module, with_saved_config
    from nettrain.app.config import config_folder, known_keys, register
    from nettrain.app.folder import discard, holds_run, save_overrides
    from nettrain.app.help import help_text
    from nettrain.app.job import train_run
    from nettrain.app.messages import explain, tell, unexpected
    from nettrain.errors import Mistake, StorageError
    from nettrain.run.files import replace_file, storage_error, write_json
except KeyboardInterrupt:  # these imports take seconds, most of them torch's
    print(_INTERRUPTED, file=sys.stderr)
    sys.exit(128 + SIGINT)

DIVERGED = 4  # the exit code of a run whose loss is no longer finite


def main() -> None:
    """Run the command line; ends the process with one of nettrain's exit codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    sys.path.append(os.getcwd())  # a user's own modules, for `model._target_`
    code = failed = 0
    try:
        register()
        if {"--help", "-h"} & set(sys.argv):
            print(help_text(sys.argv[1:]))
        else:
            sys.argv[1:] = with_module(with_saved_config(for_hydra(sys.argv[1:])))
            _job()
    except (HydraException, OmegaConfBaseException) as error:
        code = tell(explain(error, known_keys()))
    except OSError as error:  # Hydra could not make a folder
        code = tell(storage_error(Path(error.filename or "."), error))
    except KeyboardInterrupt as interrupt:
        code = 128 + SIGINT
        message = "nettrain: the sweep was interrupted" if sweep.underway() else _INTERRUPTED
        print(str(interrupt) or message, file=sys.stderr, flush=True)
    finally:
        failed = sweep.finish()
    sys.exit(code or failed)


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")
def _job(composed: DictConfig) -> float | None:
    """Train one run, alone or as a job of a sweep; its value for a sweeper is the best monitored loss."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    sweeping = settings.mode == RunMode.MULTIRUN
    fresh = not holds_run(folder)  # what lies in the folder from now on is ours
    try:
        outcome = train_run(composed, folder, settings)
    except KeyboardInterrupt as interrupt:
        discard(folder)
        if fresh and holds_run(folder):
            raise KeyboardInterrupt(f"nettrain: interrupted at once; {folder} is as it was last saved") from interrupt
        raise
    except Exception as error:
        code = _fail(error, folder, settings, fresh)
        if sweeping and fresh and (folder / "summary.json").exists():
            return None  # the sweep goes on, and ends with the summary's exit code
        discard(folder)  # Hydra has made it
        sys.exit(code)
    if composed.resume is not None:
        discard(folder)  # the run has its own
    if outcome.signal is not None and (sweeping or outcome.status == "interrupted"):
        sys.exit(128 + outcome.signal)
    if outcome.status == "diverged" and not sweeping:
        sys.exit(DIVERGED)
    return outcome.best_loss


def _fail(error: Exception, folder: Path, settings: Any, fresh: bool) -> int:
    """Say in one line why a run has failed, and note it in its folder if that was `fresh`; the exit code.

    A run that fails alone before it has begun leaves nothing, one of a sweep its row of the results. An error that is
    nobody's mistake leaves its traceback, too.
    """
    if isinstance(error, HydraException | OmegaConfBaseException):
        error = explain(error, known_keys())
    code = error.exit_code if isinstance(error, Mistake) else 1
    message = line = str(error) if isinstance(error, Mistake) else unexpected(error)
    begun = settings.mode == RunMode.MULTIRUN or (folder / ".hydra").exists()
    with suppress(StorageError):  # a full disk may be what the run has failed of
        if not isinstance(error, Mistake):
            replace_file(folder / "error.txt", "".join(traceback.format_exception(error)).encode())
            line = f"{message} (traceback: {folder / 'error.txt'})"
        if fresh and begun and not (folder / "summary.json").exists():
            save_overrides(folder, settings)
            write_json(folder / "summary.json", {"status": "failed", "message": message, "exit_code": code})
    print(f"nettrain: {line}", file=sys.stderr, flush=True)
    return code
