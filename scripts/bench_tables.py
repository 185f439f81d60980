"""How good nettrain is on tables, beside other methods; `make bench-tables` goes on where it was interrupted.

Public tables, fixed splits, three seeds, one thread. Every result is written to docs/bench-tables.json as it comes, and
docs/bench-tables.md is made of it.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before NumPy is there

import argparse
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark.table_methods import PEERS, Method, class_names, nettrain
from benchmark.table_results import Results, page, picture
from benchmark.table_sets import TABLES, TableSet

SEEDS = (0, 1, 2)
RECIPE = "nettrain"
OURS: dict[str, Method] = {
    RECIPE: nettrain(),
    "nettrain, 8 members": nettrain("members=8"),
    "nettrain, model=mlp": nettrain("model=mlp"),
}
CHANGES = (  # of the recipe, one at a time
    "recipe=plain data.test_fraction=0",
    "model.k=8",
    "data.test_fraction=0.15",
    "data.numbers=standard",
    "schedule=constant optimizer.lr=0.001",
    "activation=relu",
    "model.dropout=0",
    "calibrate=never",
)
ABLATED: dict[str, Method] = {f"nettrain, {words}": nettrain(*words.split()) for words in CHANGES}
METHODS = {**OURS, **PEERS, **ABLATED}
SMALL = next(table for table in TABLES if table.name == "cars")


def cpu_seconds() -> float:
    """Those that this process, its threads and its children have taken."""
    return sum(os.times()[:4])


def measure(table: TableSet, method: Method, seed: int) -> dict[str, float]:
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


def stored(path: Path) -> Results:
    """All results so far."""
    return json.loads(path.read_text()) if path.exists() else {}


def store(path: Path, name: str, key: str, result: dict[str, float]) -> None:
    """Add one to those that are there, which another process may add to as well."""
    results = stored(path)
    results.setdefault(name, {})[key] = result
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    scratch.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--tables", nargs="*", default=[table.name for table in TABLES], metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--output", type=Path, default=Path("docs"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    path = options.output / "bench-tables.json"
    for seed, name in itertools.product(options.seeds, options.methods):
        chosen = [table for table in TABLES if table.name in options.tables]
        left = [table for table in chosen if f"{table.name}/{seed}" not in stored(path).get(name, {})]
        if left:
            measure(SMALL, METHODS[name], seed)  # imports its libraries
        for table in left:
            result = measure(table, METHODS[name], seed)
            store(path, name, f"{table.name}/{seed}", result)
            numbers = f"{result['loss']:.5g} {result['error']:.4g} {result['seconds']:.2f} s"
            print(f"{name:34} {table.name:14} seed {seed}  {numbers}", flush=True)
    results = stored(path)
    (options.output / "bench-tables.md").write_text(page(results, list(OURS), list(PEERS), RECIPE, list(ABLATED)))
    picture(results, [name for name in (*OURS, *PEERS) if name in results], options.output / "bench-tables.png")


if __name__ == "__main__":
    main()
