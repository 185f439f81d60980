"""Which rows train, which validate, which test."""

from collections.abc import Iterable

import numpy as np

from nettrain.errors import ConfigError, DataError


def monitored_split(splits: Iterable[str]) -> str:
    """The split by whose loss epochs and runs are compared: "val" where it is among the `splits`, else "train"."""
    return "val" if "val" in splits else "train"


def split(target: np.ndarray, task: str, val_fraction: float, test_fraction: float, seed: int) -> dict[str, np.ndarray]:
    """The rows of "train", "val" and "test": ascending int64 indices, a pure function of the arguments.

    `val` and `test` hold `round(n * fraction)` of the `n` rows, none for a fraction of 0. Unless `task` is
    "regression" each class of `target`, shape (n,), is shared out in these proportions (largest remainder) and has at
    least one row in "train"; for regression rows are drawn at random. Raises `ConfigError` for fractions that leave
    nothing to train on, `DataError` where `n` is too small.
    """
    fractions, n = {"val": val_fraction, "test": test_fraction}, len(target)
    check_fractions(val_fraction, test_fraction, n)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    groups = (
        np.zeros(n, dtype=np.int64)
        if task in ("regression", "multilabel")
        else np.unique(target, return_inverse=True)[1]
    )
    sizes = np.bincount(groups)
    free = sizes - 1
    counts = {}
    for name, fraction in fractions.items():
        total = round(n * fraction)
        if total > free.sum():
            raise DataError(
                f"{n} rows are too few: with data.val_fraction={val_fraction} and data.test_fraction={test_fraction} "
                f"fewer than {len(sizes)} are left for training, one of each class; make the fractions smaller."
            )
        counts[name] = shares(sizes * (total / n), free, total)
        free = free - counts[name]
    rank = _rank_in_group(groups[order])
    limit_val, limit_test = counts["val"][groups[order]], (counts["val"] + counts["test"])[groups[order]]
    return {
        "train": np.sort(order[rank >= limit_test]),
        "val": np.sort(order[rank < limit_val]),
        "test": np.sort(order[(rank >= limit_val) & (rank < limit_test)]),
    }


def check_fractions(val_fraction: float, test_fraction: float, n: int) -> None:
    """Raise `ConfigError` for fractions that leave nothing to train on, `DataError` for one that is no row of `n`."""
    if not (val_fraction >= 0 and test_fraction >= 0 and val_fraction + test_fraction < 1):
        raise ConfigError(
            f"data.val_fraction={val_fraction} and data.test_fraction={test_fraction}: both must be >= 0, "
            "and their sum < 1, which leaves the rest for training."
        )
    for name, fraction in {"val": val_fraction, "test": test_fraction}.items():
        if fraction > 0 and round(n * fraction) == 0:
            raise DataError(
                f"data.{name}_fraction={fraction} of {n} rows is no row; "
                f"set data.{name}_fraction to 0 for none, or to {1 / n:.2g} or more."
            )


def shares(quotas: np.ndarray, most: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers near `quotas`, none above `most`, of the sum `total`: the largest remainders are rounded up."""
    counts = np.minimum(np.floor(quotas).astype(np.int64), most)
    while counts.sum() < total:
        counts[np.where(counts < most, quotas - counts, -np.inf).argmax()] += 1
    return counts


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """How many earlier elements have the same value, for each element."""
    by_group = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[by_group], groups[by_group])
    rank = np.empty_like(by_group)
    rank[by_group] = np.arange(len(groups)) - starts
    return rank
