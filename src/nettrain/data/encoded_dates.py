"""`Dates`: how a column of dates and times becomes features, learnt from the training rows."""

from dataclasses import dataclass, field

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.findings import MISSING, Finding
from nettrain.data.moments import Moments, find_moments, no_moment, written
from nettrain.data.wording import quoted

DAY = 86_400.0  # seconds
PERIODS = {"month": 12, "weekday": 7, "hour": 24}  # of the parts that come round again


@dataclass
class Dates:
    """A column of moments, seconds since 1970: year, month, day of the week, hour, and the days that have elapsed.

    Of the first four those that differ in the training rows are `parts`; one that comes round again, of period p, is
    sin(2 pi t / p) and cos(2 pi t / p), so that December is near January. Days elapse from `low`, the earliest moment
    of the training rows; `means` and `scales` standardise the year and the days. A missing moment becomes the `median`,
    and with `indicator` a last feature is 1 where it is missing. `order` is that of days and months, see `Moments`.
    """

    name: str
    median: float
    low: float
    high: float
    parts: list[str]
    indicator: bool
    order: str = ""
    means: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    constant: bool = False

    @classmethod
    def fit(cls, name: str, values: np.ndarray, order: str, standardize: bool) -> "Dates":
        """Learn from the moments of the training rows, (n,), NaN where they are missing."""
        known = values[~np.isnan(values)]
        known = known if len(known) else np.zeros(1)
        parts = parts_of(known)
        differing = [part for part, numbers in parts.items() if numbers.min() < numbers.max()]
        low, high = float(known.min()), float(known.max())
        made = cls(
            name, float(np.quantile(known, 0.5, method="lower")), low, high, differing, bool(np.isnan(values).any())
        )
        made.order = order
        if standardize:
            for part, numbers in {"year": parts["year"], "days": (known - low) / DAY}.items():
                made.means[part], made.scales[part] = float(numbers.mean()), float(numbers.std()) or 1.0
        return made

    @property
    def has_one_value(self) -> bool:
        """Whether the moments of the training rows were all the same."""
        return self.low == self.high

    @property
    def feature_names(self) -> list[str]:
        waves = [[f"{part} sin", f"{part} cos"] if part in PERIODS else [part] for part in self.parts]
        names = [*(name for wave in waves for name in wave), "days", *(["missing"] if self.indicator else [])]
        return [f"{self.name} {name}" for name in names]

    def stand_in(self, rows: int) -> np.ndarray:
        """What a new table that lacks a constant column has instead."""
        return np.full(rows, self.median)

    def features(self, values: np.ndarray) -> np.ndarray:
        missing = np.isnan(values)
        moments = np.where(missing | self.constant, self.median, values)
        parts, columns = parts_of(moments), []
        for part in self.parts:
            if part in PERIODS:
                angle = 2 * np.pi * parts[part] / PERIODS[part]
                columns += [np.sin(angle), np.cos(angle)]
            else:
                columns.append(self._scaled(part, parts[part]))
        columns.append(self._scaled("days", (moments - self.low) / DAY))
        return np.stack([*columns, missing] if self.indicator else columns, axis=1).astype(np.float64)

    def _scaled(self, part: str, values: np.ndarray) -> np.ndarray:
        return (values - self.means.get(part, 0.0)) / self.scales.get(part, 1.0)

    def read(self, column: Column) -> tuple[np.ndarray, list[Finding]]:
        """The moments of a new table's column, and what the training rows had not."""
        found = find_moments(column, self.order, digits=True)
        if found is None:
            none = np.array([cell is not None for cell in column.cells.to_pylist()])
            found = Moments(np.full(len(none), np.nan), none)
        if found.is_text.any():
            raise no_moment(column, found.is_text)
        return found.values, self._unfamiliar(column, found.values)

    def _unfamiliar(self, column: Column, values: np.ndarray) -> list[Finding]:
        name, missing, found = f"column {quoted(self.name)}", np.isnan(values), []
        if missing.any() and not self.indicator:
            instead = f"; {written(self.median)} stands for them"
            found.append(Finding(name, MISSING, int(missing.sum()), len(values), instead))
        width = self.high - self.low
        far = (values < self.low - width) | (values > self.high + width)
        if far.any():
            row = int(far.argmax())
            example = f", such as {written(values[row])} in row {column.raw.row_number(row)}"
            what = f"far outside the time of the training ({written(self.low)} to {written(self.high)})"
            found.append(Finding(name, what, int(far.sum()), len(values), example))
        return found


def parts_of(moments: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of moments, (n,) each: the year, months since January, days since Monday and hours since midnight."""
    days = np.floor(moments / DAY)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    return {
        "year": dates.astype("datetime64[Y]").astype(np.float64) + 1970,
        "month": (months % 12).astype(np.float64),
        "weekday": (days + 3) % 7,
        "hour": (moments - days * DAY) / 3600,
    }
