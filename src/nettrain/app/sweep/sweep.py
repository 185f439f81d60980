"""A sweep as a whole: its folder is its own while it runs, and at the end there are results.csv and a leaderboard."""

import math
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from nettrain.app.jobs.folder import discard
from nettrain.app.sweep import workers
from nettrain.config.own_parts import all_copies
from nettrain.errors import CheckpointError, Mistake, StorageError
from nettrain.report.leaderboard import leaderboard
from nettrain.results.comparison import Comparison
from nettrain.results.sweep_folder import read_result, read_results, write_results
from nettrain.storage.locks import locked
from nettrain.terminal import say, warn

_folder: Path | None = None  # of the sweep that this process runs
_drawn = False  # whether its report is to be drawn
_open = ExitStack()  # its lock, and what becomes of signals, until it ends
_resumed: list[Path] = []  # the folders, elsewhere, of runs with which it goes on
_failures: list[int] = []  # the exit codes of its runs that have failed: on a full disk none can be noted


class FailedRun(float):
    """What a sweeper is told of a run that has failed, wherever it was trained: NaN, and its exit code."""

    code: int

    def __new__(cls, code: int) -> "FailedRun":
        value = super().__new__(cls, math.nan)
        value.code = code
        return value

    def __getnewargs__(self) -> tuple[int]:
        return (self.code,)


class SweepFolder(Callback):
    """Hydra's callback that tells where a sweep writes, and keeps other sweeps out of its folder."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            begin(config)
        except Mistake as mistake:
            warn(str(mistake))
            sys.exit(mistake.exit_code)  # Hydra would turn an exception into a warning


def begin(config: DictConfig) -> None:
    """Begin the sweep of this config. Raises `InUseError` where another one is using its folder."""
    global _folder, _drawn
    folder = Path(config.hydra.sweep.dir)
    _open.enter_context(locked(folder, lambda: _has_begun(folder)))
    _folder, _drawn = folder, config.figures != "never"
    _failures.clear()
    _resumed.clear()
    if "joblib" in config.hydra.launcher._target_:
        _hand_over_parts()
        _open.enter_context(workers.safe_path())
        _open.enter_context(workers.passing_signals_on())
        _open.callback(workers.end_workers)


def _hand_over_parts() -> None:
    """Let joblib's processes, which are given the path of imports, find files with parts by their modules' names."""
    folder = _open.enter_context(TemporaryDirectory())
    for name, content in all_copies().items():
        Path(folder, name).write_bytes(content)
    sys.path.append(folder)
    _open.callback(sys.path.remove, folder)


def _has_begun(folder: Path) -> bool:
    """Whether a run of the sweep in the folder has begun; until then the sweep may end by a mistake in its config."""
    return any(folder.glob("*/.hydra/config.yaml"))


def underway() -> Path | None:
    """The folder of the sweep that this process runs, if it runs one."""
    return _folder


def add_failure(code: int) -> None:
    """Remember that a run of the sweep has failed with this exit code."""
    _failures.append(code)


def take_failures() -> list[int]:
    """The exit codes of the runs that have failed since this was last asked."""
    codes = list(_failures)
    _failures.clear()
    return codes


def at_end(close: Callable[[], None]) -> None:
    """Call this when the sweep ends, however it does."""
    _open.callback(close)


def add_resumed(folder: Path) -> None:
    """Remember that the sweep goes on with the run in this folder."""
    _resumed.append(folder)


def add_failures(returns: Iterable[JobReturn]) -> None:
    """Remember the runs that have failed in other processes."""
    _failures.extend(job.return_value.code for job in returns if isinstance(job.return_value, FailedRun))


def finish(told: bool = True) -> int:
    """Write the results of the sweep that has run, if there was one; the exit code that its failed runs call for.

    With `told` they are shown, too.
    """
    global _folder
    with _open:
        if _folder is None:
            return 0
        codes, folder = [*_failures, *_write_results(_folder, told)], _folder
        _folder = None
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {"multirun.yaml"}:  # no job could be composed
        (folder / "multirun.yaml").unlink(missing_ok=True)
        discard(folder)
    return max(codes, default=0)


def _write_results(folder: Path, told: bool) -> list[int]:
    """Write results.csv and the report, and with `told` show the leaderboard.

    It gives the exit codes of runs, and of what went wrong.
    """
    codes: list[int] = []

    def tell(mistake: Mistake) -> None:
        warn(str(mistake))
        codes.append(mistake.exit_code)

    runs = read_results(folder, tell)
    for other in _resumed:
        try:
            runs.append(replace(read_result(other), name=str(other), overrides={"resume": str(other)}))
        except CheckpointError as error:
            tell(error)
    if not runs:
        return codes
    codes += [run.summary.get("exit_code", 0) for run in runs]
    comparison = Comparison(runs)
    try:
        write_results(folder / "results.csv", runs)
    except StorageError as error:
        tell(error)
    if told:
        say(leaderboard(comparison))
        say(f"folder       {folder}")
    if _drawn:
        from nettrain.report.write import report_sweep

        try:
            report = report_sweep(folder, comparison)
            if told:
                say(f"report       {report}")
        except StorageError as error:
            tell(error)
    return codes
