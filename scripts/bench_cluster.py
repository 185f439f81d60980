"""What it costs to go beyond one process; `make bench-cluster` takes some minutes.

`--part ranks`: one large run on two ranks, beside one; `--part launchers`: sweeps on workers, beside those of one
process, and what a run costs the process that sends it, by `--runs` of them. It prints tables, and writes them to
docs/bench-cluster.md, with all numbers in docs/bench-cluster.json; what is not measured stays there as it was.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from benchmark import launchers, ranks

PARTS: dict[str, Any] = {
    "ranks": ranks,
    "launchers": launchers,
}  # modules with a function run(options), and one that makes its page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for the ranks")
    parser.add_argument("--runs", type=int, default=4000, help="by which the cost of a launch is found")
    parser.add_argument("--part", choices=list(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("docs"), help="the folder of the results")
    options = parser.parse_args()
    path = options.output / "bench-cluster.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for part in options.part:
        machine = f"{os.cpu_count()} processors, {platform.machine()}, torch {torch.__version__}"
        results[part] = {"machine": machine, **PARTS[part].run(options)}
    options.output.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    lines = ["# Beyond one process", "", "Measured by `make bench-cluster`; all numbers are in bench-cluster.json."]
    for part, numbers in results.items():
        lines += ["", f"## {part.capitalize()} ({numbers['machine']})", "", *PARTS[part].page(numbers)]
    text = "\n".join(lines) + "\n"
    print(text)
    (options.output / "bench-cluster.md").write_text(text)


if __name__ == "__main__":
    main()
