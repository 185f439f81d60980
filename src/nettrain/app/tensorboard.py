"""`nettrain-tensorboard`: TensorBoard on runs and sweeps, whose runs have names that say what they are."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nettrain.app.tools import call
from nettrain.errors import ConfigError, Mistake, StorageError
from nettrain.figures import process
from nettrain.report.run_figures import model_pictures
from nettrain.results.comparison import Comparison, RunResult
from nettrain.results.run_folder import RunFolder
from nettrain.results.run_names import run_names
from nettrain.results.summary import best_monitored, read_summary
from nettrain.results.sweep_folder import overrides_of_run, read_results
from nettrain.terminal import say
from nettrain.training.logging.tensorboard import EventFile

EVENTS = "events.out.tfevents.*"
RUNS = 200  # that are shown unless more are asked for: TensorBoard reads and draws every one
PATIENCE = 10  # seconds in which it may end by itself
SECONDS = 10  # until runs that have begun meanwhile are shown, too


@dataclass
class Shown:
    """A run that TensorBoard shows: its folder, its name there, and what it has reached, less being better."""

    folder: Path
    name: str
    reached: float


def tensorboard() -> None:
    """The command `nettrain-tensorboard`."""
    about = (
        "Starts TensorBoard on the runs and sweeps below some folders (default: outputs). The runs of a sweep are "
        "called by what they differ in, such as adam_lr0.01_s3; the best ones are shown if there are very many, and "
        "the best one of a sweep has the figures of its predictions. Runs that begin meanwhile are added."
    )
    runs = ("runs", str(RUNS), "how many runs are shown at most")
    port = ("port", "6006", "where TensorBoard answers; 0: any free port")
    host = ("host", "localhost", "the address at which it answers; 0.0.0.0: to every machine of the network")
    call(_tensorboard, about, [], [runs, port, host], folders=True)


def _tensorboard(settings: dict[str, str], folders: list[str]) -> None:
    paths = [Path(folder) for folder in folders or ["outputs"]]
    most = settings.get("runs", str(RUNS))
    if not most.isdecimal() or not int(most):
        raise ConfigError(f"runs={most}: runs must be a positive integer.")
    with TemporaryDirectory(prefix="nettrain-tensorboard-") as place:
        logdir = Path(place)
        found = find_runs(paths)
        if not found:
            raise ConfigError(f"{', '.join(map(str, paths))}: no run is there that has written TensorBoard events.")
        chosen = best_runs(found, int(most))
        link(chosen, logdir)
        if len(chosen) < len(found):
            every = f"runs={len(found)} shows all"
            say(f"{len(chosen)} of {len(found)} runs are shown, those with the best results; {every}")
        draw_best(chosen, logdir)
        address = ["--port", settings.get("port", "6006"), "--host", settings.get("host", "localhost")]
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing may be left behind by either signal
        server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", place, *address])
        try:
            _serve(server, paths, {run.folder for run in found}, int(most) - len(chosen), logdir)
        except KeyboardInterrupt:
            pass
        finally:
            server.terminate()
            try:
                code = server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                code = 0
    if code > 0:
        sys.exit(code)


def _serve(server: subprocess.Popen, paths: Sequence[Path], known: set[Path], room: int, logdir: Path) -> None:
    """Wait for the server's end, and link what runs have begun meanwhile."""
    while True:
        try:
            server.wait(SECONDS)
            return
        except subprocess.TimeoutExpired:
            added = [run for run in find_runs(paths) if run.folder not in known][: max(room, 0)]
            link(added, logdir)
            known |= {run.folder for run in added}
            room -= len(added)


def find_runs(paths: Sequence[Path]) -> list[Shown]:
    """The runs below some folders that have written events, with their names."""
    found: list[Shown] = []
    common = os.path.commonpath([path.absolute() for path in paths])
    for top in paths:
        prefix = os.path.relpath(top, common)
        by_parent: dict[Path, list[Path]] = {}
        for folder in sorted({path.parent for path in _events(top)}, key=lambda f: (len(f.name), f.name)):
            by_parent.setdefault(folder.parent if folder != top else folder, []).append(folder)
        for parent, folders in sorted(by_parent.items()):
            names = [folder.name for folder in folders]
            if (parent / "multirun.yaml").is_file() or all(name.isdecimal() for name in names):
                names = run_names([overrides_of_run(folder) for folder in folders])
            where = Path(prefix, "" if parent == top else os.path.relpath(parent, top))
            found += [Shown(f, str(where / name), _reached(f)) for f, name in zip(folders, names, strict=True)]
    return found


def _events(top: Path) -> Iterator[Path]:
    if not top.is_dir():
        raise ConfigError(f"{top}: there is no such folder.")
    return top.rglob(EVENTS)


def _reached(folder: Path) -> float:
    """What a run has reached; one that is under way comes before all others, and one without a result after them."""
    if not (folder / "summary.json").is_file():
        return -float("inf")
    try:
        best = best_monitored(read_summary(folder))
    except Mistake:
        best = None
    return float("inf") if best is None or best != best else best


def best_runs(runs: Sequence[Shown], most: int) -> list[Shown]:
    """At most so many of the runs, of each sweep as large a share, the best ones; in the order in which they were."""
    if len(runs) <= most:
        return list(runs)
    by_sweep: dict[Path, list[Shown]] = {}
    for run in runs:
        by_sweep.setdefault(run.folder.parent, []).append(run)
    ranked = [sorted(of_sweep, key=lambda run: run.reached) for of_sweep in by_sweep.values()]
    places = sorted((i / len(of_sweep), k, i) for k, of_sweep in enumerate(ranked) for i in range(len(of_sweep)))
    kept = {ranked[k][i].folder for _, k, i in places[:most]}
    return [run for run in runs if run.folder in kept]


def link(runs: Sequence[Shown], logdir: Path) -> None:
    """Make a folder for each run, by its name, with links to its event files, which grow as the run goes on."""
    for run in runs:
        folder = logdir / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for events in run.folder.glob(EVENTS):
            try:
                (folder / events.name).symlink_to(events.absolute())
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError(
                    f"{folder}: links cannot be made here ({error}); use tensorboard --logdir."
                ) from None


def draw_best(runs: Sequence[Shown], logdir: Path) -> None:
    """Add the figures of predictions of the best run on each problem of a sweep, unless it has them already."""
    by_parent: dict[Path, list[Shown]] = {}
    for run in runs:
        by_parent.setdefault(run.folder.parent, []).append(run)
    for parent, of_sweep in by_parent.items():
        if len(of_sweep) < 2:
            continue
        shown = {run.folder.resolve(): run for run in of_sweep}
        results = [r for r in read_results(parent, lambda _: None) if r.folder and r.folder.resolve() in shown]
        for problem in Comparison(results).problems.values() if results else ():
            best: RunResult | None = problem.best
            if best and best.folder and not (best.folder / "report.html").is_file():
                _draw(best.folder, logdir / shown[best.folder.resolve()].name)


def _draw(run_folder: Path, folder: Path) -> None:
    process.start()
    run = RunFolder(run_folder)
    pictures, _ = model_pictures(run)
    begun = [(picture.name, picture.begin()) for picture in pictures]
    events = EventFile(folder)
    for name, png in begun:
        events.image(run.summary["updates"], f"figures/{name}", png())
    events.flush()
