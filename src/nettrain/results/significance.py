"""Which differences between settings are larger than the noise over their repetitions."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from nettrain.results.comparison import Comparison, SeedGroup, words
from nettrain.wording import counted, joined

LEVEL = 0.05  # of significance


def differences(comparison: Comparison) -> list[str]:
    """Sentences on which differences are larger than the noise over the seeds, for each problem."""
    return [
        (f"{name}: " if name else "") + _against_the_best(problem)
        for name, problem in list(comparison.problems.items())[:10]
    ]


def _against_the_best(comparison: Comparison) -> str:
    """Whether the best setting is better than the others by more than its noise, and by which test."""
    column = comparison.monitored
    tried = [group for group in comparison.groups if len(group.results(column)) > 1 and not group.incomplete]
    if len(tried) < 2:
        return (
            "Nothing can be said about noise: that takes at least two choices with two runs or more each, with "
            "different seeds (seed=range(5)), all of which completed."
        )
    best, *others = sorted(tried, key=comparison.rank)
    tests = [difference(best, group, column) for group in others]
    pairs = len(tried) * (len(tried) - 1) // 2
    p = holm([value for _, value in tests], pairs)
    within = [(group, value) for group, value in zip(others, p, strict=True) if value >= LEVEL]
    several = f", Holm-corrected for all {pairs} pairs, because the best was not chosen beforehand" if pairs > 1 else ""
    test = f"two-sided {' or '.join(dict.fromkeys(name for name, _ in tests))}{several}, p {{}} {LEVEL}"
    names = [f"{comparison.label(group)} (p = {value:.2g})" for group, value in within[:5]]
    names += [f"{len(within) - 5} more"] if len(within) > 5 else []
    larger = len(others) - len(within)
    share = f"{larger} of the" if within else "all"
    chance = "folds" if any("by fold" in name for name, _ in tests) else "seeds"
    over = "the other setting" if len(others) == 1 else f"{share} {len(others)} other settings"
    if larger:
        verdict = f"Its lead over {over} is larger than the noise over the {chance} ({test.format('<')})"
        verdict += f"; within the noise lie {joined(names)}" if names else ""
    else:
        verdict = (
            f"Its lead lies within the noise over the {chance} ({test.format('≥')}): {joined(names)} may be as good"
        )
    spread = f"{best.spread(column)} over {len(best.results(column))} runs"
    which = "lowest" if comparison.sign > 0 else "highest"
    sentences = [f"{comparison.label(best)} has the {which} mean {words(column)}, {spread}.", f"{verdict}."]
    sentences += ["More seeds may tell more apart."] if within else []
    left = len(comparison.groups) - len(tried)
    why = "with a single run or with runs that did not complete"
    sentences += [f"Left out: {counted(left, 'setting')} {why}."] if left else []
    return " ".join(sentences)


class Sample(NamedTuple):
    """Results by the repetition that they come from, of which tests take the variance times 1 / n + `ratio`.

    The ratio is 0 for independent results. For folds, whose training rows overlap, it is that of the validation rows to
    the training rows.
    """

    values: dict[Any, float]
    ratio: float = 0.0

    @property
    def factor(self) -> float:
        return 1 / len(self.values) + self.ratio


def _sample(group: SeedGroup, column: str) -> Sample:
    """The results of a group by repetition; by fold, and the seed that has drawn the folds, where there are several.

    Several seeds on one fold of one partition are averaged: their noise is that of training alone.
    """
    runs = [(run, value) for run in group.runs if (value := run.reached(column)) is not None]
    by_fold: dict[Any, list[float]] = {}
    for run, value in runs:
        by_fold.setdefault((run.summary.get("split_seed"), run.summary.get("fold")), []).append(value)
    if len(by_fold) > 1 and all("fold" in run.summary for run, _ in runs):
        ratios = [run.summary["rows_val"] / run.summary["rows_train"] for run, _ in runs]
        return Sample({fold: statistics.fmean(values) for fold, values in by_fold.items()}, statistics.fmean(ratios))
    return Sample(group.by_repetition(column) or dict(enumerate(group.results(column))))


def difference(one: SeedGroup, other: SeedGroup, column: str) -> tuple[str, float]:
    """The test that fits, and its two-sided p-value for equal means.

    Where both have the same repetitions it is Student's paired t-test, since a seed draws the same split and initial
    weights for both; otherwise Welch's. For folds the variance of a mean of n results is not s^2 / n but
    s^2 (1 / n + n_val / n_train): the corrected resampled t-test (Nadeau and Bengio, Inference for the generalization
    error, 2003), with several partitions as Bouckaert and Frank (2004) have it.
    """
    from scipy.special import stdtr  # scipy.stats, which has both tests, takes half a second more to import

    a, b = _sample(one, column), _sample(other, column)
    named = all(not isinstance(name, int) for name in a.values)
    paired = named and a.values.keys() == b.values.keys()
    x, y = list(a.values.values()), [b.values[name] for name in a.values] if paired else list(b.values.values())
    corrected = bool(a.ratio or b.ratio)
    name = f"paired t-test by {'fold' if corrected else 'seed'}" if paired else "Welch's t-test"
    name = f"{name}, corrected for overlapping training rows (Nadeau and Bengio)" if corrected else name
    if paired:
        gaps = [p - q for p, q in zip(x, y, strict=True)]
        variance, freedom = statistics.variance(gaps) * a.factor, float(len(gaps) - 1)
        no_noise = len(set(gaps)) == 1
    else:
        u, v = statistics.variance(x) * a.factor, statistics.variance(y) * b.factor
        variance = u + v
        freedom = variance**2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1)) if variance else math.nan
        no_noise = len({*x, *y}) == 1
    shift = statistics.fmean(x) - statistics.fmean(y)
    if no_noise or not variance:  # the statistic is 0 / 0 or infinite
        return name, float(shift == 0)
    return name, 2 * float(stdtr(freedom, -abs(shift) / math.sqrt(variance)))


def holm(p: Sequence[float], of: int) -> list[float]:
    """p-values corrected so that all rejections together err with the given level (Holm, 1979).

    They are those of some among `of` comparisons that could have been looked at.
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (of - rank) * p[i]))
        corrected[i] = least
    return corrected
