"""Kill runs with SIGKILL at random moments, resume them, and compare their ends, bit for bit, with runs left alone.

`make kill-harness` does it 200 times over different optimizers and writes the figures into docs/reliability.md. After
every kill all files of the run are checked. `--mutations` leaves out the restoring of one thing after the other: each
has to be noticed.
"""

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process with further threads cannot be forked

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nettrain.app import cli
from nettrain.errors import CheckpointError
from nettrain.run.files import load_checkpoint, load_newest
from nettrain.run.trainer import Trainer

TRAIN = Path(__file__).parents[1] / "train.py"
COMMON = ["data=iris", "model.hidden=[8]", "checkpoint.every_seconds=0.01", "quiet=true"]
RUNS = {
    "sgd, step schedule": ["optimizer=sgd", "optimizer.lr=0.1", "schedule=step", "epochs=60", "bs=4"],
    "momentum, one cycle": ["optimizer=momentum", "schedule=one_cycle", "epochs=60", "bs=4"],
    "adagrad, early stopping": [
        "optimizer=adagrad", "optimizer.lr=0.5", "early_stopping.patience=25", "epochs=60", "bs=4",
    ],
    "rmsprop, linear model": ["optimizer=rmsprop", "model=linear", "~model.hidden", "epochs=60", "bs=4"],
    "adam, dropout, plateau": [
        "optimizer=adam", "optimizer.lr=0.02", "model.dropout=0.2", "schedule=plateau", "schedule.patience=1",
        "epochs=60", "bs=4",
    ],
    "adamw, updates as budget": ["optimizer=adamw", "budget.updates=1111", "epochs=60", "bs=4"],
    "adam, module with batch norm and dropout": [
        "model._target_=killed.net", "~model.hidden", "optimizer=adam", "epochs=60", "bs=8", "drop_last=true",
    ],
    "newton": ["optimizer=newton", "model.hidden=[3]", "epochs=12"],
    "bfgs": ["optimizer=bfgs", "bs=full", "epochs=120"],
    "lbfgs, mini-batches": ["optimizer=lbfgs", "epochs=12"],
    "genetic": ["optimizer=genetic", "epochs=60", "bs=full"],
    "hill climbing": ["optimizer=hill_climb", "epochs=40"],
    "simulated annealing": ["optimizer=simulated_annealing", "epochs=120", "bs=full"],
    "cma_es": ["optimizer=cma_es", "epochs=60", "bs=full"],
}  # fmt: skip
MODULE = """
from torch.nn import BatchNorm1d, Dropout, Linear, ReLU, Sequential

def net(in_features, out_features):
    return Sequential(Linear(in_features, 8), BatchNorm1d(8), ReLU(), Dropout(0.2), Linear(8, out_features))
"""


@dataclass
class Figures:
    """What has happened so far."""

    kills: int = 0
    before_checkpoint: int = 0  # of them, those that came before the first checkpoint
    command_line: int = 0  # of them, those of the program in a process of its own
    chains: int = 0  # runs that were killed, resumed and compared
    wrong: list[str] = field(default_factory=list)


def arguments(overrides: list[str]) -> list[str]:
    """The overrides with those of all runs, as far as they are not taken back."""
    dropped = [override[1:] for override in overrides if override.startswith("~")]
    common = [override for override in COMMON if override.partition("=")[0] not in dropped]
    return [*common, *(override for override in overrides if not override.startswith("~"))]


def start(words: list[str], real: bool = False) -> int:
    """Start the program, forked from this process or as a `real` command; its process id."""
    if real:
        return subprocess.Popen([sys.executable, TRAIN, *words], stdout=subprocess.DEVNULL, stderr=2).pid
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        sys.argv = ["train.py", *words]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a process; its exit code, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(words: list[str], moment: float, real: bool) -> bool:
    """Run the program until `moment` seconds after its start; False if it had ended by then, as it has to."""
    child = start(words, real)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    code = ended(child)
    if code not in (0, -signal.SIGKILL):
        raise AssertionError(f"exit code {code} of {' '.join(words)}")
    return code != 0


