"""The tables of many runs in a report: what won, by how much, and whether that is noise; and each value at its best."""

from collections.abc import Sequence

from nettrain.report.html import Section, brief_number
from nettrain.results.comparison import Comparison, SeedGroup, words
from nettrain.results.selection import best_of_each, differing_keys, leading_key, mean_ranks
from nettrain.results.significance import LEVEL, Noise, Verdict, noise
from nettrain.wording import counted

MOST = 20  # settings in a leaderboard
VALUES = 12  # of a key that are shown at their best
PROBLEMS = 10  # that have a leaderboard


def sweep_sections(comparison: Comparison) -> list[Section]:
    """The leaderboard of each problem, the mean ranks over several, and every value of the keys at its best."""
    several = len(comparison.problems) > 1
    sections = _ranks(comparison) if several else []
    problems = list(comparison.problems.items())[:PROBLEMS]
    told = [noise(problem) for _, problem in problems]
    for (name, problem), verdicts in zip(problems, told, strict=True):
        sections.append(_leaderboard(problem, verdicts, f"Leaderboard of {name}" if several else "Leaderboard"))
    for (name, problem), verdicts in zip(problems, told, strict=True):
        sections += _at_their_best(problem, verdicts, f" on {name}" if several else "")
    return sections


def _leaderboard(comparison: Comparison, told: Noise, heading: str) -> Section:
    """The settings, best first: mean and spread over the seeds, and how far they are behind the best."""
    statuses = [s for s in ("diverged", "failed", "interrupted") if any(group.count(s) for group in comparison.groups)]
    keys = [key for key in comparison.keys if key not in comparison.problem_keys]
    first, *others = comparison.measured or [comparison.monitored]
    verdict = _verdict_header(comparison)
    header = [*keys, "runs", *statuses, words(first), *verdict, *map(words, others), "folder"]
    rows = []
    for group, of_group in list(zip(comparison.groups, told.verdicts, strict=True))[:MOST]:
        values = dict(zip(comparison.keys, comparison.shown(group), strict=True))
        counts = map(str, [len(group.runs), *map(group.count, statuses)])
        rest = [*map(group.spread, others), comparison.best_of(group).name]
        cells = _verdict_cells(of_group) if verdict else []
        rows.append([*(values[key] for key in keys), *counts, group.spread(first), *cells, *rest])
    counted_runs = "completed or were interrupted" if statuses[-1:] == ["interrupted"] else "completed"
    about = f"Mean ± standard deviation over the runs of each setting that {counted_runs}, best first."
    notes = told.sentences if verdict else []
    notes = [*notes, "The folder is that of a setting's best run."]
    left = len(comparison.groups) - MOST
    notes += [f"{counted(left, 'more setting')} are left out; results.csv has all runs."] if left > 0 else []
    if known := comparison.baseline:
        reached = ", ".join(f"{words(name)} {brief_number(value)}" for name, value in known.items())
        notes.append(f"The most frequent class or the mean of the training rows, for any x, reaches {reached}.")
    return Section(heading, [about], header, rows, notes)


def _verdict_header(comparison: Comparison) -> list[str]:
    return ["behind the best", "p", "verdict"] if len(comparison.groups) > 1 else []


def _verdict_cells(verdict: Verdict) -> list[str]:
    behind = "–" if verdict.behind is None else f"{verdict.behind:.3g}"
    behind += "" if verdict.margin is None else f" ± {verdict.margin:.2g}"
    return [behind, "–" if verdict.p is None else f"{verdict.p:.2g}", verdict.word]


def _at_their_best(comparison: Comparison, told: Noise, of: str) -> list[Section]:
    """A row for each value of the keys: the best setting that has it; nothing where a single key differs."""
    keys = differing_keys(comparison)
    if len(keys) < 2:
        return []
    verdicts = dict(zip(map(id, comparison.groups), told.verdicts, strict=True))
    first = comparison.monitored
    leading = leading_key(comparison)
    rows: list[list[str]] = []
    for key in sorted(keys, key=lambda key: key != leading):
        best = best_of_each(comparison, key)
        if 1 < len(best) <= VALUES:
            for group in best.values():
                value, others = _taken_apart(comparison, group, key, keys)
                cells = _verdict_cells(verdicts[id(group)])
                rows.append([key, value, others, str(len(group.runs)), group.spread(first), *cells])
    header = ["key", "value", "best with", "runs", words(first), *_verdict_header(comparison)]
    about = "Each value of each key with the other keys as they suit it best; behind the best is as in the leaderboard."
    return [Section(f"Each value at its best{of}", [about], header, rows)] if rows else []


def _taken_apart(comparison: Comparison, group: SeedGroup, key: str, keys: Sequence[str]) -> tuple[str, str]:
    """A setting's value of a key, and its values of the other `keys` in words."""
    values = dict(zip(comparison.keys, comparison.shown(group), strict=True))
    others = [f"{other.rpartition('.')[2]}={values[other]}" for other in keys if other != key and values[other]]
    return values[key], " ".join(others)


def _ranks(comparison: Comparison) -> list[Section]:
    """The mean ranks over several problems: of the settings, and of the leading key's values, each at its best."""
    key = leading_key(comparison)
    by_value = [(f"Mean ranks of each {key} at its best", key)] if len(differing_keys(comparison)) > 1 else []
    sections = []
    for heading, of in [*by_value, ("Mean ranks of the settings", None)]:
        ranking = mean_ranks(comparison, of)
        if len(ranking.rows) < 2:
            continue
        notes = [f"The mean of a setting's ranks on {ranking.problems} problems, among those that were tried on all."]
        notes += ["Runs that diverged or failed come before the mean result in a rank."]
        notes += [] if ranking.p is None else [_friedman(ranking.p)]
        rows = [[row.name, f"{row.rank:.3g}", f"{row.firsts} of {ranking.problems}"] for row in ranking.rows[:MOST]]
        sections.append(Section(heading, header=["setting", "mean rank", "best on"], rows=rows, notes=notes))
    return sections


def _friedman(p: float) -> str:
    """What Friedman's test says, in a sentence."""
    verdict = "the ranks differ by more than chance" if p < LEVEL else "such ranks may be chance"
    return f"Friedman's test of equal ranks: p = {p:.2g}; {verdict}."
