"""`HashedWords`: how a column of texts, too many to be categories, becomes features."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from nettrain.data.columns import Column, is_none
from nettrain.data.findings import MISSING, Finding
from nettrain.data.wording import quoted

_WORD = re.compile(r"\w+")


@dataclass
class HashedWords:
    """The words of each text, in lower case, counted in `buckets` features, and then scaled to length 1.

    A hash of the word (BLAKE2b) says which feature it counts in, and whether as +1 or -1, so that words that meet there
    cancel on average (feature hashing; Weinberger et al., 2009). Nothing is learnt, and any new word has its place.
    With `indicator` a last feature is 1 where the text is missing.
    """

    name: str
    buckets: int
    indicator: bool
    constant: bool = False

    @classmethod
    def fit(cls, name: str, values: np.ndarray, buckets: int) -> "HashedWords":
        return cls(name, buckets, bool(is_none(values).any()))

    @property
    def has_one_value(self) -> bool:
        """New words mean something, whatever the training rows had."""
        return False

    @property
    def feature_names(self) -> list[str]:
        names = [f"{self.name} #{i}" for i in range(self.buckets)]
        return [*names, f"{self.name} missing"] if self.indicator else names

    def stand_in(self, rows: int) -> np.ndarray:
        """What a new table that lacks a constant column has instead."""
        return np.full(rows, None, dtype=object)

    def features(self, values: np.ndarray) -> np.ndarray:
        result = np.zeros((len(values), self.buckets + self.indicator))
        places: dict[str, tuple[int, int]] = {}
        for row, text in enumerate(values):
            if text is None:
                result[row, self.buckets :] = 1.0
                continue
            for word in _WORD.findall(text.lower()):
                if word not in places:
                    places[word] = _place(word, self.buckets)
                bucket, sign = places[word]
                result[row, bucket] += sign
        counts = result[:, : self.buckets]
        lengths = np.sqrt((counts**2).sum(axis=1, keepdims=True))
        counts /= np.where(lengths > 0, lengths, 1.0)
        return result

    def read(self, column: Column) -> tuple[np.ndarray, list[Finding]]:
        """The texts of a new table's column, and what the training rows had not."""
        texts = column.texts
        missing = is_none(texts)
        if not missing.any() or self.indicator:
            return texts, []
        name = f"column {quoted(self.name)}"
        return texts, [Finding(name, MISSING, int(missing.sum()), len(texts))]


def _place(word: str, buckets: int) -> tuple[int, int]:
    """The feature of a word, and the sign with which it counts."""
    number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return (number >> 1) % buckets, 1 if number & 1 else -1
