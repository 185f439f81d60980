"""The tables and the plot of a benchmark's results."""

from functools import partial
from pathlib import Path
from typing import Any

PEER = "PyTorch, DataLoader"


def page(results: dict[str, Any]) -> str:
    """All tables as Markdown."""
    machine = f"{results['processors']} processors, {results['machine']}, torch {results['torch']}"
    lines = [
        "# How fast nettrain is",
        "",
        f"Measured by `make bench` ({machine}): medians of alternating rounds, float32. All numbers, with quartiles, "
        "are in bench.json.",
    ]
    for threads, parts in results["threads"].items():
        lines += ["", f"## With {threads} thread{'s' if threads != '1' else ''}"]
        for part, numbers in parts.items():
            lines += ["", *_TABLES[part](numbers)]
    return "\n".join(lines) + "\n"


def _grid(cells: list[dict[str, Any]]) -> list[str]:
    lines = [
        "### Microseconds per step",
        "",
        "An MLP on the rows of digits, Adam, an epoch with shuffling, no validation. In brackets: how many times as "
        "fast as the loop of most tutorials, with a `DataLoader`.",
    ]
    for hidden in {str(cell["hidden"]): None for cell in cells}:
        chosen = [cell for cell in cells if str(cell["hidden"]) == hidden]
        widths = "-".join(map(str, [64, *chosen[0]["hidden"], 10]))
        names = list(chosen[0]["seconds"])
        lines += ["", _row(f"MLP {widths}, {chosen[0]['parameters']:,} parameters", *(f"bs={c['bs']}" for c in chosen))]
        lines += [_rule(1 + len(chosen))]
        for name in names:
            medians = [(c["seconds"][name]["median"], c["seconds"][PEER]["median"]) for c in chosen]
            lines += [_row(name, *(f"{own * 1e6:.0f} ({peer / own:.1f} x)" for own, peer in medians))]
    return lines


def _samples(cells: list[dict[str, Any]]) -> list[str]:
    lines = ["### Microseconds per step and the number of samples", "", "MLP 64-64-64-10, bs=64.", ""]
    lines += [_row("", *(f"n={cell['samples']:,}" for cell in cells)), _rule(1 + len(cells))]
    return lines + [
        _row(name, *(f"{cell['seconds'][name]['median'] * 1e6:.0f}" for cell in cells)) for name in cells[0]["seconds"]
    ]


def _update_rules(cells: list[dict[str, Any]]) -> list[str]:
    title = "### Milliseconds per update of 10 million parameters, beside torch.optim's fastest variant"
    return _pairs(title, cells, 1e3)


def _drop_in(cells: list[dict[str, Any]]) -> list[str]:
    title = "### Microseconds per step of `nettrain.optim` on 200 parameter tensors, beside torch.optim with foreach"
    return _pairs(title, cells, 1e6)


def _pairs(title: str, cells: list[dict[str, Any]], unit: float) -> list[str]:
    """Times, and in brackets how many times as fast as torch.optim."""
    names = list(cells[0]["seconds"])
    lines = [title, "", _row("", *names), _rule(len(names) + 1)]
    for cell in cells:
        theirs, *own = (cell["seconds"][name]["median"] * unit for name in names)
        lines += [_row(cell["name"], f"{theirs:.1f}", *(f"{time:.1f} ({theirs / time:.2f} x)" for time in own))]
    return lines


def _network(cells: list[dict[str, Any]]) -> list[str]:
    (cell,) = cells
    lines = [f"### {cell['name']}", "", _row("", "milliseconds per step", "peak memory, GiB"), _rule(3)]
    for name, spread in cell["seconds"].items():
        lines += [_row(name, f"{spread['median'] * 1e3:.0f}", f"{cell['peak_bytes'][name] / 2**30:.2f}")]
    return lines


def _networks(cells: list[dict[str, Any]], title: str = "networks beyond the MLP, on digits") -> list[str]:
    lines = [f"### Microseconds per step of a run, {title}", "", "bs=32, Adam.", ""]
    lines += [_row("", *(cell["name"] for cell in cells)), _rule(1 + len(cells))]
    for name in cells[0]["seconds"]:
        lines += [_row(name, *(f"{cell['seconds'][name]['median'] * 1e6:.0f}" for cell in cells))]
    return lines


def _startup(numbers: dict[str, Any]) -> list[str]:
    lines = ["### Seconds of a whole process", "", _row("", "seconds"), _rule(2)]
    return lines + [_row(name, f"{spread['median']:.2f}") for name, spread in numbers.items()]


def _busy(numbers: dict[str, Any]) -> list[str]:
    lines = [
        "### Seconds of a whole process on an idle machine, and beside a computing process for each processor",
        "",
        "Fair is what a process takes that keeps as many threads busy and gets its share of the processors.",
        "",
        _row("", "idle", "busy", "busy, times the fair time"),
        _rule(4),
    ]
    for name, cell in numbers.items():
        idle, beside = cell["idle"]["median"], cell["busy"]["median"]
        lines.append(_row(name, f"{idle:.1f}", f"{beside:.1f}", f"{beside / cell['fair']:.2f}"))
    return lines


_TABLES = {
    "grid": _grid,
    "samples": _samples,
    "update_rules": _update_rules,
    "drop_in": _drop_in,
    "network": _network,
    "networks": _networks,
    "single": partial(_networks, title="networks alone, on noise"),
    "startup": _startup,
    "busy": _busy,
}


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns


def plot(results: dict[str, Any], path: Path) -> None:
    """Microseconds per step against the batch size, a panel for each network, with the first number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = next(iter(results["threads"].values()))["grid"]
    sizes = list({str(cell["hidden"]): cell["hidden"] for cell in cells}.values())
    figure, axes = pyplot.subplots(1, len(sizes), figsize=(4.2 * len(sizes), 4.4), sharey=True, layout="constrained")
    for axis, hidden in zip(axes, sizes, strict=True):
        chosen = [cell for cell in cells if cell["hidden"] == hidden]
        for i, name in enumerate(chosen[0]["seconds"]):
            spreads = [cell["seconds"][name] for cell in chosen]
            ours = name.startswith("nettrain")
            axis.plot(
                [cell["bs"] for cell in chosen],
                [spread["median"] * 1e6 for spread in spreads],
                marker="o" if ours else "osv^D<>"[i % 7],
                color=["#0072b2", "#d55e00"][name.endswith("compiled")] if ours else str(0.15 + 0.1 * i),
                linewidth=2.5 if ours else 1.0,
                markersize=6 if ours else 4,
                label=name,
                zorder=3 if ours else 2,
            )
        axis.set(xscale="log", yscale="log", xlabel="batch size", title="MLP " + "-".join(map(str, [64, *hidden, 10])))
        axis.set_xticks([cell["bs"] for cell in chosen], [str(cell["bs"]) for cell in chosen])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("microseconds per step")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
