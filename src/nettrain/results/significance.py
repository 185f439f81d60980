"""Which differences between settings are larger than the noise over their repetitions."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from nettrain.results.comparison import Comparison, SeedGroup

LEVEL = 0.05  # of significance


class Verdict(NamedTuple):
    """How a setting stands beside the best one of its problem.

    `behind` is the difference of their means, at least 0; `margin` half the width of its 95 % interval; `p` the
    corrected p-value for equal means. Each is None where the runs do not tell.
    """

    word: str  # best, worse, worse?, within noise; or why nothing is said, such as one run, or 2 diverged
    behind: float | None = None
    margin: float | None = None
    p: float | None = None


class Noise(NamedTuple):
    """The verdicts on the settings of a comparison of one problem, in its order, and sentences that explain them."""

    verdicts: list[Verdict]
    sentences: list[str]


def noise(comparison: Comparison) -> Noise:
    """Which settings are worse than the best one by more than the noise over their seeds.

    p-values are corrected for all pairs of settings, because the best one was not chosen beforehand. Settings with a
    single run, and those of which a run did not complete, cannot be told apart from others.
    """
    column, groups = comparison.monitored, comparison.groups
    tried = [group for group in groups if len(group.results(column)) > 1 and not group.incomplete]
    best = groups[0]
    others = [group for group in tried if group is not best] if best in tried else []
    tests = [difference(best, group, column) for group in others]
    pairs = len(tried) * (len(tried) - 1) // 2
    corrected = dict(
        zip(map(id, others), zip(tests, holm([test.p for test in tests], pairs), strict=True), strict=True)
    )
    verdicts = []
    for group in groups:
        gap = comparison.rank(group) - comparison.rank(best)
        behind = gap if group is not best and math.isfinite(gap) else None
        if test_and_p := corrected.get(id(group)):
            test, p = test_and_p
            word = "worse" if p < LEVEL else "worse?" if test.p < LEVEL else "within noise"
            verdicts.append(Verdict(word, behind, test.margin, p))
        else:
            verdicts.append(Verdict(_why_untold(group, best, column), behind))
    return Noise(verdicts, _sentences(tests, pairs))


def _why_untold(group: SeedGroup, best: SeedGroup, column: str) -> str:
    if group.incomplete:
        counts = [(group.count(status), status) for status in ("failed", "diverged", "interrupted")]
        return ", ".join(f"{count} {status}" for count, status in counts if count)
    if group is best:
        return "best"
    return "one run" if len(group.results(column)) < 2 else "unknown"


def _sentences(tests: Sequence["Difference"], pairs: int) -> list[str]:
    """What the verdicts mean, and by which tests they were found."""
    if not tests:
        return [
            "Nothing can be said about noise: that takes at least two settings with two runs or more each, with "
            "different seeds (seed=range(5)), all of which completed; and the best one must be among them."
        ]
    several = f", Holm-corrected for all {pairs} pairs, because the best was not chosen beforehand" if pairs > 1 else ""
    named = " or ".join(dict.fromkeys(test.name for test in tests))
    chance = "folds" if any("by fold" in test.name for test in tests) else "seeds"
    return [
        "Behind the best: the difference of the means, with its 95 % interval.",
        f"A setting is worse where that is more than the noise over the {chance}, p < {LEVEL}: two-sided "
        f"{named}{several}. One that is worse by its own test alone has a question mark; within noise it may be as "
        f"good. More {chance} may tell.",
    ]


class Difference(NamedTuple):
    """The test of whether two settings have the same mean: its name, two-sided p-value, half the 95 % interval."""

    name: str
    p: float
    margin: float


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


def difference(one: SeedGroup, other: SeedGroup, column: str) -> Difference:
    """The test that fits for equal means, and what it says.

    Where both have the same repetitions it is Student's paired t-test, since a seed draws the same split and initial
    weights for both; otherwise Welch's. For folds the variance of a mean of n results is not s^2 / n but
    s^2 (1 / n + n_val / n_train): the corrected resampled t-test (Nadeau and Bengio, Inference for the generalization
    error, 2003), with several partitions as Bouckaert and Frank (2004) have it.
    """
    from scipy.special import stdtr, stdtrit  # scipy.stats, which has both tests, takes half a second more to import

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
        return Difference(name, float(shift == 0), 0.0)
    deviation = math.sqrt(variance)
    margin = float(stdtrit(freedom, 1 - LEVEL / 2)) * deviation
    return Difference(name, 2 * float(stdtr(freedom, -abs(shift) / deviation)), margin)


def holm(p: Sequence[float], of: int) -> list[float]:
    """p-values corrected so that all rejections together err with the given level (Holm, 1979).

    They are those of some among `of` comparisons that could have been looked at.
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (of - rank) * p[i]))
        corrected[i] = least
    return corrected
