"""The figures and the report of a run that has ended."""

from pathlib import Path

from nettrain.config.schema import Config
from nettrain.preparation.prepare import NOTHING, HandedOver
from nettrain.report.write import REPORT
from nettrain.results.run_folder import RunFolder
from nettrain.terminal import say
from nettrain.training.logging.tensorboard import EventFile
from nettrain.training.run_state import RunState

DRAWN = ("completed", "diverged")  # how a run has ended of which figures are drawn


def draw(row: RunState, handed: HandedOver = NOTHING) -> None:
    """Draw the figures of a run that has ended, and write its report, if that is asked for.

    `handed` is what was handed over in Python.
    """
    run = row.run
    if run.drawn and row.status in DRAWN:
        events = row.log.tensorboard.events if row.log.tensorboard else None
        _draw(
            RunFolder(run.folder, trust=True, loaded=run.data, module=handed.module, head=handed.head),
            run.config,
            events,
        )


def lacks_figures(folder: Path) -> bool:
    """Whether the run in this folder has ended, and was killed before it had its figures."""
    return not (folder / REPORT).is_file() and RunFolder(folder).summary.get("status") in DRAWN


def draw_ended(folder: Path, config: Config) -> None:
    """Draw the figures of the run that has ended in this folder, as `draw` would have."""
    _draw(RunFolder(folder, trust=True), config, EventFile(folder) if config.tensorboard else None)


def _draw(run: RunFolder, config: Config, events: EventFile | None) -> None:
    from nettrain.report.write import report_run

    path = report_run(run, events=events if config.watch.images else None)
    if not config.quiet:
        say(f"{'report':20} {path}")
