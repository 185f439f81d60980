"""A sweep as a whole: its folder is its own while it runs, and at the end there are results.csv and a leaderboard."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from nettrain.app.jobs.folder import discard
from nettrain.app.sweep import workers
from nettrain.errors import Mistake, StorageError
from nettrain.report.console import leaderboard
from nettrain.results.comparison import Comparison
from nettrain.results.sweep_folder import read_results, write_results
from nettrain.storage.locks import locked
from nettrain.terminal import say, warn

_folder: Path | None = None  # of the sweep that this process runs
_drawn = False  # whether its report is to be drawn
_open = ExitStack()  # its lock, and what becomes of signals, until it ends


class SweepFolder(Callback):
    """Hydra's callback that tells where a sweep writes, and keeps other sweeps out of its folder."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _folder, _drawn
        _folder, _drawn = Path(config.hydra.sweep.dir), config.figures != "never"
        try:
            _open.enter_context(locked(_folder))
        except Mistake as mistake:
            warn(str(mistake))
            sys.exit(mistake.exit_code)  # Hydra would turn an exception into a warning
        if "joblib" in config.hydra.launcher._target_:
            _open.enter_context(workers.passing_signals_on())


def underway() -> Path | None:
    """The folder of the sweep that this process runs, if it runs one."""
    return _folder


def finish() -> int:
    """Write the results of the sweep that has run, if there was one; the exit code that its failed runs call for."""
    _open.close()
    if _folder is None or not _folder.is_dir():
        return 0
    runs = read_results(_folder)
    if not runs:
        if {path.name for path in _folder.iterdir()} <= {"multirun.yaml"}:  # no job could be composed
            (_folder / "multirun.yaml").unlink(missing_ok=True)
            discard(_folder)
        return 0
    codes = [run.summary.get("exit_code", 0) for run in runs]
    comparison = Comparison(runs)
    try:
        write_results(_folder / "results.csv", runs)
    except StorageError as error:
        warn(str(error))
        codes.append(error.exit_code)
    say(leaderboard(comparison))
    say(f"folder       {_folder}")
    if _drawn:
        from nettrain.report.write import report_sweep

        try:
            say(f"report       {report_sweep(_folder, comparison)}")
        except StorageError as error:
            warn(str(error))
            codes.append(error.exit_code)
    return max(codes)
