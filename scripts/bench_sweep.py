"""How fast a sweep is, beside other ways to run one; `make bench-sweep` takes about a quarter of an hour.

256 runs of an MLP 64-64-64-10 on digits, bs=8, 5 epochs: 4 learning rates and 64 seeds. Whole processes are timed with
all files that they write, and steps of one run in steady state. Results go to docs/bench-sweep.md.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch
from benchmark import sweeps
from benchmark.timing import Spread, alternating

RUNS = 256


def whole_processes(seconds: float, rounds: int) -> dict[str, Spread]:
    """Seconds for 256 runs, and for the smaller numbers of runs from which the slow ones are extrapolated."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.npz"
        sweeps.save_digits(file)
        measures = {f"nettrain, stacked, {RUNS}": sweeps.nettrain("stacked", RUNS)}
        for runs in sweeps.PEER_RUNS:
            measures[f"nettrain, basic launcher, {runs}"] = sweeps.nettrain("basic", runs)
            for launcher in ("basic", "joblib"):
                measures[f"Lightning, {launcher} launcher, {runs}"] = sweeps.lightning(launcher, runs, file)
        return alternating(measures, seconds, rounds, rounds, warm=False)


def steady_state(seconds: float) -> dict[str, Spread]:
    """Seconds per step of one run."""
    rows = sweeps.eager_rows()
    measures = {
        f"nettrain, compiled, K = {RUNS}": sweeps.stacked_steps(RUNS, "compiled"),
        f"nettrain, eager, K = {rows}": sweeps.stacked_steps(rows, "eager"),
        f"JAX, vmap of a scan, K = {RUNS}": sweeps.jax_steps(RUNS),
        f"JAX, vmap of a scan, K = {rows}": sweeps.jax_steps(rows),
        f"modelbatch, K = {RUNS}": sweeps.modelbatch_steps(RUNS),
    }
    return alternating(measures, seconds)


def page(whole: dict[str, Spread], steps: dict[str, Spread]) -> str:
    """The results as a page; the ratios are to nettrain's stacked sweep."""
    few, more = sweeps.PEER_RUNS
    stacked = whole[f"nettrain, stacked, {RUNS}"].median
    lines = [
        "# How fast sweeps are",
        "",
        f"{RUNS} runs: MLP 64-64-64-10, digits, bs=8, 5 epochs, Adam, 4 learning rates x 64 seeds; float32, torch "
        f"{torch.__version__}, {os.cpu_count()} processors. Measured by `make bench-sweep`, in turns; medians.",
        "",
        "Whole processes, with all files written:",
        "",
        "| sweep | seconds | nettrain, stacked, is faster by |",
        "| --- | --- | --- |",
        f"| nettrain, stacked | {stacked:.1f} | 1.0 x |",
    ]
    for name in ("nettrain, basic launcher", "Lightning, basic launcher", "Lightning, joblib launcher"):
        a, b = whole[f"{name}, {few}"].median, whole[f"{name}, {more}"].median
        seconds = b + (b - a) / (more - few) * (RUNS - more)
        lines.append(f"| {name} | {seconds:.0f}* | {seconds / stacked:.0f} x |")
    lines += [
        "",
        f"*extrapolated: the line through the medians for {few} and {more} runs.",
        "",
        "Steady state, K runs trained together:",
        "",
        "| loop | microseconds per step of a run | quartiles |",
        "| --- | --- | --- |",
    ]
    for name, spread in steps.items():
        median, low, high = (value * 1e6 for value in (spread.median, spread.low, spread.high))
        lines.append(f"| {name} | {median:.1f} | {low:.1f} to {high:.1f} |")
    lines += [
        "",
        "All measurements in seconds:",
        "",
        "| what | median | quartiles | rounds |",
        "| --- | --- | --- | --- |",
    ]
    for name, spread in whole.items():
        lines.append(f"| {name} | {spread.median:.1f} | {spread.low:.1f} to {spread.high:.1f} | {spread.rounds} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of whole processes")
    parser.add_argument("--seconds", type=float, default=60.0, help="for the steps in steady state")
    parser.add_argument("--output", type=Path, default=Path("docs"))
    options = parser.parse_args()
    steps = steady_state(options.seconds)
    print(json.dumps({name: spread.median for name, spread in steps.items()}), flush=True)
    text = page(whole_processes(options.seconds, options.rounds), steps)
    print(text)
    options.output.mkdir(exist_ok=True)
    (options.output / "bench-sweep.md").write_text(text)


if __name__ == "__main__":
    main()
