"""`Table`: a data set as named columns and a target, before anything is scaled or split."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Table:
    """`n` rows of named feature columns and, where there is one, their target.

    `columns` maps a name to an array of shape (n,): float64 with NaN for a missing number, or object with
    None for a missing text. `target` has shape (n,): int64 indices into `classes`, or float64 for regression;
    None for a table without one. `task` is "binary" (index 1 is the positive class), "multiclass" or
    "regression" (`classes` is empty). `source` is the name or path that messages give; `notes` are sentences
    on what reading left out.
    """

    columns: dict[str, np.ndarray]
    target: np.ndarray | None
    target_name: str
    task: str
    classes: list[str]
    source: str
    notes: list[str] = field(default_factory=list)
