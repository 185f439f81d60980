"""Rows that have several labels, shared out so that each part has its share of every label."""

import numpy as np

from nettrain.data.partitions import require_folds
from nettrain.data.splits import check_fractions, shares


def split_labels(labels: np.ndarray, val_fraction: float, test_fraction: float, seed: int) -> dict[str, np.ndarray]:
    """The rows of "train", "val" and "test" as `splits.split` gives them, each with its share of every label (n, m)."""
    n = len(labels)
    check_fractions(val_fraction, test_fraction, n)
    val, test = round(n * val_fraction), round(n * test_fraction)
    part = share_out(labels, np.array([n - val - test, val, test]), seed)
    return {name: np.flatnonzero(part == i) for i, name in enumerate(("train", "val", "test"))}


def label_folds(labels: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The fold of each row, int64 (n,), as `partitions.folds` gives them; each has its share of every label (n, m)."""
    n = len(labels)
    require_folds(k, n, "row")
    return share_out(labels, n // k + (np.arange(k) < n % k), seed)


def share_out(labels: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """The number of the part of each row, int64 (n,), where part i has `sizes[i]` of the n rows: a pure function.

    `labels`, (n, m), are 0 and 1. The rows of each label, the rarest among those that are left first, are shared out by
    how many each part still lacks of it (iterative stratification: Sechidis, Tsoumakas and Vlahavas, 2011; here all
    rows of a label at once), rows without labels at the end.
    """
    n, m = labels.shape
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    there = np.ascontiguousarray(labels[order].T.astype(bool))
    counts = there.sum(1)  # of the rows that are left, by label
    lacking = np.outer(counts, sizes / n)  # of each label, by part
    room, part = np.array(sizes, dtype=np.int64), np.full(n, -1)
    for _ in range(m + 1):
        label = int(np.where(counts > 0, counts, n + 1).argmin())
        of_label = counts[label] > 0
        rows = np.flatnonzero((part < 0) & there[label] if of_label else part < 0)
        wanted = np.clip(lacking[label], 0, None) * (room > 0) if of_label else room
        wanted = wanted if wanted.any() else room
        of_part = shares(len(rows) * wanted / max(1, wanted.sum()), room, len(rows))
        part[rows] = np.repeat(np.arange(len(room)), of_part)
        room -= of_part
        taken = [there[:, some].sum(1) for some in np.split(rows, np.cumsum(of_part)[:-1])]
        lacking -= np.stack(taken, axis=1)
        counts -= sum(taken)
    result = np.empty(n, dtype=np.int64)
    result[order] = part
    return result
