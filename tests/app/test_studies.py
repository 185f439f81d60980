"""Searches with Optuna, batch by batch, and successive halving inside a stack."""

import math

import optuna
import pandas
import pytest
import yaml

import nettrain
from nettrain.training.successive_halving import SuccessiveHalving

HERE = ("data=iris", "epochs=3", "quiet=true", "tensorboard=false", "hydra.sweep.dir=sweep")


def study(folder):
    return optuna.load_study(study_name="nettrain", storage=f"sqlite:///{folder}/study.db")


@pytest.mark.sample(3)
@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random"])
def test_a_search_trains_batches_and_keeps_its_study(command, tmp_path, sampler):
    space = ("optimizer.lr=tag(log,interval(1e-4,1))", "optimizer.beta1=interval(0,0.99)", "bs=choice(8,16)")
    search = (f"hydra/sweeper={sampler}", "hydra.sweeper.trials=10", "hydra.sweeper.batch=4")
    ended = command("-m", *search, *space, *HERE[:2], *HERE[3:])
    assert ended.code == 0, ended.err
    groups = [line for line in ended.out.splitlines() if "runs ->" in line]
    assert [int(line.split()[0]) for line in groups] == [4, 4, 2]
    trials = study(tmp_path / "sweep").get_trials()
    assert len(trials) == 10
    for trial in trials:
        run = nettrain.Run(tmp_path / "sweep" / str(trial.number))
        assert trial.value == run.summary["best_val_loss"]
        assert run.config.optimizer.lr == pytest.approx(trial.params["optimizer.lr"], rel=1e-15)
        assert str(run.config.bs) == trial.params["bs"]
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert best["best_evaluated_result"] == min(trial.value for trial in trials)
    assert len(pandas.read_csv(tmp_path / "sweep" / "results.csv")) == 10


@pytest.mark.slow
def test_tpe_finds_better_learning_rates_than_chance(command, tmp_path):
    space = ("optimizer=sgd", "optimizer.lr=tag(log,interval(1e-6,10))", "hydra.sweeper.batch=8")
    means = {}
    for sampler in ("tpe", "random"):
        folder = f"hydra.sweep.dir={sampler}"
        command("-m", f"hydra/sweeper={sampler}", "hydra.sweeper.trials=40", *space, *HERE[:-1], folder)
        values = [
            trial.value if trial.value is not None else math.inf for trial in study(tmp_path / sampler).get_trials()
        ]
        means[sampler] = sorted(values[20:])[10]  # the median of the second half
    assert means["tpe"] < means["random"]


def test_an_interrupted_search_goes_on(command, tmp_path, monkeypatch):
    from nettrain.app.sweep import stacks as stacking

    train, calls = stacking.train, []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(stacking, "train", killed)
    search = (
        "hydra/sweeper=tpe",
        "hydra.sweeper.trials=9",
        "hydra.sweeper.batch=3",
        "optimizer.lr=interval(0.001,0.1)",
    )
    assert command("-m", *search, *HERE).code == 130
    assert command("-m", *search, *HERE).code == 0
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert (results["status"] == "completed").sum() == 9
    assert results["optimizer.lr"].nunique() == 9
    complete = study(tmp_path / "sweep").get_trials(states=[optuna.trial.TrialState.COMPLETE])
    assert len(complete) == 9


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bs=8"], "hydra/sweeper=tpe: there is nothing to search; give a key an interval, such as "),
        (["bs=1,2", "hydra.sweeper.trials=0"], "hydra.sweeper.trials=0: it must be at least 1."),
        (["optimizer.lr=tag(log,interval(0,1))"], "optimizer.lr: a logarithmic interval must start above 0, not at 0"),
        (
            ["bs=1,2", "hydra.launcher.reduction_factor=1"],
            "hydra.launcher.reduction_factor=1: it must be at least 2.",
        ),
    ],
)
def test_mistakes_of_a_search(command, tmp_path, arguments, sentence):
    ended = command("-m", "hydra/sweeper=tpe", *arguments, *HERE)
    assert ended.code == 2
    assert ended.err.startswith(f"nettrain: {sentence}")


