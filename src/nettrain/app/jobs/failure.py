"""What is left of a run that has failed: one line for its user, and its status in its folder."""

import traceback
from contextlib import suppress
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from nettrain.app.jobs.folder import save_overrides
from nettrain.app.jobs.folder_match import has_ended
from nettrain.config.explain import explain
from nettrain.errors import Mistake, StorageError, unexpected
from nettrain.storage.atomic import replace_file, write_json
from nettrain.terminal import warn


def fail(error: Exception, folder: Path, overrides: list[str] | None) -> int:
    """Say in one line why a run has failed; the exit code.

    With `overrides`, what the run was asked for, its failure is noted in its folder, unless a run has ended there. An
    error that is nobody's mistake leaves its traceback there, too.
    """
    if isinstance(error, HydraException | OmegaConfBaseException):
        error = explain(error)
    code = error.exit_code if isinstance(error, Mistake) else 1
    message = line = str(error) if isinstance(error, Mistake) else unexpected(error)
    with suppress(StorageError, OSError):  # a full disk may be what the run has failed of
        if overrides is not None or not isinstance(error, Mistake):
            folder.mkdir(parents=True, exist_ok=True)
        if not isinstance(error, Mistake):
            replace_file(folder / "error.txt", "".join(traceback.format_exception(error)).encode())
            line = f"{message} (traceback: {folder / 'error.txt'})"
        if overrides is not None and not has_ended(folder):
            save_overrides(folder, overrides)
            write_json(folder / "summary.json", {"status": "failed", "message": message, "exit_code": code})
    warn(line)
    return code
