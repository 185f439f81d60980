"""Which differences between settings are larger than the noise over their repetitions."""

import math
import statistics
from collections.abc import Sequence

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
    over = "the other setting" if len(others) == 1 else f"{share} {len(others)} other settings"
    if larger:
        verdict = f"Its lead over {over} is larger than the noise over the seeds ({test.format('<')})"
        verdict += f"; within the noise lie {joined(names)}" if names else ""
    else:
        verdict = f"Its lead lies within the noise over the seeds ({test.format('≥')}): {joined(names)} may be as good"
    spread = f"{best.spread(column)} over {len(best.results(column))} runs"
    which = "lowest" if comparison.sign > 0 else "highest"
    sentences = [f"{comparison.label(best)} has the {which} mean {words(column)}, {spread}.", f"{verdict}."]
    sentences += ["More seeds may tell more apart."] if within else []
    left = len(comparison.groups) - len(tried)
    why = "with a single run or with runs that did not complete"
    sentences += [f"Left out: {counted(left, 'setting')} {why}."] if left else []
    return " ".join(sentences)


def difference(one: SeedGroup, other: SeedGroup, column: str) -> tuple[str, float]:
    """The test that fits, and its two-sided p-value for equal means.

    Where both have the same repetitions it is Student's paired t-test, since a seed draws the same split and initial
    weights for both; otherwise Welch's.
    """
    from scipy.special import stdtr  # scipy.stats, which has both tests, takes half a second more to import

    a, b = one.by_repetition(column), other.by_repetition(column)
    paired = bool(a) and a.keys() == b.keys()
    x, y = (list(a.values()), [b[name] for name in a]) if paired else (one.results(column), other.results(column))
    name = "paired t-test by seed" if paired else "Welch's t-test"
    if paired:
        gaps = [p - q for p, q in zip(x, y, strict=True)]
        variance, freedom = statistics.variance(gaps) / len(gaps), float(len(gaps) - 1)
        no_noise = len(set(gaps)) == 1
    else:
        u, v = statistics.variance(x) / len(x), statistics.variance(y) / len(y)
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