def check(folder: Path) -> bool:
    """Raise `AssertionError` for a file that is torn or lost; whether there is a checkpoint."""
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    table = folder / "metrics.csv"
    lines = table.read_text().splitlines(keepends=True) if table.exists() else []
    assert all(line.endswith("\n") and line.count(",") == lines[0].count(",") for line in lines), table
    epochs = [int(line.partition(",")[0]) for line in lines[1:]]
    assert epochs == list(range(1, len(epochs) + 1)), epochs
    checkpoints = folder / "checkpoints"
    if (checkpoints / "best.pt").exists():
        load_checkpoint(checkpoints / "best.pt")
    names = [name for name in ("last.pt", "previous.pt") if (checkpoints / name).exists()]
    for name in names:  # not even the newest may be torn
        load_checkpoint(checkpoints / name)
    if not names:
        return False
    last, _ = load_newest(checkpoints / "last.pt")
    assert last["epoch"] <= len(epochs), "rows that the checkpoint has counted are missing"
    return True


def result(folder: Path) -> dict[str, Any]:
    """Everything that a run has come to, but its seconds and how it was asked for."""
    left = [str(path) for path in folder.rglob("*.tmp")]
    assert not left, left
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    seconds = header.split(",").index("seconds")
    table = [[cell for i, cell in enumerate(row.split(",")) if i != seconds] for row in rows]
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curve = [(point.step, point.value) for point in events.Scalars("loss/train")]
    checkpoints = {name: load_checkpoint(folder / "checkpoints" / name) for name in ("last.pt", "best.pt")}
    summary = json.loads((folder / "summary.json").read_text())
    return {"table": [header, table], "curve": curve, "checkpoints": plain(checkpoints), "summary": plain(summary)}


def plain(value: Any) -> Any:
    """Values whose equality is that of all bits."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key not in ("seconds", "config")}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return repr(value)


def difference(one: dict[str, Any], other: dict[str, Any], path: str = "") -> str | None:
    """The name of the first thing in which two results differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = (difference(one[key], other[key], f"{path}/{key}") for key in one)
        return next((name for name in found if name), None)
    return None if one == other else path or "/"


class Harness:
    """Runs left alone, by name, and the killing of others like them."""

    def __init__(self, place: Path, dice: random.Random) -> None:
        self.place, self.dice, self.figures = place, dice, Figures()
        self.alone: dict[tuple[str, bool], tuple[dict[str, Any], float]] = {}

    def undisturbed(self, name: str, real: bool) -> tuple[dict[str, Any], float]:
        """The result of a run that is left alone, and how long it takes."""
        if (name, real) not in self.alone:
            folder = self.place / f"alone-{len(self.alone)}"
            began = time.monotonic()
            code = ended(start([*arguments(RUNS[name]), f"hydra.run.dir={folder}"], real))
            assert code == 0, f"{name}: exit code {code}"
            self.alone[name, real] = result(folder), time.monotonic() - began
        return self.alone[name, real]

    def chain(self, name: str, longest: int, real: bool = False) -> str | None:
        """Kill a run up to `longest` times and let it end; what is wrong with its end, None for nothing."""
        expected, seconds = self.undisturbed(name, real)
        folder = self.place / f"killed-{self.figures.chains}"
        self.figures.chains += 1
        words, over = [*arguments(RUNS[name]), f"hydra.run.dir={folder}"], False
        try:
            for _ in range(self.dice.randint(1, longest)):
                moment = self.dice.uniform(0.2, 1) * seconds  # nothing is there before
                over = not killed(words, moment, real)
                if over:
                    break
                self.figures.kills += 1
                self.figures.command_line += real
                begun = (folder / ".hydra" / "config.yaml").exists()
                self.figures.before_checkpoint += not (begun and check(folder))
                if begun:
                    words = [f"resume={folder}", "trust=true"]
            code = 0 if over else ended(start(words))
            assert code == 0, f"exit code {code}"
            wrong = difference(expected, result(folder))
        except (AssertionError, CheckpointError, OSError, ValueError, KeyError) as error:
            wrong = f"{type(error).__name__}: {error}"
        return f"{name}, {folder.name}: {wrong}" if wrong else None


