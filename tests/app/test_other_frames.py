"""Tables of polars and Hugging Face, where these are installed: they are learnt as pandas' are."""

import numpy as np
import pandas as pd
import pytest

import nettrain

QUIET = {"epochs": 2, "data.target": "y", "quiet": True, "figures": "never", "tensorboard": False}
RNG = np.random.default_rng(0)
X = RNG.normal(size=90)
TABLE = pd.DataFrame({"a": X, "b": np.where(RNG.random(90) < 0.5, "u", "v"), "y": X + RNG.normal(size=90)})


def polars():
    return pytest.importorskip("polars").from_pandas(TABLE)


def hugging_face():
    return pytest.importorskip("datasets").Dataset.from_pandas(TABLE)


@pytest.mark.parametrize("other", [polars, hugging_face])
def test_a_frame_of_another_library_is_that_of_pandas(here, other):
    frame = other()
    expected, run = nettrain.train(QUIET, data=TABLE), nettrain.train(QUIET, data=frame)
    assert run.metrics["train_loss"].equals(expected.metrics["train_loss"])
    assert run.predict(frame).equals(expected.predict(TABLE))
    assert run.evaluate(frame) == expected.evaluate(TABLE)
    assert nettrain.sweep({**QUIET, "seed": "0,1"}, data=frame).results["status"].eq("completed").all()


def test_a_dictionary_of_splits_of_hugging_face_s(here):
    datasets = pytest.importorskip("datasets")
    parts = {"train": TABLE[:50], "validation": TABLE[50:70], "test": TABLE[70:]}
    kept = {name: datasets.Dataset.from_pandas(part, preserve_index=False) for name, part in parts.items()}
    run = nettrain.train(QUIET, data=datasets.DatasetDict(kept))
    assert {name: len(rows) for name, rows in run.data.splits.items()} == {"train": 50, "val": 20, "test": 20}
