"""A sweep: a folder per run, results.csv, and the leaderboard."""

import signal

import pandas
import pytest

import nettrain
from nettrain.report.leaderboard import leaderboard
from nettrain.results.comparison import Comparison, RunResult
from nettrain.results.sweep_folder import write_results
from nettrain.training.counters import Counters

SMALL = ("data=iris", "epochs=4", "quiet=true", "hydra.sweep.dir=sweep")


@pytest.mark.sample(2)
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
    chosen = results[results["optimizer.lr"] == 0.05]
    best, folder = chosen["best_val_loss"], str(chosen.loc[chosen["best_val_loss"].idxmin(), "run"])
    assert lines[header + 1][1:7] == [folder, "3", "0", f"{best.mean():.4g}", "±", f"{best.std():.2g}"]
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
    command("-m", "seed=3,4", "hydra/launcher=basic", *SMALL)
    alone = nettrain.train(["seed=4", "data=iris", "epochs=4", "quiet=true"])
    swept = nettrain.Run(tmp_path / "sweep" / "1")
    assert swept.metrics.drop(columns="seconds").equals(alone.metrics.drop(columns="seconds"))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parent.name == "0"}


def test_a_repeated_sweep_runs_only_what_is_missing(command, tmp_path):
    basic = ("hydra/launcher=basic", *SMALL)
    assert command("-m", "seed=1,2", *basic).code == 0
    before = contents(tmp_path)
    assert command("-m", "seed=1,2,3", *basic).code == 0
    assert contents(tmp_path) == before
    assert pandas.read_csv(tmp_path / "sweep" / "results.csv")["seed"].tolist() == [1, 2, 3]
    ended = command("-m", "seed=7", *basic)
    assert ended.code == 2
    assert f"{tmp_path}/sweep/0: it holds another run" in ended.err


def test_a_run_is_never_written_over_by_another_one_of_its_sweep(command, tmp_path):
    ended = command("-m", "seed=1,2", "hydra.sweep.subdir=same", *SMALL)
    sentence = f"hydra.sweep.subdir: several runs of the sweep would write into {tmp_path}/sweep/same."
    assert (ended.code, ended.err) == (2, f"nettrain: {sentence}\n")


def test_an_error_that_nobody_expects_ends_its_own_run_only(command, tmp_path, monkeypatch):
    exhausted, seen = Counters.exhausted, []

    def broken(counters):
        if counters.updates == 5 and not seen:
            seen.append(counters)
            raise ZeroDivisionError("nothing can be divided by it")
        return exhausted(counters)

    monkeypatch.setattr(Counters, "exhausted", broken)
    ended = command("-m", "seed=1,2", "hydra/launcher=basic", *SMALL)
    message, trace = "ZeroDivisionError: nothing can be divided by it", tmp_path / "sweep" / "0" / "error.txt"
    assert (ended.code, ended.err) == (1, f"nettrain: {message} (traceback: {trace})\n")
    assert "Traceback" in trace.read_text()
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["status"].tolist() == ["failed", "completed"]
    assert results["message"].tolist()[0] == message


def test_a_run_that_cannot_start_has_its_overrides_in_the_table(command, tmp_path):
    command("-m", "head=sigmoid_bce,auto", "seed=3", *SMALL)
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["head"].tolist() == ["sigmoid_bce", "auto"]
    assert results["seed"].tolist() == [3, 3]


def test_what_was_asked_for_stays_beside_what_came_of_it(command, tmp_path):
    ended = command("-m", "epochs=2,3", "budget.updates=5", "data=iris", "quiet=true", "hydra.sweep.dir=sweep")
    results = pandas.read_csv(tmp_path / "sweep" / "results.csv")
    assert results["epochs"].tolist() == [2, 3]
    summaries = [nettrain.Run(tmp_path / "sweep" / str(number)).summary for number in range(2)]
    assert results["summary.epochs"].tolist() == [summary["epochs"] for summary in summaries]
    assert next(line for line in ended.out.splitlines() if "runs  bad" in line).split()[0] == "epochs"


def entry(run, overrides, **summary):
    return RunResult(str(run), overrides, {"status": "completed", **summary})


