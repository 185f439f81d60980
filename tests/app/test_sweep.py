"""A sweep: a folder per run, results.csv, and the leaderboard."""

import pandas
import pytest

import nettrain

SMALL = ("data=iris", "epochs=4", "quiet=true", "hydra.sweep.dir=sweep")


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_leaves_a_run_per_combination_and_a_table(command, tmp_path, launcher):
    ended = command(
        "-m", f"hydra/launcher={launcher}", "optimizer=sgd,adam", "optimizer.lr=0.1,0.01", "seed=range(2)", *SMALL
    )
    assert ended.code == 0, ended.err
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["run"].tolist() == list(range(8))
    assert results["optimizer"].tolist() == ["sgd"] * 4 + ["adam"] * 4
    assert results["optimizer.lr"].tolist() == [0.1, 0.1, 0.01, 0.01] * 2
    assert results["seed"].tolist() == [0, 1] * 4
    for number in range(8):
        summary = nettrain.Run(tmp_path / "sweep" / str(number)).summary
        assert results.loc[number, "test_accuracy"] == summary["test_accuracy"]
    assert "8 runs" in ended.out


def test_the_leaderboard_ranks_by_mean_validation_loss_over_the_seeds(command, tmp_path):
    ended = command("-m", "optimizer.lr=1e-5,0.05", "seed=range(3)", *SMALL)
    lines = [line.split() for line in ended.out.splitlines()]
    header = lines.index(next(line for line in lines if line[:1] == ["lr"]))
    assert [line[0] for line in lines[header + 1 : header + 3]] == ["0.05", "1e-05"]
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    best = results[results["optimizer.lr"] == 0.05]["best_val_loss"]
    assert lines[header + 1][1:6] == ["3", "0", f"{best.mean():.4g}", "±", f"{best.std():.2g}"]
    assert max(map(len, ended.out.splitlines()[-4:])) <= 80


def test_a_run_that_cannot_start_is_failed_and_the_others_go_on(command, tmp_path):
    ended = command("-m", "head=auto,sigmoid_bce", *SMALL)
    assert ended.code == 2
    assert "head=sigmoid_bce: it cannot fit the target" in ended.err
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["status"].tolist() == ["completed", "failed"]
    assert "head=sigmoid_bce" in results.loc[1, "message"]


def test_a_run_that_diverges_is_part_of_the_result(command, tmp_path):
    ended = command("-m", "optimizer=sgd", "optimizer.lr=0.01,1e30", *SMALL)
    assert ended.code == 0
    assert pandas.read_csv(tmp_path / "sweep" / "results.csv")["status"].tolist() == ["completed", "diverged"]


def test_the_runs_of_a_sweep_equal_the_same_runs_alone(command, tmp_path):
    command("-m", "seed=3,4", *SMALL)
    alone = nettrain.train(["seed=4", "data=iris", "epochs=4", "quiet=true"])
    swept = nettrain.Run(tmp_path / "sweep" / "1")
    assert swept.metrics.drop(columns="seconds").equals(alone.metrics.drop(columns="seconds"))