def test_an_interval_is_nothing_for_a_grid(command, tmp_path):
    ended = command("-m", "optimizer.lr=interval(0,1)", *HERE)
    assert (ended.code, ended.err.count("hydra/sweeper=tpe")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def test_at_the_rungs_only_the_best_go_on():
    halving = SuccessiveHalving(reduction_factor=3, min_epochs=2)
    assert [epoch for epoch in range(1, 60) if halving.losers(epoch, [1.0, 2.0])] == [2, 6, 18, 54]
    assert halving.losers(2, [5.0, 1.0, math.inf, 3.0, math.nan, 2.0]) == [0, 2, 3, 4]
    assert halving.losers(2, [5.0]) == []
    assert halving.losers(3, [5.0, 1.0]) == []


def test_the_worst_rows_of_a_stack_end_early(command, tmp_path):
    rates = "optimizer.lr=1e-6,1e-5,1e-4,1e-3,0.003,0.01,0.02,0.03"
    halving = ("hydra.launcher.reduction_factor=2", "hydra.launcher.min_epochs=2")
    assert command("-m", rates, *halving, "epochs=6", *HERE[:1], *HERE[2:]).code == 0
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["status"].tolist() == ["completed"] * 8
    assert (
        sorted(results["summary.epochs"] if "summary.epochs" in results else results["epochs"])
        == [2] * 4 + [4] * 2 + [6] * 2
    )
    first = results.loc[0]
    assert first["reason"] == "hydra.launcher.reduction_factor=2 after epoch 2"
    assert (
        command("-m", rates, "hydra/launcher=basic", "epochs=2", *HERE[:1], *HERE[2:-1], "hydra.sweep.dir=basic").code
        == 0
    )
    alone = pandas.read_csv(tmp_path / "basic" / "results.csv")["best_val_loss"]
    assert set(results.index[results["reason"].str.contains("epoch 2", na=False)]) == set(alone.nlargest(4).index)


def test_pruned_trials_are_told_as_pruned(command, tmp_path):
    search = ("hydra/sweeper=random", "hydra.sweeper.trials=8", "hydra.sweeper.batch=8")
    halving = ("hydra.launcher.reduction_factor=2",)
    assert command("-m", *search, *halving, "optimizer.lr=tag(log,interval(1e-5,0.1))", *HERE).code == 0
    states = [trial.state.name for trial in study(tmp_path / "sweep").get_trials()]
    assert (states.count("PRUNED"), states.count("COMPLETE")) == (6, 2)


def test_a_ready_space_for_tables_is_searched(command, tmp_path):
    ended = command("-m", "search=table", "hydra.sweeper.trials=6", "hydra.sweeper.batch=3", *HERE)
    assert ended.code == 0, ended.err
    trials = study(tmp_path / "sweep").get_trials()
    assert set(trials[0].params) == {"optimizer.lr", "optimizer.weight_decay", "model.dropout"}
    configs = [nettrain.Run(tmp_path / "sweep" / str(number)).config for number in range(6)]
    assert [config.model.dropout for config in configs] == [trial.params["model.dropout"] for trial in trials]
    assert {config.optimizer.name for config in configs} == {"adamw"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search=table",), "search=table: this is for sweeps; add -m."),
        (("-m", "search=tabel"), "search=tabel: there is no such search; choose from table; did you mean table?"),
        (
            ("-m", "search=table", "hydra/sweeper=grid"),
            "hydra.sweeper.trials: there is no such key.",
        ),
    ],
)
def test_mistakes_in_a_ready_search_are_told(command, words, said):
    ended = command(*words, *HERE[:-1])
    assert (ended.code, ended.err) == (2, f"nettrain: {said}\n")
