"""`Column`: what the cells of one column are, numbers or texts."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nettrain.data.raw_table import RawTable
from nettrain.data.values import (
    MISSING,
    Disguised,
    disguised,
    folded,
    is_marker,
    normalized,
    number,
    plain_number,
    shortest,
)
from nettrain.data.wording import override, place
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class Numbers:
    """The numbers of a column.

    `values` is float64 of shape (n,), NaN where there is none; `is_text` says where that is because of a text.
    `disguises` are the texts that are numbers although they are not written as such, `markers` those that were taken
    for missing, with how many cells hold them.
    """

    values: np.ndarray
    is_text: np.ndarray
    disguises: dict[str, Disguised] = field(default_factory=dict)
    markers: dict[str, int] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """`%` or a currency that stands beside the numbers; empty where there is none."""
        return next((found.unit for found in self.disguises.values() if found.unit), "")

    @property
    def complete(self) -> bool:
        """Whether all cells that are not missing are numbers, and there are any."""
        return not self.is_text.any() and not np.isnan(self.values).all()


class Column:
    """One column of a raw table, while it is being understood: each view of its cells is made when it is asked for.

    With `trusted` a single cell such as `1,234` among plain numbers is a number, and no mistake.
    """

    def __init__(self, raw: RawTable, name: str, trusted: bool = False) -> None:
        self.raw, self.name, self.trusted = raw, name, trusted
        self.decimal = raw.options.decimal_mark

    def mistake(self, row: int, sentence: str) -> DataError:
        """The error for data row `row`, counted from 0."""
        return self.raw.mistake(row, self.name, sentence)

    @cached_property
    def cells(self) -> "pa.ChunkedArray":
        """Numbers as they are, anything else as trimmed texts; null where a cell is missing.

        Raises `DataError` where the cells can be neither.
        """
        import pyarrow as pa
        from pyarrow import compute, types

        column = self.raw.columns[self.name]
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type):
            return column
        trimmed = self._trimmed(column)
        missing = compute.is_in(trimmed, value_set=pa.array(["", *self._missing_words]))
        return compute.if_else(missing, pa.scalar(None, pa.string()), trimmed)

    def text(self, row: int) -> str:
        """The cell of a data row as text."""
        return str(self.cells[row].as_py())

    def row_of(self, text: str) -> int:
        """The first data row whose cell is this text."""
        from pyarrow import compute

        return int(compute.index(self.cells, text).as_py())

    @cached_property
    def words_for_missing(self) -> Counter[str]:
        """The words that were taken for missing, and how often; empty cells are none of them."""
        from pyarrow import compute

        if self._is_typed or self.cells.null_count == 0:
            return Counter()
        found = self._trimmed(self.raw.columns[self.name].filter(self.cells.is_null()))
        counts = compute.value_counts(found).to_pylist()
        return Counter({count["values"]: count["counts"] for count in counts if count["values"]})

    @cached_property
    def numbers(self) -> Numbers:
        """The cells as numbers, as far as they are.

        That includes texts that are meant as numbers, such as `61%` and `$1,234.50`, where all have one unit, and signs
        and words that mean that there is none, such as `.`.
        """
        import pyarrow as pa
        from pyarrow import compute

        none = np.zeros(len(self.cells), dtype=bool)
        if self._is_typed:
            return Numbers(self._without_codes(_array(compute.cast(self.cells, pa.float64(), safe=False))), none)
        if self.decimal == ".":
            try:
                return Numbers(self._without_codes(_array(compute.cast(self.cells, pa.float64()))), none)
            except pa.ArrowInvalid:
                pass
        texts, codes = self.distinct
        usual = self.raw.options.missing is None
        plain = {text: number(text, self.decimal) for text in texts}
        others = [t for t, v in plain.items() if math.isnan(v) and not (usual and t.lower().lstrip("+-") == "nan")]
        known = {text: value for text, value in plain.items() if not math.isnan(value)}
        counts = dict(zip(texts, np.bincount(codes, minlength=len(texts)).tolist(), strict=False))
        markers = {text: counts[text] for text in others if usual and is_marker(text)}
        meant = _of_one_unit(
            {text: found for text in others if (found := disguised(text, self.decimal))}, known, counts
        )
        if self._one_alone(meant, known, counts):
            meant = {}
        left = set(others).difference(markers, meant)
        values = np.array([*(meant[text].value if text in meant else plain[text] for text in texts), math.nan])
        is_text = np.array([*(text in left for text in texts), False], dtype=bool)
        return Numbers(self._without_codes(values)[codes], is_text[codes], meant, markers)

    @cached_property
    def _codes(self) -> list[float]:
        """The numbers among the words for missing values that somebody has named."""
        return [value for word in self.raw.options.missing or [] if not math.isnan(value := number(word, self.decimal))]

    def _without_codes(self, values: np.ndarray) -> np.ndarray:
        return np.where(np.isin(values, self._codes), math.nan, values) if self._codes else values

    def _one_alone(self, meant: dict[str, Disguised], known: dict[str, float], counts: dict[str, int]) -> bool:
        """Whether a single cell is not written as the others are, which is taken for a mistake."""
        cells = sum(counts[text] for text in meant)
        return not self.trusted and cells == 1 and sum(counts[text] for text in known) >= 9

    @property
    def padded(self) -> str | None:
        """A whole number with zeros in front, such as `00501`, among the first cells; None where there is none."""
        head = self.cells.slice(0, 1000).to_pylist() if not self._is_typed else []
        return next((text for text in head if text and re.fullmatch(r"[-+]?0[0-9]+", text)), None)

    @cached_property
    def texts(self) -> np.ndarray:
        """The cells as texts, object of shape (n,), None where a cell is missing.

        Numbers in plain digits have their shortest form, exact to the last digit ("1" for 1.0), where the whole column
        is of such; anything else stays as it is ("007", "1e2"). A truth value is "True" or "False", and a moment is in
        ISO 8601, whatever kind of table it comes from.
        """
        from pyarrow import types

        if types.is_floating(self.cells.type):
            values, inverse = np.unique(self.numbers.values, return_inverse=True)
            digits = float if types.is_float64(self.cells.type) else _of_float32
            names = [None if math.isnan(value) else shortest(digits(value)) for value in values.tolist()]
            return np.array(names, dtype=object)[inverse]
        texts, codes = self.distinct
        names = np.array([*self._named(texts, codes), None], dtype=object)[codes]
        if self._codes:
            names[np.isnan(self.numbers.values) & ~self.numbers.is_text] = None
        return names

    @cached_property
    def is_plain(self) -> bool:
        """Whether all cells that are not missing are numbers in plain digits (see `plain_number`)."""
        from pyarrow import types

        return types.is_floating(self.cells.type) or all(plain_number(t, self.decimal) for t in self.distinct[0])

    def _named(self, texts: list[str], codes: np.ndarray) -> list[str]:
        plain = [plain_number(text, self.decimal) for text in texts]
        if all(plain):
            return [text or "" for text in plain]
        names = [t.capitalize() if t.lower() in ("true", "false") else normalized(t) for t in texts]
        if not self.raw.options.ignore_case:
            return names
        counts = np.bincount(codes, minlength=len(texts))
        by_count = sorted(range(len(texts)), key=lambda i: (counts[i], names[i]))
        usual = {folded(names[i]): names[i] for i in by_count}
        return [usual[folded(name)] for name in names]

    @cached_property
    def _is_typed(self) -> bool:
        import pyarrow as pa

        return self.cells.type != pa.string()

    @cached_property
    def distinct(self) -> tuple[list[str], np.ndarray]:
        """The different texts, and for each cell the position of its own; the number of texts where it is missing."""
        import pyarrow as pa
        from pyarrow import compute

        cells = compute.cast(self.cells, pa.string())
        encoded = pa.chunked_array(cells, pa.string()).combine_chunks().dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        return texts, encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)

    @property
    def _missing_words(self) -> list[str] | tuple[str, ...]:
        words = self.raw.options.missing
        return MISSING if words is None else [word.strip() for word in words]

    def _trimmed(self, column: "pa.ChunkedArray") -> "pa.ChunkedArray":
        import pyarrow as pa
        from pyarrow import compute, types

        if types.is_timestamp(column.type):
            column = _timestamps(column)
        try:
            return compute.utf8_trim_whitespace(column.cast(pa.string()))
        except pa.ArrowException:
            raise DataError(
                f"{place(self.raw.source, column=self.name)}: found values of the type {column.type}, where numbers or "
                f"texts are read; {override('drop', self.name)} leaves the column out."
            ) from None


def is_none(values: np.ndarray) -> np.ndarray:
    """Which elements of an object array are None."""
    return np.array([value is None for value in values], dtype=bool)


def _of_one_unit(meant: dict[str, Disguised], known: dict[str, float], counts: dict[str, int]) -> dict[str, Disguised]:
    """The numbers written for people, in the unit that most have or in none; beside `%` only 0 stands alone."""
    cells = Counter[str]()
    for text, found in meant.items():
        cells[found.unit] += counts[text] if found.unit else 0
    unit = max(cells, key=cells.__getitem__, default="")
    chosen = {text: found for text, found in meant.items() if found.unit in ("", unit)}
    bare = [*known.values(), *(found.value for found in chosen.values() if not found.unit)]
    return {} if unit == "%" and any(bare) else chosen


def _of_float32(value: float) -> float:
    """The number with the fewest digits that is this one in float32."""
    return float(str(np.float32(value)))


def _timestamps(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Timestamps as text, as pandas writes them: days alone where all are midnights, else without zeros behind."""
    import pyarrow as pa
    from pyarrow import compute

    texts = column.cast(pa.string())
    day_only = r"^(\d{4}-\d\d-\d\d) 00:00:00(\.0*)?$"
    if compute.all(compute.match_substring_regex(texts, day_only)).as_py():
        return compute.utf8_slice_codeunits(texts, 0, 10)
    return compute.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")


def _array(column: "pa.ChunkedArray") -> np.ndarray:
    # A copy, since arrow's memory is read-only.
    return np.array(column.to_numpy(), dtype=np.float64)
