"""Runs compared: those with the same choices, but for the seed, are repetitions of one another."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

LEVEL = 0.05  # of significance


@dataclass
class Entry:
    """A run: its name, what it was asked for, its summary, and its folder where there is one."""

    run: str
    overrides: dict[str, str]
    summary: dict[str, Any]
    folder: Path | None = None

    @property
    def completed(self) -> bool:
        """Whether the run came to its own end."""
        return bool(self.summary["status"] == "completed")


@dataclass
class Choice:
    """The runs with the same `values` of all keys that differ."""

    values: tuple[str, ...]
    runs: list[Entry]

    @property
    def completed(self) -> list[Entry]:
        """Its runs that came to their own end."""
        return [run for run in self.runs if run.completed]

    def results(self, column: str) -> list[float]:
        """What its completed runs have reached."""
        return [run.summary[column] for run in self.completed if run.summary.get(column) is not None]

    @property
    def incomplete(self) -> int:
        """How many of its runs diverged, failed or were interrupted."""
        return len(self.runs) - len(self.completed)

    def count(self, status: str) -> int:
        return sum(run.summary["status"] == status for run in self.runs)

    def mean(self, column: str) -> float:
        """Over its completed runs; infinite without any."""
        values = self.results(column)
        return statistics.fmean(values) if values else math.inf

    def spread(self, column: str) -> str:
        """Mean and standard deviation as text."""
        values = self.results(column)
        if not values:
            return "-"
        deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.4g}{deviation}"

    def by_seed(self, column: str) -> dict[str, float]:
        """The results of its completed runs by their seeds; empty unless each has a seed of its own."""
        runs = [run for run in self.completed if run.summary.get(column) is not None]
        found = {run.overrides["seed"]: float(run.summary[column]) for run in runs if "seed" in run.overrides}
        return found if len(found) == len(runs) else {}


class Comparison:
    """Runs by their choices, best first: by the mean of the best validation loss over the seeds.

    Where no run has a validation split it is the best training loss. Choices with runs that did not complete come last,
    and those on one problem together.
    """

    def __init__(self, runs: Sequence[Entry]) -> None:
        self.runs = list(runs)
        varied = [key for key in union(run.overrides for run in runs) if key != "seed"]
        self.keys = [key for key in varied if len({run.overrides.get(key) for run in runs}) > 1]
        self._brief = {key: _brief({run.overrides.get(key, "") for run in runs}) for key in self.keys}
        present = union(run.summary for run in runs)
        self.loss = next((name for name in ("best_val_loss", "best_train_loss") if name in present), "train_loss")
        self.measured = [name for name in (self.loss, "test_accuracy", "test_r2") if name in present]
        groups: dict[tuple[str, ...], list[Entry]] = {}
        for run in runs:
            groups.setdefault(tuple(run.overrides.get(key, "") for key in self.keys), []).append(run)
        found = [Choice(values, own) for values, own in groups.items()]
        problems = list(dict.fromkeys(self.problem(run) for run in runs))
        self.choices = sorted(
            found, key=lambda c: (problems.index(self.problem(c.runs[0])), c.incomplete, c.mean(self.loss))
        )

    def shown(self, choice: Choice) -> list[str]:
        """The values of a choice, long numbers rounded to six digits where that keeps them apart."""
        return [self._brief[key][value] for key, value in zip(self.keys, choice.values, strict=True)]

    def label(self, choice: Choice, without: Sequence[str] = ()) -> str:
        """The choice in words, such as `optimizer=adam lr=0.1`."""
        short = [key.rpartition(".")[2] for key in self.keys]
        names = [s if short.count(s) == 1 else key for s, key in zip(short, self.keys, strict=True)]
        pairs = zip(self.keys, names, self.shown(choice), strict=True)
        return " ".join(f"{name}={value}" for key, name, value in pairs if key not in without) or "all runs"

    @cached_property
    def problem_keys(self) -> list[str]:
        """The keys that change what is to be learnt, so that losses cannot be compared across their values."""
        return [key for key in self.keys if key.partition(".")[0] in ("data", "head")]

    def problem(self, run: Entry) -> str:
        """The problem that a run was trained on, in words; empty where all runs have the same."""
        return " ".join(f"{key}={run.overrides.get(key, '')}" for key in self.problem_keys)

    @cached_property
    def problems(self) -> dict[str, "Comparison"]:
        """The runs on each problem that any has completed, compared among themselves; one nameless if there is one."""
        runs: dict[str, list[Entry]] = {}
        for run in self.runs:
            runs.setdefault(self.problem(run), []).append(run)
        found = {name: own for name, own in runs.items() if any(run.completed for run in own)}
        return {name: Comparison(own) for name, own in found.items()} if len(found) > 1 else {"": self}

    def differences(self) -> list[str]:
        """Sentences on which differences are larger than the noise over the seeds, for each problem."""
        return [
            (f"{name}: " if name else "") + _against_the_best(comparison)
            for name, comparison in list(self.problems.items())[:10]
        ]


def _against_the_best(comparison: Comparison) -> str:
    """Whether the best choice is better than the others by more than its noise, and by which test."""
    column = comparison.loss
    tried = [choice for choice in comparison.choices if len(choice.results(column)) > 1 and not choice.incomplete]
    if len(tried) < 2:
        return (
            "Nothing can be said about noise: that takes at least two choices with two runs or more each, with "
            "different seeds (seed=range(5)), all of which completed."
        )
    best, *others = sorted(tried, key=lambda choice: choice.mean(column))
    found = [difference(best, choice, column) for choice in others]
    pairs = len(tried) * (len(tried) - 1) // 2
    p = holm([value for _, value in found], pairs)
    within = [(choice, value) for choice, value in zip(others, p, strict=True) if value >= LEVEL]
    several = f", Holm-corrected for all {pairs} pairs, as the best was not chosen beforehand" if pairs > 1 else ""
    test = f"two-sided {' or '.join(dict.fromkeys(name for name, _ in found))}{several}, p {{}} {LEVEL}"
    names = [f"{comparison.label(choice)} (p = {value:.2g})" for choice, value in within[:5]]
    names += [f"{len(within) - 5} more"] if len(within) > 5 else []
    larger = len(others) - len(within)
    share = f"{larger} of the" if within else "all"
    over = "the other choice" if len(others) == 1 else f"{share} {len(others)} other choices"
    if larger:
        verdict = f"Its lead over {over} is larger than the noise over the seeds ({test.format('<')})"
        verdict += f"; within the noise lie {_listed(names)}" if names else ""
    else:
        verdict = f"Its lead lies within the noise over the seeds ({test.format('≥')}): {_listed(names)} may be as good"
    spread = f"{best.spread(column)} over {len(best.results(column))} runs"
    sentences = [f"{comparison.label(best)} has the lowest mean {words(column)}, {spread}.", f"{verdict}."]
    sentences += ["More seeds may tell more apart."] if within else []
    left = len(comparison.choices) - len(tried)
    why = "with a single run or with runs that did not complete"
    sentences += [f"Left out: {counted(left, 'choice')} {why}."] if left else []
    return " ".join(sentences)


def _brief(values: set[str]) -> dict[str, str]:
    """Each value as it is shown."""
    found = {
        value: f"{n:.6g}" if isinstance(n := number(value), float) and len(value) > 9 else value for value in values
    }
    return found if len(set(found.values())) == len(values) else {value: value for value in values}


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def difference(one: Choice, other: Choice, column: str) -> tuple[str, float]:
    """The test that fits, and its two-sided p-value for equal means.

    Where both have the same seeds it is Student's paired t-test, since a seed draws the same split and initial weights
    for both; otherwise Welch's.
    """
    from scipy.special import stdtr  # scipy.stats, which has both tests, takes most of a second to import

    a, b = one.by_seed(column), other.by_seed(column)
    paired = bool(a) and a.keys() == b.keys()
    x, y = (list(a.values()), [b[seed] for seed in a]) if paired else (one.results(column), other.results(column))
    name = "paired t-test by seed" if paired else "Welch's t-test"
    shifts = {p - q for p, q in zip(x, y, strict=True)} if paired else {*x, *y}
    if len(shifts) == 1:  # no noise at all, for which the statistic is 0 / 0
        return name, 1.0 if x == y else 0.0
    if paired:
        gaps = [p - q for p, q in zip(x, y, strict=True)]
        error, freedom = statistics.variance(gaps) / len(gaps), float(len(gaps) - 1)
    else:
        u, v = statistics.variance(x) / len(x), statistics.variance(y) / len(y)
        error = u + v
        freedom = error**2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1)) if error else math.nan
    shift = statistics.fmean(x) - statistics.fmean(y)
    if not error:
        return name, float(shift == 0)
    return name, 2 * float(stdtr(freedom, -abs(shift) / math.sqrt(error)))


def holm(p: Sequence[float], of: int) -> list[float]:
    """p-values corrected so that all rejections together err with the given level (Holm, 1979).

    They are those of some among `of` comparisons that could have been looked at.
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (of - rank) * p[i]))
        corrected[i] = least
    return corrected


_WORDS = {"val": "validation", "train": "training", "r2": "R²", "f1": "F1", "auroc": "area under the ROC curve"}


def words(column: str) -> str:
    """An entry of a summary in words, such as `best validation loss`."""
    return " ".join(_WORDS.get(part, part) for part in column.split("_"))


def counted(number: int, noun: str) -> str:
    """Such as `1 run` or `12 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def number(text: str) -> float | int | str:
    """A value as it was typed, as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def union(mappings: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of all mappings, in the order in which they first appear."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
