"""Figures as files and report.html: of a run, of a sweep, and of any runs that are compared."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from nettrain.app import page
from nettrain.app.choices import Comparison
from nettrain.app.page import Section
from nettrain.app.pictures import Picture, frames, run_pictures
from nettrain.app.run import Run
from nettrain.app.runs import gather
from nettrain.app.summary import layer_lines
from nettrain.app.sweep_pictures import sweep_pictures
from nettrain.run.files import replace_file
from nettrain.run.tensorboard import EventFile

REPORT = "report.html"


def report_run(run: Run, path: Path | None = None, events: EventFile | None = None) -> Path:
    """Draw a run's figures into its folder and into `events`, and write its report, by default there, too."""
    from nettrain import figures

    pictures, missing = run_pictures(run)
    drawn = _draw(pictures, run.folder / "figures")
    if events:
        last = run.summary["updates"]
        for picture, (_, png) in zip(pictures, drawn, strict=True):
            if picture.measured:
                events.image(last, f"figures/{picture.name}", png)
        for epoch, figure in [] if missing else frames(run):
            events.image(epoch * run.summary["updates_per_epoch"], "over the epochs", figures.png(figure))
        events.flush()
    config = run.config
    sections = page.run_sections(run)
    if not missing:
        sections.append(_data(run))
    sections += [Section("Figures", missing, figures=drawn), Section("Config", text=OmegaConf.to_yaml(config))]
    parts = [config[group].name for group in ("data", "model", "activation", "head", "optimizer")]
    target = path or run.folder / REPORT
    page.write(target, f"Run {run.folder}", ", ".join(parts), sections)
    return target


def report_runs(comparison: Comparison, title: str, path: Path, folder: Path | None) -> None:
    """Write the report of many runs; their figures are files in `folder`, too, if it is given."""
    drawn = _draw(sweep_pictures(comparison), folder)
    counts: dict[str, int] = {}
    for run in comparison.runs:
        counts[run.summary["status"]] = counts.get(run.summary["status"], 0) + 1
    ended = ", ".join(f"{n} {status}" for status, n in counts.items())
    sections = [
        Section("Differences and noise", comparison.differences()),
        page.leaderboard_section(comparison),
        Section("Figures", figures=drawn),
    ]
    page.write(path, title, f"{len(comparison.runs)} runs: {ended}", sections)


def report_folders(folders: Sequence[Path], output: str | None = None, trust: bool = False) -> Path:
    """Write the report of some runs and sweeps, by default as comparison.html; that of a single run into its folder."""
    if len(folders) == 1 and (folders[0] / "metrics.csv").is_file():
        return report_run(Run(folders[0], trust), Path(output) if output else None)
    path = Path(output or "comparison.html")
    report_runs(gather(folders), " and ".join(map(str, folders)), path, None)
    return path


def _draw(pictures: Iterable[Picture], folder: Path | None) -> list[tuple[str, bytes]]:
    """Captions and PNG files of the pictures, which are written into the folder."""
    from nettrain import figures

    drawn = []
    for picture in pictures:
        png = figures.png(picture.draw())
        if folder is not None:
            replace_file(folder / f"{picture.name}.png", png)
        drawn.append((picture.caption, png))
    return drawn


def _data(run: Run) -> Section:
    """The data with their splits, and the model's layers."""
    table, splits = run.data.table, run.data.splits
    target = f"{len(table.classes)} classes" if table.classes else "numbers"
    sentences = [
        f"{table.source}: {len(run.data.y)} rows, {len(run.encoder.feature_names)} features, target "
        f"{table.target_name} ({target}).",
        ", ".join(f"{name} {len(rows)}" for name, rows in splits.items()) + " rows.",
        *table.notes,
    ]
    return Section("Data and model", sentences, ["layer", "shapes", "parameters"], layer_lines(run.model))
