"""Runs compared: those with the same settings, but for chance, are repetitions of one another."""

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nettrain.config.scopes import is_chance, tells_apart
from nettrain.data.splits import monitored_split


@dataclass
class RunResult:
    """A run that has ended: its name, what it was asked for, its summary, and its folder where there is one."""

    name: str
    overrides: dict[str, str]
    summary: dict[str, Any]
    folder: Path | None = None

    @property
    def status(self) -> str:
        """How it ended."""
        return str(self.summary["status"])

    @property
    def counts(self) -> bool:
        """Whether what it has reached counts: it came to its own end, or somebody has interrupted it."""
        return self.status in ("completed", "interrupted")

    @property
    def repetition(self) -> str:
        """Which repetition it is, such as `seed=3`: the keys of chance that it was given."""
        return " ".join(f"{key}={value}" for key, value in sorted(self.overrides.items()) if is_chance(key))

    def reached(self, column: str) -> float | None:
        """An entry of its summary, if it counts."""
        value = self.summary.get(column) if self.counts else None
        return float(value) if isinstance(value, int | float) else None


@dataclass
class SeedGroup:
    """The runs with the same `values` of all keys that differ: repetitions with other seeds."""

    values: tuple[str, ...]
    runs: list[RunResult]

    @property
    def incomplete(self) -> int:
        """How many of its runs diverged, failed or were interrupted."""
        return len(self.runs) - self.count("completed")

    @property
    def bad(self) -> int:
        """How many of its runs diverged or failed."""
        return sum(not run.counts for run in self.runs)

    def count(self, status: str) -> int:
        return sum(run.status == status for run in self.runs)

    def results(self, column: str) -> list[float]:
        """What its runs have reached that count."""
        return [value for run in self.runs if (value := run.reached(column)) is not None]

    def by_repetition(self, column: str) -> dict[str, float]:
        """Its results by the repetitions of its runs; empty unless each is another one."""
        results = {run.repetition: value for run in self.runs if (value := run.reached(column)) is not None}
        return results if "" not in results and len(results) == len(self.results(column)) else {}

    def mean(self, column: str) -> float:
        """Of its results; infinite without any."""
        values = self.results(column)
        return statistics.fmean(values) if values else math.inf

    def spread(self, column: str) -> str:
        """Mean and standard deviation as text."""
        values = self.results(column)
        if not values:
            return "-"
        deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.4g}{deviation}"


