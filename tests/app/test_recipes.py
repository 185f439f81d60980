"""Recipes: settings that go together, each of which a word on the command line changes, and which tables have."""

import re

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
    "optimizer.lr": 0.006,
    "model.name": "tabm",
    "model.k": 16,
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
    for key in ("data.name", "model.hidden", "optimizer.name", "head.name", "data.val_fraction"):
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
        (
            ["recipe=tabel"],
            2,
            "recipe=tabel: there is no such recipe; choose from all_rows, plain, table; did you mean table?",
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
    assert re.search(r"recipe=NAME +settings that go together: all_rows, plain, table\n", command("--help").out)


def chosen_for(here, *words):
    """What a run on a table has of the recipe."""
    run = nettrain.train(["data=csv", "data.path=t.csv", "data.target=target", "epochs=1", "quiet=true", *words])
    return values(run, (*RECIPE, "optimizer.name")), {k: len(v) for k, v in run.data.splits.items()}


@pytest.fixture
def table(here):
    load_breast_cancer(as_frame=True).frame.iloc[::3].to_csv("t.csv", index=False)


def test_a_table_has_the_recipe_unless_another_is_named(here, table):
    settings, sizes = chosen_for(here)
    assert settings == {**RECIPE, "optimizer.name": "adam"}
    assert sizes["test"] == 0
    plain, sizes = chosen_for(here, "recipe=plain")
    assert (plain["data.numbers"], plain["activation.name"], plain["optimizer.lr"]) == ("standard", "relu", 0.001)
    assert sizes["test"] > 20
    assert chosen_for(here, "data.test_fraction=0.2")[1]["test"] == 38


def test_what_the_recipe_says_of_a_part_is_said_of_no_other(here, table):
    settings, sizes = chosen_for(here, "optimizer=sgd")
    alone, _ = chosen_for(here, "optimizer=sgd", "recipe=plain")
    assert (settings["optimizer.lr"], settings["schedule.name"]) == (alone["optimizer.lr"], "one_cycle")
    for words in (["model=linear"], ["optimizer=lbfgs"], ["model._target_=torch.nn.Linear"], ["model=resmlp"]):
        settings, sizes = chosen_for(here, *words)
        assert (settings["data.numbers"], settings["schedule.name"], sizes["test"]) == ("standard", "constant", 0), (
            words
        )
    settings, _ = chosen_for(here, "model=linear", "recipe=table")
    assert (settings["data.numbers"], settings["model.dropout"]) == ("piecewise", None)


@pytest.mark.parametrize(
    ("words", "model", "k"),
    [
        (["members=3"], "tabm", 2),
        (["folds=3"], "tabm", 2),
        (["members=3", "recipe=table"], "tabm", 2),
        (["members=3", "model.k=5"], "tabm", 5),
        (["members=3", "model=mlp"], "mlp", None),
        (["members=1"], "tabm", 16),
    ],
)
def test_members_have_a_smaller_model_of_the_recipe(here, table, words, model, k):
    settings, _ = chosen_for(here, *words)
    assert (settings["model.name"], settings["model.k"], settings["model.dropout"]) == (model, k, 0.1)


def test_each_run_of_a_sweep_has_its_own_recipe(here, table):
    words = ["data=csv", "data.path=t.csv", "data.target=target", "epochs=1", "quiet=true"]
    sweep = nettrain.sweep([*words, "model=mlp,linear", "optimizer=adam,lbfgs"])
    assert [run.config.data.numbers for run in sweep.runs] == ["piecewise", "standard", "standard", "standard"]
    assert {len(run.data.splits["test"]) for run in sweep.runs} == {0}


def test_python_and_a_query_have_it_as_the_command_line_does(here, table, command):
    of_mapping = nettrain.train({"data": "csv", "data.path": "t.csv", "data.target": "target", **QUIET})
    assert values(of_mapping) == RECIPE
    words = ["data=sql", "data.query=select * from 't.csv'", "data.target=target", "epochs=1"]
    assert command(*words).out.startswith("recipe     table: ")
    assert values(nettrain.train({"data": "wine", "recipe": "auto", **QUIET})) == RECIPE
    assert (
        values(nettrain.train({"data": "wine", "recipe": "auto", "model": "linear", **QUIET}))["data.test_fraction"]
        == 0
    )


def test_the_recipe_is_said_at_the_start(here, table, command):
    words = ["data=csv", "data.path=t.csv", "data.target=target", "epochs=1"]
    first = command(*words).out.splitlines()[0]
    assert first.startswith("recipe     table: perceptrons that share their weights, numbers in bins, ")
    assert first.endswith("no rows set aside for a test (recipe=plain leaves that out)")
    assert command(*words, "model=linear").out.startswith(
        "recipe     all_rows: no rows set aside for a test: all of them"
    )
    assert command(*words, "recipe=plain").out.startswith("data       t.csv")
    assert "  optimizer.lr=0.006 " in command("--help", "data=csv").out
    assert "  optimizer.lr=0.001 " in command("--help", "data=csv", "recipe=plain").out


def test_a_run_goes_on_with_its_own_settings(here, table, command):
    words = ["data=csv", "data.path=t.csv", "data.target=target", "quiet=true"]
    assert command(*words, "recipe=plain", "epochs=1", "hydra.run.dir=run").code == 0
    assert command("resume=run", "epochs=2").code == 0
    assert OmegaConf.select(nettrain.Run("run").config, "activation.name") == "relu"
    saved = command("--config-dir", "run/.hydra", "--config-name", "config", "hydra.run.dir=again", "quiet=true")
    assert saved.code == 0, saved.err
    assert values(nettrain.Run("again")) == values(nettrain.Run("run"))
