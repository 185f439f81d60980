"""`recipe=table`: settings that go together, each of which a word on the command line changes."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from sklearn.datasets import load_breast_cancer

import nettrain

QUIET = {"quiet": True, "figures": "never", "epochs": 2}
RECIPE = {
    "data.numbers": "piecewise",
    "data.test_fraction": 0,
    "activation.name": "silu",
    "schedule.name": "one_cycle",
    "optimizer.lr": 0.003,
    "model.dropout": 0.1,
    "calibrate": "auto",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(run, keys=RECIPE):
    return {key: OmegaConf.select(run.config, key) for key in keys}


def test_a_recipe_sets_what_it_says_and_nothing_else(here):
    plain, named, table = (
        nettrain.train({"data": "iris", **recipe, **QUIET}) for recipe in ({}, {"recipe": "plain"}, {"recipe": "table"})
    )
    assert plain.config == named.config
    assert values(table) == RECIPE
    for key in ("data.name", "bs", "model.hidden", "optimizer.name", "head.name", "data.val_fraction"):
        assert OmegaConf.select(table.config, key) == OmegaConf.select(plain.config, key)


def test_words_on_the_command_line_and_an_experiment_count_more(here):
    run = nettrain.train(
        {
            "data": "iris",
            "recipe": "table",
            "schedule": "constant",
            "data.test_fraction": 0.2,
            "optimizer.lr": 0.1,
            **QUIET,
        }
    )
    assert values(run) == {**RECIPE, "schedule.name": "constant", "data.test_fraction": 0.2, "optimizer.lr": 0.1}
    assert len(run.data.splits["test"]) == 30
    (here / "mine" / "experiment").mkdir(parents=True)
    (here / "mine" / "experiment" / "x.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /schedule: cosine\noptimizer: {lr: 0.5}\n"
    )
    run = nettrain.train({"data": "iris", "experiment": "x", "recipe": "table", **QUIET}, config_dir="mine")
    assert values(run) == {**RECIPE, "schedule.name": "cosine", "optimizer.lr": 0.5}


def test_all_rows_of_a_table_train_or_validate_and_that_is_said(here, capsys):
    frame = load_breast_cancer(as_frame=True).frame
    frame.to_csv("t.csv", index=False)
    words = {"data": "csv", "data.path": "t.csv", "data.target": "target", "recipe": "table", **QUIET, "quiet": False}
    run = nettrain.train(words)
    assert {name: len(rows) for name, rows in run.data.splits.items()} == {"train": 484, "val": 85, "test": 0}
    out = capsys.readouterr().out
    assert (
        "note       no rows are set aside for a test: the validation rows, which choose the best epoch, flatter" in out
    )
    assert "temperature" in run.summary
    assert "test_loss" not in run.summary
    p = run.predict(pd.read_csv("t.csv"))["probability_1"]
    assert np.isfinite(p).all()
    numbers = nettrain.train({"data": "diabetes", "recipe": "table", **QUIET})
    assert "temperature" not in numbers.summary


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["recipe=tabel"], 2, "recipe=tabel: there is no such recipe; choose from plain, table; did you mean table?"),
        (
            ["recipe=table", "model=linear"],
            2,
            "recipe/table.yaml: model.dropout exists only for model=cnn, mlp, gru, lstm, resmlp and transformer.",
        ),
        (
            ["recipe=table", "resume=first"],
            2,
            "recipe=table: a recipe is for a new run; resume goes on with the run's own settings.",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(words, code, said, command):
    assert command("data=iris", "epochs=1", "quiet=true", "hydra.run.dir=first").code == 0
    ended = command("data=iris", "epochs=1", "quiet=true", *words)
    assert (ended.code, ended.err) == (code, f"nettrain: {said}\n")


def test_recipes_are_rows_of_a_sweep_and_in_the_help(here, command):
    sweep = nettrain.sweep({"data": "iris", "recipe": "plain,table", **QUIET})
    assert [run.config.schedule.name for run in sweep.runs] == ["constant", "one_cycle"]
    assert "recipe=NAME, settings that go together: plain, table" in command("--help").out
