"""What is left of a run that has failed: one line for its user, and its status in its folder."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from nettrain.app.jobs.folder import save_overrides
from nettrain.app.jobs.folder_match import has_ended
from nettrain.config.explain import explain
from nettrain.errors import CheckpointError, InUseError, Mistake, unexpected
from nettrain.results.summary import read_summary
from nettrain.storage.atomic import replace_file, write_json
from nettrain.storage.locks import locked
from nettrain.terminal import tell
from nettrain.training.logging.run_log import TRACEBACK


def fail(error: Exception, folder: Path, overrides: list[str] | None, holding: bool = False) -> int:
    """Say in one line why a run has failed; the exit code.

    With `overrides`, what the run was asked for, its failure is noted in its folder. An error that is nobody's mistake
    leaves its traceback there, too. Nothing is written into a folder that another process is using; `holding` says that
    this one has its lock.
    """
    error = _explained(error)
    line = _message(error)
    if not isinstance(error, InUseError) and (overrides is not None or not isinstance(error, Mistake)):
        with suppress(Mistake, OSError):  # a full disk may be what the run has failed of
            with nullcontext() if holding else locked(folder):
                _note(error, folder, overrides)
            line += "" if isinstance(error, Mistake) else f" (traceback: {folder / TRACEBACK})"
    tell(error, line)
    return _exit_code(error)


@contextmanager
def noting_failure(folder: Path, overrides: list[str]) -> Iterator[None]:
    """Within it a run has begun in its folder, which is locked: its failure is noted there, and goes on."""
    try:
        yield
    except Exception as error:
        with suppress(Mistake, OSError):
            _note(_explained(error), folder, overrides)
        raise


def _note(error: Exception, folder: Path, overrides: list[str] | None) -> None:
    """Leave the traceback of an error that is nobody's mistake; with `overrides` a summary if no run has ended."""
    if not isinstance(error, Mistake):
        replace_file(folder / TRACEBACK, "".join(traceback.format_exception(error)).encode())
    if overrides is not None and not has_ended(folder) and not _is_noted(error, folder):
        save_overrides(folder, overrides)
        failure = {"status": "failed", "message": _message(error), "exit_code": _exit_code(error)}
        write_json(folder / "summary.json", failure)


def _is_noted(error: Exception, folder: Path) -> bool:
    """Whether training itself has noted the failure: it was that of a callback."""
    try:
        return bool(read_summary(folder).get("message") == _message(error))
    except CheckpointError:
        return False


def _explained(error: Exception) -> Exception:
    """The mistake that an error of Hydra's stands for; another error as it is."""
    return explain(error) if isinstance(error, HydraException | OmegaConfBaseException) else error


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, Mistake) else unexpected(error)


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, Mistake) else 1
