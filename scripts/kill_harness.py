"""Kill runs with SIGKILL at random moments, go on, and compare their ends, bit for bit, with runs left alone.

`make kill-harness` does it 200 times over different optimizers, engines and sweeps, and writes the figures into
docs/reliability.md. A run goes on with `resume`, a sweep with the same command. After every kill all files are checked.
`--mutations` leaves out the restoring of one thing after the other: each must be noticed.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process with further threads cannot be forked

import torch
from killing.files import check, difference, result, runs
from killing.kinds import MODULE, MUTATIONS, RUNS, arguments

from nettrain.app import cli
from nettrain.errors import CheckpointError

TRAIN = Path(__file__).parents[1] / "train.py"
EARLY = 0.1  # share of the kills that may come before training


@dataclass
class Figures:
    """What has happened so far."""

    kills: int = 0
    before_checkpoint: int = 0  # of them, those that came before the first checkpoint
    command_line: int = 0  # of them, those of the program in a process of its own
    of_sweeps: int = 0
    compiled: int = 0
    chains: int = 0  # runs and sweeps that were killed, went on, and were compared
    wrong: list[str] = field(default_factory=list)


@dataclass
class Alone:
    """What a run came to that was left alone: when it began to train, and when it was over, in seconds."""

    result: dict[str, Any]
    began: float
    ended: float


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


class Harness:
    """Runs left alone, by their kinds, and the killing of others like them."""

    def __init__(self, place: Path, dice: random.Random) -> None:
        self.place, self.dice, self.figures = place, dice, Figures()
        self.alone: dict[tuple[str, bool], Alone] = {}

    def words(self, kind: str, folder: Path) -> list[str]:
        """The command line of a run or sweep of this kind into the folder."""
        given = arguments(kind)
        return [*given, f"hydra.{'sweep' if '-m' in given else 'run'}.dir={folder}"]

    def undisturbed(self, kind: str, real: bool) -> Alone:
        """What one that is left alone comes to, the same twice; the first one may compile its program."""
        if (kind, real) not in self.alone:
            found = []
            for k in range(2):
                folder = self.place / f"alone-{len(self.alone)}-{k}"
                began = time.time()
                code = ended(start(self.words(kind, folder), real))
                assert code == 0, f"{kind}: exit code {code}"
                trained = min((run / ".hydra" / "config.yaml").stat().st_mtime for run in runs(folder))
                found.append(Alone(result(folder), trained - began, time.time() - began))
            assert difference(found[0].result, found[1].result) is None, f"{kind}: two runs differ"
            self.alone[kind, real] = found[1]
        return self.alone[kind, real]

    def moment(self, alone: Alone) -> float:
        """When to kill: anywhere in training, now and then before it."""
        early = self.dice.random() < EARLY
        return (
            self.dice.uniform(0.2 * alone.began, alone.began) if early else self.dice.uniform(alone.began, alone.ended)
        )

    def chain(self, kind: str, longest: int, real: bool = False) -> str | None:
        """Kill a run up to `longest` times and let it end; what is wrong with its end, None for nothing."""
        alone, figures = self.undisturbed(kind, real), self.figures
        folder = self.place / f"killed-{figures.chains}"
        figures.chains += 1
        words, over = self.words(kind, folder), False
        sweep = "-m" in words
        try:
            for _ in range(self.dice.randint(1, longest)):
                over = not killed(words, self.moment(alone), real)
                if over:
                    break
                figures.kills += 1
                figures.command_line += real
                figures.of_sweeps += sweep
                figures.compiled += "engine=compiled" in arguments(kind)
                figures.before_checkpoint += not check(folder)
                if not sweep and runs(folder):
                    words = [f"resume={folder}", "trust=true"]
            code = 0 if over else ended(start(words))
            assert code == 0, f"exit code {code}"
            wrong = difference(alone.result, result(folder))
        except (AssertionError, CheckpointError, OSError, ValueError, KeyError) as error:
            wrong = f"{type(error).__name__}: {error}"
        return f"{kind}, {folder.name}: {wrong}" if wrong else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[""], help="kinds whose name holds one of these texts")
    parser.add_argument("--real-every", type=int, default=10, help="each so-manieth run is a process of its own")
    parser.add_argument("--mutations", action="store_true", help="also leave out the restoring of one thing at a time")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no further run begins after so many seconds")
    parser.add_argument("--output", type=Path, help="the page whose figures are replaced")
    options = parser.parse_args()
    page = options.output.absolute() if options.output else None
    torch.set_num_threads(1)
    kinds = [kind for kind in RUNS if any(text in kind for text in options.only)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("killed.py").write_text(MODULE)
        harness = Harness(Path(place), random.Random(options.seed))
        figures = harness.figures
        while figures.kills < options.kills and time.monotonic() - began < options.seconds:
            kind = kinds[figures.chains % len(kinds)]
            real = options.real_every > 0 and figures.chains % options.real_every == options.real_every - 1
            wrong = harness.chain(kind, longest=3, real=real)
            figures.wrong += [wrong] if wrong else []
            print(f"{figures.kills:4} kills  {kind:45} {wrong or 'equal'}", flush=True)
        text = report(figures, time.monotonic() - began)
        noticed = mutations(harness, kinds) if options.mutations else {}
    if noticed:
        text += f"| left out on purpose, and noticed | {sum(noticed.values())} of {len(noticed)} |\n"
    text += "".join(f"\n{wrong}\n" for wrong in figures.wrong)
    print(text)
    if page:
        words = page.read_text()
        page.write_text(words[: words.index(HEADING)] + HEADING + "\n\n" + text)
    sys.exit(bool(figures.wrong) or not all(noticed.values()))


HEADING = "## Last figures"


def mutations(harness: Harness, kinds: list[str], most: int = 80) -> dict[str, bool]:
    """Whether the leaving out of each is noticed, in up to `most` killed runs."""
    noticed = {}
    for what, (kind, mutation) in MUTATIONS.items():
        if kind not in kinds:
            continue
        harness.undisturbed(kind, False)
        with mutation():
            noticed[what] = any(harness.chain(kind, longest=1) is not None for _ in range(most))
        print(f"left out: {what:40} {'noticed' if noticed[what] else 'NOT NOTICED'}", flush=True)
    return noticed


def report(figures: Figures, seconds: float) -> str:
    """The figures as the page has them."""
    rows = {
        "kills": figures.kills,
        "of them before the first checkpoint": figures.before_checkpoint,
        "of them of runs with `engine=compiled`": figures.compiled,
        "of them of sweeps": figures.of_sweeps,
        "of them on the command line, in a process of its own": figures.command_line,
        "runs and sweeps that ended with other bits, or with a damaged file": len(figures.wrong),
    }
    lines = [f"| {what} | {value} |" for what, value in rows.items()]
    setting = f"torch {torch.__version__}, {len(RUNS)} kinds of runs and sweeps, {seconds:.0f} s."
    return "\n".join([setting, "", "| | |", "| --- | --- |", *lines]) + "\n"


if __name__ == "__main__":
    main()
