"""Figures as files and report.html: of a run, of a sweep, and of any runs that are compared."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from nettrain.errors import Mistake
from nettrain.parts.mixture import Mixture
from nettrain.report import html
from nettrain.report.html import Drawn, Section
from nettrain.report.layer_table import layer_lines
from nettrain.report.lessons import lesson
from nettrain.report.pictures import Picture
from nettrain.report.run_figures import curve_pictures, frames, model_pictures
from nettrain.report.setting import Setting, settings_of
from nettrain.report.sweep_figures import sweep_pictures
from nettrain.report.sweep_sections import sweep_sections
from nettrain.results.comparison import Comparison, RunResult
from nettrain.results.run_folder import RunFolder
from nettrain.results.saved_config import read_config
from nettrain.results.sweep_folder import gather
from nettrain.storage.atomic import replace_file
from nettrain.storage.output import write_output
from nettrain.training.logging.tensorboard import EventFile
from nettrain.wording import counted

REPORT = "report.html"


def report_run(
    run: RunFolder, path: Path | None = None, events: EventFile | None = None, formats: Sequence[str] = ()
) -> Path:
    """Draw a run's figures into its folder and into `events`, and write its report, by default there, too.

    `formats` are those of the figures' files beside PNG: svg, pdf.
    """
    pictures, left_out = _asked(run.config.get("report_figures") or [], [Setting("", [run])])
    pictures += curve_pictures(run)
    begun = [picture.begin_files(formats) for picture in pictures]  # they are drawn while the model is loaded
    of_model, missing = model_pictures(run)
    pictures += of_model
    begun += [picture.begin_files(formats) for picture in of_model]
    over_epochs = frames(run) if events and not missing else []
    begun_frames = [picture.begin() for _, picture in over_epochs]
    config = run.config
    sections = html.run_sections(run)
    if not missing:
        sections += [*_classes(run), _data(run)]
    text = OmegaConf.to_yaml(config)
    drawn = _written(pictures, begun, run.folder / "figures", ("png", *formats))
    if events:
        last = run.summary["updates"]
        for picture, figure in zip(pictures, drawn, strict=True):
            if picture.measured:
                events.image(last, f"figures/{picture.name}", figure.png)
        for (epoch, _), frame in zip(over_epochs, begun_frames, strict=True):
            events.image(epoch * run.summary["updates_per_epoch"], "over the epochs", frame())
        events.flush()
    sections += [Section("Figures", [*left_out, *missing], figures=drawn), Section("Config", text=text)]
    nodes = [config[group] for group in ("data", "model", "activation", "head", "optimizer")]
    parts = [node.get("name", node.get("_target_")) for node in nodes]
    target = path or run.folder / REPORT
    page = html.render(f"Run {run.folder}", ", ".join(parts), sections)
    (write_output if path else replace_file)(target, page.encode())
    return target


def report_sweep(folder: Path, comparison: Comparison) -> Path:
    """Write the report of a sweep and its figures into its folder."""
    report_runs(comparison, f"Sweep {folder}", folder / REPORT, folder / "figures")
    return folder / REPORT


def report_runs(
    comparison: Comparison,
    title: str,
    path: Path,
    folder: Path | None,
    write: Callable[[Path, bytes], Any] = replace_file,
    formats: Sequence[str] = ("png",),
) -> None:
    """Write the report of many runs; their figures are files in `folder`, too, if it is given, of these `formats`."""
    names = _names(comparison)
    pictures, left_out = _asked(names, settings_of(comparison) if names else [])
    pictures += sweep_pictures(comparison)
    begun = [picture.begin_files(formats) for picture in pictures]
    counts: dict[str, int] = {}
    for run in comparison.runs:
        counts[run.summary["status"]] = counts.get(run.summary["status"], 0) + 1
    ended = ", ".join(f"{n} {status}" for status, n in counts.items())
    tables = sweep_sections(comparison)
    data = Section("Data", _data_of_all(comparison))
    config = Section("Config", ["The same in all runs:"], text=_common_config(comparison))
    drawn = Section("Figures", left_out, figures=_written(pictures, begun, folder, formats))
    sections = [*tables, drawn, data, config]
    write(path, html.render(title, f"{counted(len(comparison.runs), 'run')}: {ended}", sections).encode())


def _names(comparison: Comparison) -> list[str]:
    """The figures that the config of the first run asks for."""
    path = next((path for path in map(_config_path, comparison.runs) if path.is_file()), None)
    return list(read_config(path.parents[1]).get("report_figures") or []) if path else []


def _asked(names: Sequence[str], settings: Sequence[Setting]) -> tuple[list[Picture], list[str]]:
    """The pictures that a config asks for by `names`, and sentences on those that the runs do not have."""
    found = [lesson(name, settings) for name in names]
    return [picture for pictures, _ in found for picture in pictures], [s for _, missing in found for s in missing]


def report_folders(
    folders: Sequence[Path], output: str | None = None, trust: bool = False, formats: Sequence[str] = ()
) -> tuple[Path, Path | None]:
    """Write the report of some runs and sweeps, by default as comparison.html; that of a single run into its folder.

    With `formats` (png, svg, pdf) the figures are files of these, too, in a folder beside the page, those of a single
    run in its own. Gives the page, and the folder with the figures if there is one.
    """
    if len(folders) == 1 and (folders[0] / "metrics.csv").is_file():
        run = RunFolder(folders[0], trust)
        return report_run(run, Path(output) if output else None, formats=formats), run.folder / "figures"
    path = Path(output or "comparison.html")
    figures = path.with_name(f"{path.stem}_figures") if formats else None
    write = write_output if output else replace_file
    report_runs(gather(folders), ", ".join(map(str, folders)), path, figures, write, formats)
    return path, figures


def _written(
    pictures: Sequence[Picture],
    begun: Sequence[Callable[[], dict[str, bytes]]],
    folder: Path | None,
    formats: Sequence[str],
) -> list[Drawn]:
    """Pictures that are being drawn, as a page has them; files of these formats are written into the folder, too."""
    html.template()
    drawn = []
    for picture, wait in zip(pictures, begun, strict=True):
        files = wait()
        drawn.append(Drawn(picture.caption, files["png"], files["chart"].decode()))
        if folder is not None:
            for format in formats:
                replace_file(folder / f"{picture.name}.{format}", files[format])
    return drawn


def _data(run: RunFolder) -> Section:
    """The data with their splits, and the model's layers."""
    about, model = _about_data(run), run.model
    if isinstance(model, Mixture):
        about.append(f"There are {len(model.members)} members, each with these layers.")
        model = model.members[0]
    return Section("Data and model", about, ["layer", "shapes", "parameters"], layer_lines(model))