def test_the_leaderboard_has_a_column_for_every_override_of_any_run(tmp_path):
    runs = [
        entry(0, {"bs": "8"}, best_val_loss=0.2),
        entry(1, {"bs": "8", "optimizer.lr": "1"}, best_val_loss=0.1),
        entry(2, {"seed": "1", "bs": "4"}, best_val_loss=0.3),
    ]
    rows = [line.split() for line in leaderboard(Comparison(runs)).splitlines()[1:]]
    assert rows == [
        ["bs", "lr", "folder", "runs", "bad", "best_val_loss"],
        ["8", "1", "1", "1", "0", "0.1"],
        ["8", "0", "1", "0", "0.2"],
        ["4", "2", "1", "0", "0.3"],
    ]
    write_results(tmp_path / "results.csv", runs)
    assert list(pandas.read_csv(tmp_path / "results.csv"))[:5] == ["run", "bs", "optimizer.lr", "seed", "status"]


def test_the_leaderboard_counts_the_runs_that_its_means_are_of():
    runs = [entry(i, {"bs": "8", "seed": str(i)}, best_val_loss=i) for i in range(3)]
    assert leaderboard(Comparison(runs)).startswith(
        "3 runs; mean ± standard deviation over 3 runs of each setting, and"
    )
    runs[2].summary["status"] = "failed"
    runs.append(entry(3, {"bs": "9", "seed": "1"}, status="diverged"))
    *about, _, best, _ = leaderboard(Comparison(runs)).splitlines()
    sentence = "4 runs; mean ± standard deviation over 2 runs of each setting, without those that div"
    assert " ".join(about).startswith(sentence)
    assert best.split()[2:] == ["3", "1", "0.5", "±", "0.71"]


def test_without_a_validation_split_the_training_loss_ranks():
    runs = [entry(i, {"bs": str(i)}, best_train_loss=loss) for i, loss in enumerate([0.3, 0.1, 0.2])]
    rows = [line.split() for line in leaderboard(Comparison(runs)).splitlines()[1:]]
    assert rows[0][-1] == "best_train_loss"
    assert [row[0] for row in rows[1:]] == ["1", "2", "0"]


def test_a_module_of_one_s_own_in_a_sweep(command, tmp_path):
    assert command("-m", "model._target_=torch.nn.Linear", "epochs=1,2", *SMALL[:1], *SMALL[2:]).code == 0
    assert pandas.read_csv(tmp_path / "sweep" / "results.csv")["summary.epochs"].tolist() == [1, 2]


def test_ctrl_c_ends_a_sweep_with_the_run_in_progress_saved(command, tmp_path, monkeypatch):
    exhausted, seen = Counters.exhausted, []

    def interrupted(counters):
        if counters.updates == 5 and counters not in seen:
            seen.append(counters)
            if len(seen) == 2:  # the second run
                signal.raise_signal(signal.SIGINT)
        return exhausted(counters)

    monkeypatch.setattr(Counters, "exhausted", interrupted)
    ended = command("-m", "seed=1,2,3", "hydra/launcher=basic", *SMALL)
    assert ended.code == 130
    assert pandas.read_csv(tmp_path / "sweep" / "results.csv")["status"].tolist() == ["completed", "interrupted"]
    assert (tmp_path / "sweep" / "1" / "checkpoints" / "last.pt").exists()
    assert not (tmp_path / "sweep" / "2").exists()
    assert "2 runs" in ended.out


def test_ctrl_c_before_a_run_has_begun_ends_a_sweep_with_the_finished_runs(command, tmp_path, monkeypatch):
    load = nettrain.data.load

    def interrupted(settings, seed, split):
        if seed == 2:
            signal.raise_signal(signal.SIGINT)
        return load(settings, seed, split)

    monkeypatch.setattr(nettrain.data, "load", interrupted)
    ended = command("-m", "seed=1,2,3", "hydra/launcher=basic", *SMALL)
    assert (ended.code, ended.err) == (130, "nettrain: the sweep was interrupted\n")
    assert pandas.read_csv(tmp_path / "sweep" / "results.csv")["status"].tolist() == ["completed"]
    assert not (tmp_path / "sweep" / "1").exists()


def test_a_sweep_that_cannot_be_composed_leaves_nothing(command, tmp_path):
    assert command("-m", "optimizer=sgd,adamm").code == 2
    assert list(tmp_path.rglob("*")) == []
