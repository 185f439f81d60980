"""What in a table of somebody's own deserves a second look before it is trained on."""

from collections import Counter

import numpy as np

from nettrain.data.columns import is_none
from nettrain.data.table import Table
from nettrain.data.wording import override, quoted
from nettrain.wording import listed

FEW_ROWS = 10  # that differ from all others: what they say is not much
LEAST_ROWS, MOST_ROWS = 50, 2000  # on which a column is tried as a predictor: fewer show nothing, more cost time
WRONG, WRONG_OF_BASELINE = 0.002, 0.05  # of a column that alone tells the target, of all rows and of the baseline's


def nearly_constant(table: Table) -> list[str]:
    """A note on the columns that have the same value in all but a few rows."""
    found = []
    for name, values in table.columns.items():
        if values.ndim > 1:
            continue
        if values.dtype == object:
            ((_, same),) = Counter(values.tolist()).most_common(1)
        else:
            same = 0 if np.isnan(values).any() else int((values == np.median(values)).sum())  # that of most rows
        if len(values) >= LEAST_ROWS and 0 < len(values) - same < min(FEW_ROWS, len(values) / 20):
            found.append(f"{quoted(name)} ({same} of {len(values)} rows)")
    if not found:
        return []
    return [f"one value in nearly all rows, so that what others mean rests on a few: {listed(found, 5)}"]


def leaks(table: Table) -> list[str]:
    """A note on the columns each of which tells the target almost perfectly, and may be known only after it.

    Tried on some of the rows. A number tells a class if the classes lie one after another, and a target of numbers if
    it grows or falls with it.
    """
    target = table.target
    if target is None or len(target) < LEAST_ROWS or len(table.columns) < 2:
        return []
    rows = np.arange(0, len(target), max(1, len(target) // MOST_ROWS))
    tells = _tells_number if table.task == "regression" else _tells_class
    columns = {name: values for name, values in table.columns.items() if values.ndim == 1}
    notes: list[str] = []
    for called, one in zip(table.targets or [table.target_name], np.atleast_2d(target[rows].T), strict=True):
        found = [name for name, values in columns.items() if tells(values[rows], one)]
        notes += _note_on_leaks(found, called)
    return notes


def _note_on_leaks(found: list[str], target: str) -> list[str]:
    if not found:
        return []
    drop = override("drop", found[0])
    alone = f"column {quoted(found[0])} tells" if len(found) == 1 else f"each of {listed(map(quoted, found), 5)} tells"
    return [f"{alone} {quoted(target)} almost perfectly: if that is known only afterwards, leave it out ({drop})"]


def _tells_class(values: np.ndarray, target: np.ndarray) -> bool:
    sizes = np.bincount(target)
    allowed = min(WRONG * len(target), WRONG_OF_BASELINE * (len(target) - sizes.max()))
    codes = _codes(values)
    # The most frequent class of each value, in the order of the values.
    pairs, counts = np.unique(codes * len(sizes) + target, return_counts=True)
    order = np.lexsort((counts, pairs // len(sizes)))
    pairs, counts = pairs[order], counts[order]
    last = np.append(np.diff(pairs // len(sizes)) > 0, True)
    usual, wrong = pairs[last] % len(sizes), len(target) - counts[last].sum()
    if len(usual) <= len(target) / 5 and wrong <= allowed:
        return True
    pieces = 1 + np.count_nonzero(np.diff(usual))
    return values.dtype != object and wrong + (pieces - np.count_nonzero(sizes)) / 2 <= allowed


def _tells_number(values: np.ndarray, target: np.ndarray) -> bool:
    if values.dtype == object:
        return False
    known = ~np.isnan(values)
    if known.sum() < LEAST_ROWS or np.ptp(values[known]) == 0 or np.ptp(target[known]) == 0:
        return False
    return abs(np.corrcoef(_codes(values[known]), _codes(target[known]))[0, 1]) > 0.9999


def _codes(values: np.ndarray) -> np.ndarray:
    """The rank of each value among the different ones, missing ones last."""
    if values.dtype == object:
        values = np.where(is_none(values), "", values).astype(str)
    return np.unique(values, return_inverse=True)[1]