class Comparison:
    """Runs by their settings, best first: by the mean over the repetitions of the best of what they monitor.

    That is `monitored`, an entry of their summaries, times the `sign` with which less is better; the loss where they
    monitor different numbers.

    Settings with runs that did not complete come last, and those on one problem together. `keys` are those in which
    the settings differ, `measured` the columns of results, `loss` that by which runs are compared. A comparison of some
    of the runs of a `whole` has its keys, so that its settings are called what they are called there.
    """

    def __init__(self, runs: Sequence[RunResult], whole: "Comparison | None" = None) -> None:
        self.runs = list(runs)
        self.keys: list[str]
        self._brief: dict[str, dict[str, str]]
        if whole:
            self.keys, self._brief = whole.keys, whole._brief
        else:
            self.keys = [key for key in union(run.overrides for run in runs) if self._differs(key)]
            self._brief = {key: _brief({run.overrides.get(key, "") for run in runs}) for key in self.keys}
        self.loss = _monitored_loss(runs)
        present = union(run.summary for run in runs)
        self._monitored = {problem: _monitored(members) for problem, members in self._by_problem.items()}
        self.monitored, self.sign = _monitored(runs)
        names = [self.monitored, *(name for name, _ in self._monitored.values())]
        tests = [] if self.monitored == self.loss else [f"test_{self.monitored.split('_', 2)[2]}"]
        self.measured = [
            name for name in dict.fromkeys([*names, *tests, "test_accuracy", "test_r2"]) if name in present
        ]
        by_values: dict[tuple[str, ...], list[RunResult]] = {}
        for run in runs:
            by_values.setdefault(tuple(run.overrides.get(key, "") for key in self.keys), []).append(run)
        order = {problem: i for i, problem in enumerate(self._monitored)}

        def place(group: SeedGroup) -> tuple[int, int, float]:
            return order[self.problem(group.runs[0])], group.incomplete, self.rank(group)

        self.groups = sorted((SeedGroup(values, members) for values, members in by_values.items()), key=place)

    def best_of(self, group: SeedGroup) -> RunResult:
        """The best of a group's runs by what those on its problem monitor; the first one if none has any result."""
        return min(group.runs, key=lambda run: self._rank([run]))

    @property
    def best(self) -> RunResult | None:
        """The best run by what is monitored; None if none has any result."""
        runs = [run for run in self.runs if run.reached(self.monitored) is not None]
        return min(runs, key=lambda run: self.sign * (run.reached(self.monitored) or 0.0), default=None)

    @cached_property
    def baseline(self) -> dict[str, float]:
        """The mean over the runs of what a constant prediction reaches, for what is `measured` on the test rows."""
        found = {}
        for name in self.measured:
            if name.startswith("test_"):
                column = f"baseline_{name.removeprefix('test_')}"
                if values := [value for run in self.runs if (value := run.reached(column)) is not None]:
                    found[name] = statistics.fmean(values)
        return found

    def rank(self, group: SeedGroup) -> float:
        """The mean of what the runs monitor over the repetitions, less being better; infinite without any."""
        return self._rank(group.runs)

    def _rank(self, runs: Sequence[RunResult]) -> float:
        column, sign = self._monitored[self.problem(runs[0])]
        values = [value for run in runs if (value := run.reached(column)) is not None]
        return sign * statistics.fmean(values) if values else math.inf

    def _differs(self, key: str) -> bool:
        """Whether runs were told apart by this key: those that change no result, only where every run was given one."""
        values = [run.overrides.get(key) for run in self.runs]
        return len(set(values)) > 1 and not is_chance(key) and (tells_apart(key) or None not in values)

    def shown(self, group: SeedGroup) -> list[str]:
        """The values of a group, long numbers rounded to six digits where that keeps them apart."""
        return [self._brief[key][value] for key, value in zip(self.keys, group.values, strict=True)]

    def label(self, group: SeedGroup) -> str:
        """The settings in words, such as `optimizer=adam lr=0.1`, without the keys of the problem."""
        short = [key.rpartition(".")[2] for key in self.keys]
        names = [s if short.count(s) == 1 else key for s, key in zip(short, self.keys, strict=True)]
        pairs = zip(self.keys, names, self.shown(group), strict=True)
        return " ".join(f"{name}={value}" for key, name, value in pairs if key not in self.problem_keys) or "all runs"

    @cached_property
    def problem_keys(self) -> list[str]:
        """The keys that change what is to be learnt, so that losses cannot be compared across their values."""
        return [key for key in self.keys if key.partition(".")[0] in ("data", "split", "head")]

    def problem(self, run: RunResult) -> str:
        """The problem that a run was trained on, in words; empty where all runs have the same."""
        return " ".join(f"{key}={run.overrides.get(key, '')}" for key in self.problem_keys)

    @cached_property
    def problems(self) -> dict[str, "Comparison"]:
        """The runs on each problem of which any counts, compared among themselves; one nameless if there is one."""
        solved = {name: runs for name, runs in self._by_problem.items() if any(run.counts for run in runs)}
        return {name: Comparison(runs, self) for name, runs in solved.items()} if len(solved) > 1 else {"": self}

    @cached_property
    def _by_problem(self) -> dict[str, list[RunResult]]:
        by_problem: dict[str, list[RunResult]] = {}
        for run in self.runs:
            by_problem.setdefault(self.problem(run), []).append(run)
        return by_problem


def _monitored_loss(runs: Sequence[RunResult]) -> str:
    """The entry of the summaries by which runs are compared; `train_loss` where none has had an epoch."""
    present = union(run.summary for run in runs)
    best = [name for name in present if name.startswith("best_") and name.endswith("_loss")]
    loss = f"best_{monitored_split(name.split('_')[1] for name in best)}_loss"
    return loss if best else "train_loss"


def _monitored(runs: Sequence[RunResult]) -> tuple[str, int]:
    """The entry of the summaries that all runs monitor, and the sign with which less is better; else their loss."""
    monitors = {(run.summary.get("monitor"), run.summary.get("monitor_sign", 1)) for run in runs if run.counts}
    (monitor, sign) = monitors.pop() if len(monitors) == 1 else (None, 1)
    return (_monitored_loss(runs), 1) if monitor is None else (f"best_{monitor}", sign)


def _brief(values: set[str]) -> dict[str, str]:
    """Each value as it is shown."""
    brief = {}
    for value in values:
        parsed = number(value)
        brief[value] = f"{parsed:.6g}" if isinstance(parsed, float) and len(value) > 9 else value
    return brief if len(set(brief.values())) == len(values) else {value: value for value in values}


_WORDS = {"val": "validation", "train": "training", "r2": "R²", "f1": "F1", "auroc": "area under the ROC curve"}


def words(column: str) -> str:
    """An entry of a summary in words, such as `best validation loss`."""
    return " ".join(_WORDS.get(part, part) for part in column.split("_"))


def number(text: str) -> float | int | str:
    """A value as it was typed, as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def typed(text: str) -> Any:
    """The value of an override: a number, True, False or None, or the text, without the quotes around it."""
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return number(text)


def union(mappings: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of all mappings, in the order in which they first appear."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
