"""The leaderboard of a sweep on the terminal: what won, on how many seeds, and whether that is noise."""

import textwrap

from nettrain.results.comparison import Comparison, number
from nettrain.results.selection import differing_keys, leading_key, mean_ranks
from nettrain.results.significance import noise
from nettrain.terminal import painted
from nettrain.wording import counted

PROBLEMS = 10  # that have a table


def leaderboard(comparison: Comparison, most: int = 20, width: int = 80) -> str:
    """Tables of the sweep's settings, best first, in `width` columns: one for each problem, and mean ranks over them.

    They have the mean and the standard deviation over the seeds, and where seeds tell whether a setting is worse than
    the best one by more than their noise.
    """
    sizes = sorted({left for group in comparison.groups if (left := len(group.runs) - group.bad)}) or [0]
    each = counted(sizes[0], "run") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} runs"
    about = f"{counted(len(comparison.runs), 'run')}; mean ± standard deviation over {each} of each setting"
    about += ", without those that diverged or failed" if any(group.bad for group in comparison.groups) else ""
    about += ", and the folder of its best run" if sizes[-1] > 1 else ""
    lines = textwrap.wrap(about, width)
    problems = comparison.problems
    for name, problem in list(problems.items())[:PROBLEMS]:
        lines += [painted(_cut(name, width), "bold")] if name else []
        lines += _table(problem, max(5, most // len(problems)), width)
    if len(problems) > PROBLEMS:
        lines.append(f"... and {counted(len(problems) - PROBLEMS, 'more problem')} in results.csv")
    if len(problems) > 1:
        lines += _mean_ranks(comparison, most, width)
    elif known := comparison.baseline:
        reached = ", ".join(f"{name} {value:.4g}" for name, value in known.items())
        lines.append(f"baseline (a constant prediction): {reached}")
    return "\n".join(lines)


def _table(comparison: Comparison, most: int, width: int) -> list[str]:
    """The settings of one problem: those that come first, the best one in green."""
    statuses = ["interrupted"] if any(group.count("interrupted") for group in comparison.groups) else []
    counts = ["runs", "bad", *statuses]
    verdicts = noise(comparison).verdicts if len(comparison.groups) > 1 else []
    told = any(verdict.p is not None for verdict in verdicts)
    keys = [key for key in comparison.keys if key not in comparison.problem_keys]
    first, *others = comparison.measured or [comparison.monitored]
    table = [[*(key.rpartition(".")[2] for key in keys), "folder", *counts, first, *(["vs best"] if told else [])]]
    table[0] += others
    for i, group in enumerate(comparison.groups[:most]):
        values = dict(zip(comparison.keys, comparison.shown(group), strict=True))
        numbers = {"runs": len(group.runs), "bad": group.bad, "interrupted": group.count("interrupted")}
        row = [*(values[key] for key in keys), comparison.best_of(group).name, *(str(numbers[name]) for name in counts)]
        verdict = [_VERDICTS.get(verdicts[i].word, "-")] if told else []
        table.append([*row, group.spread(first), *verdict, *map(group.spread, others)])
    columns = _fitted([list(column) for column in zip(*table, strict=True)], len(keys) + 1, len(others), width)
    header, best, *rest = ["  ".join(row) for row in zip(*columns, strict=True)]
    more = len(comparison.groups) - most
    rest += [f"... and {more} more in results.csv"] if more > 0 else []
    return [painted(header, "bold"), painted(best, "green"), *rest]


_VERDICTS = {"best": "best", "worse": "worse", "worse?": "worse?", "within noise": "noise"}


def _mean_ranks(comparison: Comparison, most: int, width: int) -> list[str]:
    """How settings do over all problems, and the values of the leading key, each at its best on every problem."""
    key = leading_key(comparison)
    lines: list[str] = []
    for of in dict.fromkeys([key if len(differing_keys(comparison)) > 1 else None, None]):
        ranking = mean_ranks(comparison, of)
        if len(ranking.rows) < 2:
            continue
        which = f"each {of} at its best" if of else "the settings"
        lines.append(painted(f"mean rank over {ranking.problems} problems, {which}", "bold"))
        for row in ranking.rows[:most]:
            lines.append(f"{row.rank:9.3g}  {_cut(row.name, width - 32)}  (best on {row.firsts})")
    return lines


def _fitted(columns: list[list[str]], keys: int, droppable: int, width: int) -> list[list[str]]:
    """The columns, aligned to the right, in so many letters.

    The first `keys` are shortened as long as that keeps their cells apart; then the last `droppable` columns are left
    out, one by one; then the widest of the first are shortened whatever becomes of them.
    """
    widths = [max(map(len, column)) for column in columns]

    def too_wide() -> bool:
        return sum(widths) + 2 * (len(widths) - 1) > width

    while too_wide():
        apart = [i for i in range(keys) if _apart(columns[i][1:], widths[i] - 1)]
        if apart:
            widths[max(apart, key=widths.__getitem__)] -= 1
        elif droppable:
            del columns[-1], widths[-1]
            droppable -= 1
        elif max(widths[:keys], default=0) > 3:
            widths[widths.index(max(widths[:keys]))] -= 1
        else:
            break
    return [[_cell(cell, w) for cell in column] for column, w in zip(columns, widths, strict=True)]


def _apart(cells: list[str], width: int) -> bool:
    """Whether cells that differ still do when they are cut, to no fewer than four letters; numbers never are."""
    cut = [cell for cell in cells if len(cell) > width]
    numbers = any(not isinstance(number(cell), str) for cell in cut)
    return width >= 4 and not numbers and len({_cut(cell, width) for cell in cells}) == len(set(cells))


def _cell(text: str, width: int) -> str:
    return _cut(text, width).rjust(width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
