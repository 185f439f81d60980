"""Some of many settings, as people compare them: each optimizer at its best, settings that differ, mean ranks."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nettrain.results.comparison import Comparison, SeedGroup


def differing_keys(comparison: Comparison) -> list[str]:
    """The keys in which the settings on a problem differ, without those that say which problem it is."""
    keys = [key for i, key in enumerate(comparison.keys) if len({g.values[i] for g in comparison.groups}) > 1]
    return [key for key in keys if key not in comparison.problem_keys]


def leading_key(comparison: Comparison) -> str | None:
    """The key whose values are compared with one another, each at its best: the optimizer, another part, any other.

    None where no key differs.
    """
    keys = differing_keys(comparison)
    parts = [key for key in keys if "." not in key and key not in ("bs", "epochs")]
    return next(iter([*(["optimizer"] if "optimizer" in keys else []), *parts, *keys]), None)


def best_of_each(comparison: Comparison, key: str) -> dict[str, SeedGroup]:
    """The best setting with each value of a key, the best value first; only settings that have a result."""
    best: dict[str, SeedGroup] = {}
    at = comparison.keys.index(key)
    for group in comparison.groups:
        if group.results(comparison.monitored):
            best.setdefault(group.values[at], group)
    return best


def chosen(comparison: Comparison, most: int = 6) -> list[SeedGroup]:
    """At most so many settings, best first: all of few, of many the best with each value of the leading key."""
    groups = [group for group in comparison.groups if group.results(comparison.monitored)]
    if len(groups) > most and (key := leading_key(comparison)):
        groups = list(best_of_each(comparison, key).values())
    return groups[:most]


class MeanRank(NamedTuple):
    """How a setting does over several problems: its mean rank, 1 being the best, and on how many it is the first."""

    name: str
    rank: float
    firsts: int


class Ranking(NamedTuple):
    """Settings by their mean ranks over so many problems, the best first, and Friedman's p-value for equal ranks.

    The p-value is None for fewer than three problems or settings.
    """

    rows: list[MeanRank]
    problems: int
    p: float | None


def mean_ranks(comparison: Comparison, key: str | None = None) -> Ranking:
    """The mean ranks of the settings that were tried on all problems; with a `key` of its values, each at its best."""
    tables = []
    for problem in comparison.problems.values():
        groups = (
            {f"{key}={value}": group for value, group in best_of_each(problem, key).items()}
            if key
            else {problem.label(group): group for group in problem.groups}
        )
        tables.append({name: (group.bad, problem.rank(group)) for name, group in groups.items()})
    names = [name for name in tables[0] if all(name in table for table in tables)]
    ranks = [_ranks({name: table[name] for name in names}) for table in tables]
    rows = [
        MeanRank(name, sum(of[name] for of in ranks) / len(ranks), sum(of[name] == 1 for of in ranks)) for name in names
    ]
    return Ranking(sorted(rows, key=lambda row: row.rank), len(tables), _friedman(ranks))


def _ranks(results: Mapping[str, tuple[int, float]]) -> dict[str, float]:
    """The rank of each result, the least having 1; equal ones share the mean of theirs."""
    before, ranks = 0, dict[tuple[int, float], float]()
    for result, count in sorted(Counter(results.values()).items()):
        ranks[result] = before + (count + 1) / 2
        before += count
    return {name: ranks[result] for name, result in results.items()}


def _friedman(ranks: Sequence[Mapping[str, float]]) -> float | None:
    """The p-value of Friedman's test (1937), corrected for ties, of whether settings have equal ranks on n problems."""
    n, k = len(ranks), len(ranks[0])
    if n < 3 or k < 3:
        return None
    from scipy.special import chdtrc  # scipy.stats, which has the test, takes half a second more to import

    sums = [sum(of[name] for of in ranks) for name in ranks[0]]
    squares = math.fsum(rank**2 for of in ranks for rank in of.values())
    expected = n * k * (k + 1) ** 2 / 4
    if squares == expected:  # all are tied on every problem
        return None
    statistic = (k - 1) * (math.fsum(s**2 for s in sums) - n * expected) / (squares - expected)
    return float(chdtrc(k - 1, statistic))
