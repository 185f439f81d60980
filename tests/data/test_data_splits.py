"""A split is a partition, in proportion, and a pure function of the seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from nettrain.data import load, shipped
from nettrain.data.splits import split
from nettrain.errors import ConfigError, DataError

NAMES = ["train", "val", "test"]


@st.composite
def problems(draw):
    """A target of up to 6 classes with at least 4 rows each, and fractions that leave half for training."""
    sizes = draw(st.lists(st.integers(4, 60), min_size=1, max_size=6))
    target = np.repeat(np.arange(len(sizes)), sizes)
    draw(st.randoms(use_true_random=False)).shuffle(target)
    fractions = [draw(st.sampled_from([0.0, 0.15, 0.2, 0.25])) for _ in range(2)]
    return target, draw(st.sampled_from(["multiclass", "regression"])), fractions, draw(st.integers(0, 2**40))


@given(problems())
def test_every_row_is_in_one_split(problem):
    target, task, (val, test), seed = problem
    parts = split(target, task, val, test, seed)
    assert list(parts) == NAMES
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(target)))
    assert all((np.diff(rows) > 0).all() for rows in parts.values())
    assert len(parts["val"]) == round(len(target) * val)
    assert len(parts["test"]) == round(len(target) * test)


@given(problems())
def test_the_same_arguments_give_the_same_split(problem):
    target, task, (val, test), seed = problem
    np.random.seed(seed % 1000)
    first, second = split(target, task, val, test, seed), split(target.copy(), task, val, test, seed)
    assert all(np.array_equal(first[name], second[name]) for name in NAMES)


@given(problems())
def test_each_class_has_its_share(problem):
    target, _, (val, test), seed = problem
    parts = split(target, "multiclass", val, test, seed)
    sizes = np.bincount(target)
    for name, fraction in (("val", val), ("test", test)):
        counts = np.bincount(target[parts[name]], minlength=len(sizes))
        # The totals are rounded as well, which moves a class of the largest size by less than another row.
        assert (np.abs(counts - sizes * fraction) < 2).all()
    assert (np.bincount(target[parts["train"]], minlength=len(sizes)) >= 1).all()


@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.2, 0.3])
@pytest.mark.parametrize("source", [shipped.Digits, shipped.Iris, shipped.Wine, shipped.BreastCancer])
def test_class_counts_are_scikit_learns(source, fraction):
    target = source().load().target
    ours = np.bincount(target[split(target, "multiclass", fraction, 0.0, 0)["val"]])
    _, theirs = train_test_split(target, test_size=round(len(target) * fraction), stratify=target, random_state=0)
    # Where remainders are equal scikit-learn draws who gets the row.
    assert np.abs(ours - np.bincount(theirs)).max() <= 1
    assert np.abs(ours - np.bincount(theirs)).sum() <= 2
    assert ours.sum() == len(theirs)


def test_another_seed_gives_another_split():
    for task in ("multiclass", "regression"):
        target = np.arange(200) % 2
        first, second = split(target, task, 0.2, 0.2, 0), split(target, task, 0.2, 0.2, 1)
        assert not np.array_equal(first["val"], second["val"])


def test_rows_of_a_class_are_drawn_evenly():
    """Each row is as likely as any other to be in the validation split."""
    target = np.arange(40) % 2
    hits = sum(np.bincount(split(target, "binary", 0.25, 0.25, seed)["val"], minlength=40) for seed in range(2000))
    assert (np.abs(hits / 2000 - 0.25) < 0.05).all()


def test_a_class_of_one_row_trains():
    target = np.array([0] * 20 + [1])
    for seed in range(20):
        assert 20 in split(target, "binary", 0.4, 0.4, seed)["train"]


def test_a_fraction_of_0_is_an_empty_split():
    parts = split(np.zeros(10), "regression", 0.0, 0.0, 0)
    assert [len(parts[name]) for name in NAMES] == [10, 0, 0]
    assert parts["val"].dtype == np.int64


def test_the_splits_of_a_run_follow_its_seed_unless_one_is_set():
    def val(seed, **options):
        return load(shipped.Iris(**options), seed).splits["val"].tolist()

    assert val(0) == val(0) != val(1)
    assert val(0, split_seed=7) == val(1, split_seed=7) == val(7)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (-0.1, 0.2), (0.2, 1.0), (float("nan"), 0.1)])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(ConfigError, match=r"data\.val_fraction=.* and data\.test_fraction=.*sum < 1"):
        split(np.zeros(100), "regression", *fractions, 0)


def test_too_few_rows_are_refused():
    with pytest.raises(DataError) as error:
        split(np.zeros(5), "regression", 0.05, 0.2, 0)
    assert str(error.value) == (
        "data.val_fraction=0.05 of 5 rows is no row; set data.val_fraction to 0 for none, or to 0.2 or more."
    )
    with pytest.raises(DataError, match=r"6 rows are too few: with data\.val_fraction=0\.4 and .* fewer than 3 are"):
        split(np.array([0, 0, 1, 1, 2, 2]), "multiclass", 0.4, 0.4, 0)
