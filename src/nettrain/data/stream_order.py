"""The order in which the row groups of a table that is read in parts are visited: a pure function of (seed, epoch).

The row groups are shuffled. Some of them at a time, a hand, are read side by side, each in as many equal parts as the
others; part j of all of them is window j of the hand, and its rows are shuffled. So each batch mixes rows of several
distant places of the table, but never those of all.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nettrain import random
from nettrain.data.parquet_files import RowGroup

BATCH = 2**14  # rows that are read and encoded at a time


class Hand(NamedTuple):
    """Row groups, by their numbers, that are read side by side, in so many parts each."""

    groups: list[int]
    parts: int


def hands(groups: Sequence[RowGroup], order: Sequence[int], window: int, least: int) -> list[Hand]:
    """The row groups in this order, at least so many together, and as many as fit into a window of so many rows."""
    result, present, rows = list[Hand](), list[int](), 0
    for number in order:
        if len(present) >= least and rows + groups[number].rows > window:
            result.append(Hand(present, -(-rows // window)))
            present, rows = [], 0
        present, rows = [*present, number], rows + groups[number].rows
    return [*result, Hand(present, -(-rows // window))]


def shuffled_hands(groups: Sequence[RowGroup], seed: int, epoch: int, window: int, least: int) -> list[Hand]:
    """Those of an epoch."""
    return hands(groups, random.permutation(seed, epoch, len(groups)).tolist(), window, least)


def part_size(rows: int, parts: int) -> int:
    """The rows of each part but the last of a row group that is read in so many parts: a multiple of `BATCH`."""
    return -(-rows // (parts * BATCH)) * BATCH
