"""How good nettrain is on tables, beside other methods; `make bench-tables` goes on where it was interrupted.

Public tables, fixed splits, three seeds, one thread. Every result is written to docs/bench-tables.json as it comes, and
docs/bench-tables.md is made of it.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before NumPy is there

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmark.table_methods import PEERS, Method, class_names, nettrain
from benchmark.table_sets import TABLES, TableSet

SEEDS = (0, 1, 2)
OURS: dict[str, Method] = {"nettrain": nettrain(), "nettrain, 8 members": nettrain("members=8")}
METHODS = {**OURS, **PEERS}


def cpu_seconds() -> float:
    """Those that this process, its threads and its children have taken."""
    return sum(os.times()[:4])


def measure(table: TableSet, method: Method, seed: int) -> dict[str, Any]:
    """The loss and the error of a method on the test rows, and the CPU seconds of learning and predicting."""
    train, test = table.split(seed)
    before = cpu_seconds()
    predicted = method(table, train, test, seed)
    seconds = cpu_seconds() - before
    y = test[table.target].to_numpy()
    if not table.classes:
        rmse = float(np.sqrt(np.mean((predicted - y) ** 2)))
        return {"loss": rmse, "error": rmse, "seconds": seconds}
    names = class_names(table, train)
    index = pd.Index(names).get_indexer(y)
    p = predicted / predicted.sum(1, keepdims=True)
    loss = float(-np.log(np.clip(p[np.arange(len(y)), index], 1e-7, 1)).mean())
    return {"loss": loss, "error": float((p.argmax(1) != index).mean()), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--tables", nargs="*", default=[table.name for table in TABLES], metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--output", type=Path, default=Path("docs"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    path = options.output / "bench-tables.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for seed in options.seeds:
        for name in options.methods:
            for table in TABLES:
                key = f"{table.name}/{seed}"
                if table.name not in options.tables or key in results.get(name, {}):
                    continue
                result = measure(table, METHODS[name], seed)
                print(
                    f"{name:34} {key:18} {result['loss']:.5g} {result['error']:.4g} {result['seconds']:.2f} s",
                    flush=True,
                )
                results = json.loads(path.read_text()) if path.exists() else {}
                results.setdefault(name, {})[key] = result
                scratch = path.with_suffix(".tmp")
                scratch.write_text(json.dumps(results, indent=1))
                scratch.replace(path)


if __name__ == "__main__":
    main()
