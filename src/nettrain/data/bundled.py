"""Six real data sets, which lie beside this file: column names, names of classes, and rows with the target last."""

import gzip
from pathlib import Path

import numpy as np

from nettrain.data.table import Table
from nettrain.wording import listed


def bundled(name: str, targets: int = 1) -> Table:
    """The data set of this name, whose last columns are its targets."""
    with gzip.open(Path(__file__).parent / "tables" / f"{name}.csv.gz", "rt") as lines:
        names = lines.readline().strip().split(",")
        features, last = names[:-targets], names[-targets:]
        first, *rows = lines.read().splitlines()
    classes = first.removeprefix("# ").split(",") if first.startswith("# ") else []
    values = np.loadtxt(rows if classes else [first, *rows], delimiter=",")
    columns = {feature: values[:, i].copy() for i, feature in enumerate(features)}
    if targets > 1:
        return Table(columns, values[:, -targets:], listed(last), "regression", [], name, targets=last)
    (target,) = last
    if not classes:
        return Table(columns, values[:, -1], target, "regression", [], name)
    task = "binary" if len(classes) == 2 else "multiclass"
    return Table(columns, values[:, -1].astype(np.int64), target, task, classes, name)
