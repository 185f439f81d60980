"""Partitions of rows that keep some together: groups, moments, folds. All are pure functions of their arguments."""

from collections.abc import Sequence

import numpy as np

from nettrain.data.splits import check_fractions
from nettrain.errors import DataError
from nettrain.wording import counted


def split_groups(groups: np.ndarray, val_fraction: float, test_fraction: float, seed: int) -> dict[str, np.ndarray]:
    """The rows of "train", "val" and "test", no group of which is cut; `groups`, (n,), numbers them from 0.

    Groups are drawn at random; one is taken as long as it brings the rows of its split nearer to the fraction of all
    rows. Raises `ConfigError` for fractions that leave nothing to train on, `DataError` where there are too few groups.
    """
    check_fractions(val_fraction, test_fraction, len(groups))
    sizes = np.bincount(groups)
    fractions = {name: f for name, f in (("val", val_fraction), ("test", test_fraction)) if f > 0}
    if len(sizes) <= len(fractions):
        raise DataError(
            f"{counted(len(sizes), 'group')} cannot be divided into {1 + len(fractions)} splits without cutting one; "
            "use more groups, or set data.val_fraction or data.test_fraction to 0."
        )
    free = np.random.Generator(np.random.PCG64(seed)).permutation(len(sizes)).tolist()
    split_of = np.zeros(len(sizes), dtype=np.int64)
    for number, (name, fraction) in enumerate(fractions.items(), 1):
        taken = _nearest(sizes, free, fraction * len(groups), 1 + len(fractions) - number)
        split_of[taken] = ["train", "val", "test"].index(name)
        free = [group for group in free if not split_of[group]]
    return {name: np.flatnonzero(split_of[groups] == i) for i, name in enumerate(("train", "val", "test"))}


def _nearest(sizes: np.ndarray, order: Sequence[int], rows: float, left: int) -> list[int]:
    """Groups, in this order, whose sizes add up to about so many rows; at least one, and so many are left."""
    taken: list[int] = []
    total = 0
    for group in order:
        if len(order) - len(taken) > left and abs(total + sizes[group] - rows) < abs(total - rows):
            taken.append(group)
            total += sizes[group]
    return taken or [min(order, key=sizes.__getitem__)]


def split_times(times: np.ndarray, val_fraction: float, test_fraction: float) -> dict[str, np.ndarray]:
    """The rows of "train", "val" and "test", one after another in time; `times`, (n,), are finite numbers.

    No row of "train" is later than one of "val", none of "val" later than one of "test", and rows of one time stay
    together: the boundaries are those between times that are nearest to the fractions. Raises as `split_groups`.
    """
    n = len(times)
    check_fractions(val_fraction, test_fraction, n)
    different, counts = np.unique(times, return_counts=True)
    parts = 1 + (val_fraction > 0) + (test_fraction > 0)
    if len(different) < parts:
        raise DataError(
            f"{counted(len(different), 'time')} cannot be divided into {parts} splits, one after another; use more "
            "times, or set data.val_fraction or data.test_fraction to 0."
        )
    ends = np.cumsum(counts)  # of the rows up to each time
    last = len(different) - 1  # the last time of the split at hand
    rows, left = {}, n
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        before = last
        if fraction > 0:
            left -= round(n * fraction)
            still = (name == "test") and val_fraction > 0  # another split lies before this one
            candidates = ends[int(still) : last]
            before = int(still) + int(np.abs(candidates - left).argmin())
        begins = different[before]
        rows[name] = np.flatnonzero((times > begins) & (times <= different[last]))
        last = before
    return {"train": np.flatnonzero(times <= different[last]), "val": rows["val"], "test": rows["test"]}


def folds(n: int, k: int, seed: int, strata: np.ndarray | None = None, groups: np.ndarray | None = None) -> np.ndarray:
    """The fold of each of n rows, 0 to k - 1, drawn at random: int64 of shape (n,).

    Folds differ by at most one row, and by at most one row of each of the `strata`, (n,) numbers from 0. No one of the
    `groups`, (n,) numbers from 0, is cut: each goes, the largest first, to the fold where the squared shares of the
    strata grow least. Raises `DataError` for more folds than rows or groups.
    """
    what, there = ("row", n) if groups is None else ("group", int(groups.max()) + 1)
    require_folds(k, there, what)
    draw = np.random.Generator(np.random.PCG64(seed))
    strata = np.zeros(n, dtype=np.int64) if strata is None else strata
    fold = np.empty(n, dtype=np.int64)
    if groups is None:
        order = draw.permutation(n)
        fold[order[np.argsort(strata[order], kind="stable")]] = np.arange(n) % k
        return fold
    kinds = int(strata.max()) + 1
    counts = np.bincount(groups * kinds + strata, minlength=there * kinds).reshape(there, kinds)
    shares = counts / np.maximum(counts.sum(0), 1)
    order = draw.permutation(there)
    order = order[np.argsort(-(shares[order] ** 2).sum(1), kind="stable")]
    of_group, load, rows = np.empty(there, dtype=np.int64), np.zeros((k, kinds)), np.zeros(k)
    for group in order:
        growth = (2 * load + shares[group]) @ shares[group]
        chosen = np.lexsort((rows, growth.round(12)))[0]
        of_group[group] = chosen
        load[chosen] += shares[group]
        rows[chosen] += counts[group].sum()
    return of_group[groups]


def require_folds(k: int, there: int, what: str) -> None:
    """Raise `DataError` for more folds than rows or groups."""
    if k > there:
        raise DataError(f"split.folds={k}: there {_are(there, what)}; use at most {there} folds.")


def _are(number: int, noun: str) -> str:
    return f"{'is' if number == 1 else 'are'} {counted(number, noun)}"
