"""What one pass learns of a column that is never held as a whole: numbers, categories, dates and words."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.compact import pairwise_sum
from nettrain.data.encoded_columns import Categorical, Numeric
from nettrain.data.encoded_dates import DAY, Dates, parts_of
from nettrain.data.encoded_ids import Embedded
from nettrain.data.encoded_words import HashedWords
from nettrain.data.inference import numbers
from nettrain.data.raw_table import RawTable
from nettrain.data.row_sets import in_parts

SAMPLE = 2**15  # rows, about, by which medians are estimated


@dataclass
class Spread:
    """Count, mean, sum of squared deviations and range of numbers that come in parts (Chan et al., 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, values: Any, rows: Any) -> "Spread":
        """That of the values of rows, as `add` would compute it from all of them in one array, bit for bit."""
        n = len(rows)
        whole, made = cls(n, pairwise_sum(lambda i, j: values[rows[i:j]], 0, n) / n), cls()
        whole.squares = pairwise_sum(lambda i, j: np.square(values[rows[i:j]] - whole.mean), 0, n)
        for some in in_parts(rows):
            whole.low = min(whole.low, float(values[some].min()))
            whole.high = max(whole.high, float(values[some].max()))
        made.join(whole)
        return made

    def add(self, values: np.ndarray) -> None:
        if len(values):
            part = Spread(len(values), float(values.mean()), 0.0, float(values.min()), float(values.max()))
            part.squares = float(np.square(values - part.mean).sum())
            self.join(part)

    def join(self, other: "Spread") -> None:
        if not other.count:
            return
        n, delta = self.count + other.count, other.mean - self.mean
        self.squares += other.squares + delta**2 * self.count * other.count / n
        self.mean += delta * other.count / n
        self.count, self.low, self.high = n, min(self.low, other.low), max(self.high, other.high)

    @property
    def scale(self) -> float:
        """The standard deviation, or 1 where that is 0."""
        return float(np.sqrt(self.squares / self.count)) or 1.0 if self.low < self.high else 1.0

    @property
    def center(self) -> float:
        """The mean, exact where all numbers are the same."""
        return self.low if self.low == self.high else self.mean


@dataclass
class NumberStatistics:
    """Of a column of numbers, from its training rows; the median is that of the `sample`."""

    spread: Spread = field(default_factory=Spread)
    missing: int = 0
    sample: list[np.ndarray] = field(default_factory=list)

    def add(self, column: Column, train: np.ndarray, sampled: np.ndarray) -> None:
        self.take(numbers(column), train, sampled)

    def take(self, values: np.ndarray, train: np.ndarray, sampled: np.ndarray) -> None:
        self.sample.append(values[sampled])
        values = values[train]
        known = ~np.isnan(values)
        self.spread.add(values[known])
        self.missing += len(values) - int(known.sum())

    @property
    def median(self) -> float:
        known = np.concatenate(self.sample)
        known = known[~np.isnan(known)]
        if len(known):
            return float(np.median(known))
        return self.spread.center if self.spread.count else 0.0

    def fit(self, name: str, standardize: bool) -> Numeric:
        """As `Numeric.fit`."""
        median, known = self.median, self.spread.count > 0
        filled = Spread(**vars(self.spread))
        filled.join(Spread(self.missing, median, 0.0, median, median))
        mean, scale = (filled.center, filled.scale) if standardize else (0.0, 1.0)
        low, high = (self.spread.low, self.spread.high) if known else (None, None)
        return Numeric(name, median, mean, scale, self.missing > 0, low, high)


@dataclass
class TextStatistics:
    """Of a column of texts: how many training rows hold each, up to `most` of them, beyond which no more are noted."""

    most: float
    counts: dict[str, int] = field(default_factory=dict)
    missing: int = 0

    def add(self, column: Column, train: np.ndarray, sampled: np.ndarray) -> None:
        texts, codes = column.distinct
        counts = np.bincount(codes[train], minlength=len(texts) + 1)
        self.missing += int(counts[-1])
        if len(self.counts) <= self.most:
            for text, count in zip(texts, counts.tolist(), strict=False):
                if count:
                    self.counts[text] = self.counts.get(text, 0) + count

    @property
    def filled(self) -> int:
        """The training rows with a text."""
        return sum(self.counts.values())

    def names(self, name: str, raw: RawTable) -> dict[str, str]:
        """What each text is called, as in a table that is held as a whole (see `Column.texts`)."""
        import pyarrow as pa

        texts = list(self.counts)
        column = Column(RawTable(raw.source, {name: pa.chunked_array([texts], pa.string())}, options=raw.options), name)
        return {text: named for text, named in zip(texts, column.texts.tolist(), strict=True) if named is not None}

    def fit(self, name: str, names: dict[str, str]) -> Categorical:
        """As `Categorical.fit`."""
        missing = self.missing or len(names) < len(self.counts)
        return Categorical(name, [*sorted(set(names.values())), *([None] if missing else [])])

    def embedded(self, name: str, names: dict[str, str]) -> Embedded:
        """As `Embedded.of`."""
        counts = Counter[str | None]()
        for text, count in self.counts.items():
            counts[names.get(text)] += count
        counts += Counter({None: self.missing})
        return Embedded.of(name, counts, len(counts))

    def hashed(self, name: str, buckets: int) -> HashedWords:
        return HashedWords(name, buckets, self.missing > 0)


class DateStatistics:
    """Of a column of dates and times; the median is that of a sample."""

    def __init__(self, name: str, order: str) -> None:
        self.name, self.order, self.moments = name, order, NumberStatistics()
        self.parts: dict[str, Spread] = {}
        self.reader = Dates(name, 0.0, -np.inf, np.inf, [], True, order)

    def add(self, column: Column, train: np.ndarray, sampled: np.ndarray) -> None:
        values, _ = self.reader.read(column)
        self.moments.take(values, train, sampled)
        known = values[train]
        for part, of_part in parts_of(known[~np.isnan(known)]).items():
            self.parts.setdefault(part, Spread()).add(of_part)

    def fit(self, standardize: bool) -> Dates:
        """As `Dates.fit`."""
        spread, parts = self.moments.spread, self.parts
        differing = [part for part, numbers in parts.items() if numbers.low < numbers.high]
        known = np.concatenate(self.moments.sample)
        known = known[~np.isnan(known)]
        median = float(np.quantile(known, 0.5, method="lower")) if len(known) else spread.low
        made = Dates(self.name, median, spread.low, spread.high, differing, self.moments.missing > 0, self.order)
        if standardize:
            made.means = {"year": parts["year"].mean, "days": (spread.mean - spread.low) / DAY}
            made.scales = {"year": parts["year"].scale, "days": spread.scale / DAY}
        return made