# What restoring leaves out, and a run in which that shows.
Checkpoint = dict[str, Any]
MUTATIONS: dict[str, tuple[str, Callable[[Checkpoint], Checkpoint]]] = {
    "optimizer state": (
        "adam, dropout, plateau",
        lambda last: {"optimizer": {name: torch.zeros_like(t) for name, t in last["optimizer"].items()}},
    ),
    "schedule": ("adam, dropout, plateau", lambda last: {"schedule": {"factor": 1.0, "bad": 0, "best": math.inf}}),
    "position in the order of batches": ("sgd, step schedule", lambda last: {"epoch": max(0, last["epoch"] - 1)}),
    "noise of dropout": ("adam, module with batch norm and dropout", lambda last: {"updates": last["updates"] + 1}),
    "buffers": (
        "adam, module with batch norm and dropout",
        lambda last: {"buffers": {name: torch.zeros_like(t) for name, t in last["buffers"].items()}},
    ),
    "best epoch": ("adagrad, early stopping", lambda last: {"best": {}}),
    "best weights": ("adagrad, early stopping", lambda last: {"best_model": last["model"]}),
    "early stopping": ("adagrad, early stopping", lambda last: {"progress": {"loss": math.inf, "epoch": 0}}),
    "population": ("cma_es", lambda last: {"optimizer": {}}),
    "counts": ("bfgs", lambda last: {"function_evaluations": 0}),
}


@contextmanager
def mutated(change: Callable[[Checkpoint], Checkpoint]) -> Iterator[None]:
    """Within it, runs go on from checkpoints that are changed."""
    restore = Trainer.restore

    def changed(trainer: Trainer, checkpoints: Any) -> None:
        restore(trainer, [{**checkpoint, **change(checkpoint)} for checkpoint in checkpoints])

    Trainer.restore = changed  # type: ignore[method-assign]
    try:
        yield
    finally:
        Trainer.restore = restore  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="runs whose name holds this text")
    parser.add_argument("--real-every", type=int, default=10, help="each so-manieth run is a process of its own")
    parser.add_argument("--mutations", action="store_true", help="also leave out the restoring of one thing at a time")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no further run begins after so many seconds")
    parser.add_argument("--output", type=Path, help="the page whose figures are replaced")
    options = parser.parse_args()
    page = options.output.absolute() if options.output else None
    torch.set_num_threads(1)
    names = [name for name in RUNS if options.only is None or options.only in name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("killed.py").write_text(MODULE)
        harness = Harness(Path(place), random.Random(options.seed))
        figures = harness.figures
        while figures.kills < options.kills and time.monotonic() - began < options.seconds:
            name = names[figures.chains % len(names)]
            real = options.real_every > 0 and figures.chains % options.real_every == options.real_every - 1
            wrong = harness.chain(name, longest=3, real=real)
            figures.wrong += [wrong] if wrong else []
            print(f"{figures.kills:4} kills  {name:45} {wrong or 'equal'}", flush=True)
        noticed = mutations(harness) if options.mutations else {}
    text = report(figures, noticed, time.monotonic() - began)
    print(text)
    if page:
        words = page.read_text()
        page.write_text(words[: words.index(HEADING)] + HEADING + "\n\n" + text)
    sys.exit(bool(figures.wrong) or not all(noticed.values()))


HEADING = "## Last figures"


def mutations(harness: Harness, most: int = 12) -> dict[str, bool]:
    """Whether the leaving out of each is noticed, in up to `most` killed runs."""
    noticed = {}
    for what, (name, change) in MUTATIONS.items():
        with mutated(change):
            noticed[what] = any(harness.chain(name, longest=1) is not None for _ in range(most))
        print(f"left out: {what:40} {'noticed' if noticed[what] else 'NOT NOTICED'}", flush=True)
    return noticed


def report(figures: Figures, noticed: dict[str, bool], seconds: float) -> str:
    """The figures as the page has them."""
    rows = {
        "kills": figures.kills,
        "of them before the first checkpoint": figures.before_checkpoint,
        "of them on the command line, in a process of its own": figures.command_line,
        "runs that ended with other bits, or with a damaged file": len(figures.wrong),
    }
    if noticed:
        rows["mutations noticed"] = f"{sum(noticed.values())} of {len(noticed)}"
    lines = [f"| {what} | {value} |" for what, value in rows.items()]
    setting = f"torch {torch.__version__}, {len(RUNS)} kinds of runs, {seconds:.0f} s."
    return "\n".join([setting, "", "| | |", "| --- | --- |", *lines, *figures.wrong]) + "\n"


if __name__ == "__main__":
    main()
