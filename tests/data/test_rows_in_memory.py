"""What a table on disk has of each row in memory: few bytes, and exactly what arrays of the usual types would hold."""

import numpy as np
import pytest

from nettrain.data.compact import COUNTS, FLOATS, Compact, Restored, pairwise_sum
from nettrain.data.row_sets import BLOCK, row_sets
from nettrain.data.stream_statistics import Spread

SIZES = [1, 7, BLOCK - 1, BLOCK, 3 * BLOCK + 13]


@pytest.mark.parametrize("rows", SIZES)
def test_a_set_of_rows_is_an_index_array(rows):
    draw = np.random.default_rng(rows)
    kinds = draw.integers(0, 3, rows).astype(np.uint8)
    for kind, chosen in enumerate(row_sets(rows, 3, lambda numbers: kinds[numbers])):
        index = np.flatnonzero(kinds == kind)
        assert len(chosen) == len(index)
        np.testing.assert_array_equal(np.asarray(chosen), index)
        assert list(chosen) == index.tolist()
        for first, last in draw.integers(-3, len(index) + 3, (20, 2)):
            np.testing.assert_array_equal(chosen[first:last], index[first:last])
        bounds = [0, *draw.integers(0, rows + 1, 20), rows]
        np.testing.assert_array_equal(chosen.searchsorted(bounds), np.searchsorted(index, bounds))
        assert chosen.bits.nbytes <= rows / 8 + 1
        if len(index):
            assert chosen[0] == index[0]
            np.testing.assert_array_equal(chosen[[-1, 0]], index[[-1, 0]])


@pytest.mark.parametrize(
    ("numbers", "types", "kept"),
    [
        ([0.5, -0.0, 2.0**100], FLOATS, np.float32),
        ([0.5, 0.1], FLOATS, np.float64),
        ([0.5, 1e300], FLOATS, np.float64),
        ([0, 255], COUNTS, np.uint8),
        ([0, 256], COUNTS, np.uint16),
        ([0, 70_000], COUNTS, np.int32),
    ],
    ids=str,
)
def test_numbers_are_in_the_smallest_type_that_holds_them_exactly(numbers, types, kept):
    compact = Compact(2 * len(numbers), types)
    compact.put(0, np.array(numbers))
    compact.put(len(numbers), np.array(numbers[::-1]))
    restored = Restored(compact.values)
    assert compact.values.dtype == kept
    assert restored[:].tobytes() == np.array(numbers + numbers[::-1]).astype(restored.dtype).tobytes()


def test_restored_numbers_are_standardised_as_in_an_array():
    numbers = np.random.default_rng(0).normal(3, 2, 1000).astype(np.float32)
    expected = (numbers.astype(np.float64) - 2.9) / 1.7
    assert Restored(numbers, 2.9, 1.7)[:].tobytes() == expected.tobytes()
    assert np.asarray(Restored(numbers, 2.9, 1.7)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("n", [1, 8, 129, 1000, *range(12_345, 12_365), 2**17 + 1])
def test_a_sum_in_parts_has_the_bits_of_the_sum_of_one_array(n):
    values = np.random.default_rng(n).normal(3, 10, n)
    assert pairwise_sum(lambda first, last: values[first:last], 0, n, 1000) == values.sum()
    rows = np.arange(n)
    whole = Spread()
    whole.add(values)
    assert Spread.of(values, rows) == whole
