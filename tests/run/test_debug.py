"""Debug presets: short runs that say whether one works."""

import numpy as np
import pytest

import nettrain

QUIET = {"quiet": True, "figures": "never", "tensorboard": False}


def rows(run):
    return {name: len(rows) for name, rows in run.data.splits.items()}


@pytest.mark.parametrize("data", ["digits", "diabetes"])
def test_fast_is_an_epoch_of_a_few_batches_on_all_splits(here, data):
    run = nettrain.train({"data": data, "debug": "fast", "bs": 8, **QUIET})
    assert rows(run) == {"train": 24, "val": 24, "test": 24}
    assert (run.summary["epochs"], run.summary["updates"]) == (1, 3)
    assert {"val_loss", "test_loss"} <= run.summary.keys()
    again = nettrain.Run(run.folder)
    assert rows(again) == rows(run)  # read again, they are the data it was trained on
    assert nettrain.train({"data": data, "debug": "fast", "bs": 8, "epochs": 2, **QUIET}).summary["epochs"] == 2


def test_a_table_sorted_by_its_classes_keeps_several(here):
    run = nettrain.train({"data": "iris", "debug": "fast", "bs": 8, **QUIET})
    assert set(run.data.y[run.data.splits["train"]]) == {0, 1, 2}


@pytest.mark.parametrize(("data", "bs"), [("iris", 16), ("diabetes", 16), ("diabetes", 1)])
def test_overfit_ends_once_the_batch_is_learnt_and_says_so(here, capsys, data, bs):
    config = {"data": data, "debug": "overfit", "bs": bs, "optimizer.lr": 0.01, **QUIET, "quiet": False}
    run = nettrain.train(config)
    assert (run.summary["learnt"], run.summary["updates_per_epoch"]) == (True, 1)
    assert run.summary["epochs"] < 1000
    assert run.summary["reason"] == "debug.overfit: its batch is learnt"
    if data == "iris":
        assert run.summary["train_accuracy"] == 1
    assert f"a debug run, on {bs} training row{'s' * (bs > 1)}; its batch was learnt" in capsys.readouterr().out
    not_yet = nettrain.train({**config, "optimizer.lr": 1e-9, "epochs": 2})
    assert (not_yet.summary["learnt"], not_yet.summary["epochs"]) == (False, 2)
    out = capsys.readouterr().out
    assert "its batch was not learnt" in out
    assert "note       this is a debug run: it uses part of the data." in out


def test_limits_are_shares_rows_or_batches_the_least_of_them(here):
    whole = rows(nettrain.train({"data": "digits", "epochs": 0, **QUIET}))
    for limits, expected in [
        ({}, {name: round(n / 10) for name, n in whole.items()}),
        ({"debug.share": 0.5}, {name: round(n / 2) for name, n in whole.items()}),
        ({"debug.samples": 50}, {"train": 50, "val": 27, "test": 27}),
        ({"debug.batches": 1}, {"train": 32, "val": 27, "test": 27}),
        ({"debug.share": 1e-9}, {"train": 1, "val": 1, "test": 1}),
    ]:
        run = nettrain.train({"data": "digits", "debug": "limit", "epochs": 0, **limits, **QUIET})
        assert rows(run) == expected


def test_rows_of_a_stack_are_runs_alone_and_a_run_goes_on(here):
    config = {"data": "diabetes", "debug": "limit", "debug.share": 0.3, "precision": "float64", "epochs": 2, **QUIET}
    sweep = nettrain.sweep({**config, "seed": "0,1"})
    alone = nettrain.train({**config, "seed": 1})
    columns = ["train_loss", "val_loss"]
    np.testing.assert_allclose(sweep.runs[1].metrics[columns], alone.metrics[columns], rtol=1e-12)
    more = nettrain.train([f"resume={alone.folder}", "epochs=3"])
    assert (more.summary["epochs"], rows(more)) == (3, rows(alone))


def test_data_that_are_handed_over_are_limited_once(here):
    x = np.random.default_rng(0).normal(size=(100, 2))
    run = nettrain.train({"debug": "limit", "debug.share": 0.5, "epochs": 1, **QUIET}, data={"train": (x, x[:, 0])})
    assert rows(run)["train"] == 50


MISTAKES = {
    "debug=fst": "debug=fst: there is no such preset; choose from fast, limit, overfit; did you mean fast?",
    "debug.share=2": "debug.share=2.0: debug.share must be greater than 0 and at most 1.",
    "debug.batches=0": "debug.batches=0: debug.batches must be at least 1.",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes(here, override):
    with pytest.raises(nettrain.api.ConfigError) as mistake:
        nettrain.train(override)
    assert str(mistake.value) == MISTAKES[override]