def _classes(run: RunFolder) -> list[Section]:
    """How well each class is predicted, where there are classes."""
    if not run.encoder.classes:
        return []
    split = next(name for name in ("test", "val", "train") if len(run.data.splits[name]))
    about = f"With the weights of the best epoch, on the rows for {_SPLITS[split]}; a dash is a share of nothing."
    header = ["label" if run.encoder.targets else "class", "precision", "recall", "F1", "rows"]
    table = [
        [str(name), *("–" if math.isnan(value) else f"{value:.4g}" for value in values)]
        for name, *values in zip(*run.class_columns.values(), strict=True)
    ]
    return [Section("Labels" if run.encoder.targets else "Classes", [about], header, table)]


def _about_data(run: RunFolder) -> list[str]:
    """Sentences on the data of a run, and on their splits."""
    table, encoder = run.data.table, run.data.encoder
    first = run.data.members[0] if run.data.members else run.data.splits
    sizes = ", ".join(f"{len(rows)} for {_SPLITS[name]}" for name, rows in first.items())
    sizes += " of the first member" if run.data.members else ""
    about = f"{table.source}: {len(run.data.y)} rows, {sizes}; {encoder.inputs_text}"
    return [f"{about}; the target is {table.target_name}, {encoder.target_text}.", *run.data.notes]


_SPLITS = {"train": "training", "val": "validation", "test": "testing"}


def _data_of_all(comparison: Comparison) -> list[str]:
    """Sentences on the data of a run of each problem."""
    sentences: dict[str, None] = {}
    for problem in comparison.problems.values():
        folder = next((Path(str(run.folder)) for run in problem.runs if _config_path(run).is_file()), None)
        if folder:
            try:
                sentences |= dict.fromkeys(_about_data(RunFolder(folder)))
            except Mistake as error:
                sentences[f"{folder}: its data cannot be shown: {error}"] = None
    return list(sentences)


def _config_path(run: RunResult) -> Path:
    return Path(str(run.folder)) / ".hydra" / "config.yaml"


def _common_config(comparison: Comparison, most: int = 50) -> str:
    """What the configs of the runs share, as YAML: those of at most so many of them, and no key that was swept."""
    paths = [path for path in map(_config_path, comparison.runs) if path.is_file()]
    chosen = paths[:: max(1, -(-len(paths) // most))]
    configs = [read_config(path.parents[1]) for path in chosen]
    swept = {*comparison.keys, *(["seed"] if len({run.overrides.get("seed") for run in comparison.runs}) > 1 else [])}
    return yaml.dump(_shared(configs, swept), Dumper=yaml.CSafeDumper, sort_keys=False) if configs else ""


def _shared(configs: list[dict[str, Any]], swept: set[str], prefix: str = "") -> dict[str, Any]:
    """The keys that have the same value in all configs, nested as they are."""
    shared: dict[str, Any] = {}
    for key, value in configs[0].items():
        values: list[Any] = [config.get(key) for config in configs]
        if prefix + key in swept:
            continue
        if all(isinstance(other, dict) for other in values):
            inner = _shared(values, swept, f"{prefix}{key}.")
            shared |= {key: inner} if inner else {}
        elif all(other == value for other in values):
            shared[key] = value
    return shared
