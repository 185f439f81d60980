"""What a key changes is said once, at its field: resuming, sweeps, stacks, comparisons and HPARAMS all ask there."""

import json
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import nettrain
from nettrain.config.schema import known_options
from nettrain.config.scopes import resumable_keys, scope_of
from nettrain.errors import DataError
from nettrain.results.sweep_folder import gather

IRIS = ["data=iris", "epochs=2", "quiet=true", "tensorboard=false"]
TABLE = "x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(60))


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_key_means_the_same_in_every_part_that_has_it():
    for key, fields in known_options().items():
        for mark in ("scope", "per_row", "is_path"):
            assert len({field.metadata[mark] for field in fields.values()}) == 1, key


def test_every_option_says_what_it_changes():
    for key, fields in known_options().items():
        assert all({"scope", "help"} <= field.metadata.keys() for field in fields.values()), key


@pytest.mark.parametrize(
    ("scope", "keys"),
    [
        ("chance", {"seed", "data.split_seed", "data.data_seed", "split.fold"}),
        ("speed", {"device", "engine", "sharded"}),
    ],
)
def test_which_keys_are_chance_and_which_speed(scope, keys):
    assert {key for key in known_options() if scope_of(key) == scope} == keys


def test_the_message_on_resume_names_what_may_change(command):
    assert command("data=iris", "epochs=1", "hydra.run.dir=run").code == 0
    ended = command("resume=run", "optimizer.lr=0.5")
    assert ended.code == 2
    for key in resumable_keys():
        assert key in ended.err
    assert {"epochs", "budget.*", "checkpoint.*", "device", "engine", "watch.*"} <= set(resumable_keys())


@pytest.mark.parametrize("more", [["checkpoint.every_seconds=5"], ["engine=eager"], ["watch.layers=false"], []])
def test_what_trains_no_further_leaves_a_complete_run_as_it_is(command, tmp_path, more):
    assert command(*IRIS, "hydra.run.dir=run").code == 0
    before = files(tmp_path / "run")
    ended = command("resume=run", *more)
    assert (ended.code, "there is nothing left to do" in ended.out) == (0, True)
    assert files(tmp_path / "run") == before


def hparams(folder):
    """The columns of the last session in TensorBoard's HPARAMS tab."""
    path = max(folder.glob("events.out.tfevents.*"))
    accumulator = EventAccumulator(str(path)).Reload()
    content = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    return set(HParamsPluginData.FromString(content).session_start_info.hparams)


def test_hparams_have_what_tells_runs_apart_and_a_resumed_run_has_the_same_ones(here):
    run = nettrain.train(["data=iris", "epochs=1", "quiet=true"], folder=here / "run")
    first = hparams(run.folder)
    nettrain.train([f"resume={run.folder}", "epochs=2", "trust=true", "checkpoint.every_steps=3"])
    assert hparams(run.folder) == first
    assert {"optimizer", "optimizer.lr", "bs", "seed", "epochs"} <= first
    roots = {key.partition(".")[0] for key in first}
    assert roots.isdisjoint(
        {"trust", "resume", "checkpoint", "device", "engine", "quiet", "figures", "watch", "profile"}
    )


def test_a_resumed_run_is_compared_as_a_repetition_of_its_siblings(here):
    for seed in (0, 1, 2):
        nettrain.train([*IRIS, f"seed={seed}", f"epochs={1 if seed else 2}"], folder=here / str(seed))
    for seed in (1, 2):
        nettrain.train([f"resume={here / str(seed)}", "epochs=2", "trust=true", "engine=eager"])
    comparison = gather([here / str(seed) for seed in (0, 1, 2)])
    assert [len(group.runs) for group in comparison.groups] == [3]
    saved = nettrain.Run(here / "1").config
    assert (saved.resume, saved.trust) == (None, False)


def test_split_seeds_are_repetitions_on_the_leaderboard(command, tmp_path):
    grid = ("optimizer=sgd,adam", "seed=0,1", "data.split_seed=0,1")
    ended = command("-m", *IRIS, *grid, "hydra.sweep.dir=sweep")
    assert ended.code == 0
    comparison = nettrain.Sweep(tmp_path / "sweep").comparison
    assert comparison.keys == ["optimizer"]
    assert [len(group.runs) for group in comparison.groups] == [4, 4]
    assert set(comparison.groups[0].by_repetition("best_val_loss")) == {
        f"data.split_seed={split} seed={seed}" for split in (0, 1) for seed in (0, 1)
    }


def test_a_key_of_one_launch_splits_no_group_but_one_that_was_swept_is_shown(command, tmp_path):
    sweep = ("-m", *IRIS[:2], "tensorboard=false", "hydra.sweep.dir=sweep")
    assert command(*sweep, "seed=0,1").code == 0
    assert command(*sweep, "seed=0,1,2", "quiet=true").code == 0
    assert nettrain.Sweep(tmp_path / "sweep").comparison.keys == []
    assert command(*sweep[:-1], "seed=0,1", "engine=eager,compiled", "hydra.sweep.dir=engines").code == 0
    assert nettrain.Sweep(tmp_path / "engines").comparison.keys == ["engine"]


def test_a_sweep_knows_its_runs_again_whatever_a_launch_changes(command, tmp_path):
    assert command("-m", *IRIS, "seed=0,1", "hydra.sweep.dir=sweep").code == 0
    before = files(tmp_path / "sweep" / "0")
    more = ("engine=eager", "checkpoint.every_seconds=1", "watch.layers=false", "profile=false")
    ended = command("-m", *IRIS[:2], "seed=0,1", *more, "hydra.sweep.dir=sweep")
    assert "2 of 2 runs are already complete" in ended.out
    assert files(tmp_path / "sweep" / "0") == before


def test_a_saved_config_without_keys_that_came_later_is_the_same_run(command, tmp_path):
    """As an earlier version has saved it: what is not there has its default."""
    assert command("-m", *IRIS, "seed=0", "hydra.sweep.dir=sweep").code == 0
    path = tmp_path / "sweep" / "0" / ".hydra" / "config.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("accumulate", "deterministic"))]
    path.write_text("\n".join(lines) + "\n")
    ended = command("-m", *IRIS[:2], "tensorboard=false", "seed=0", "hydra.sweep.dir=sweep")
    assert "1 of 1 runs are already complete" in ended.out


def test_a_relative_path_is_at_home_in_any_folder(command, here, monkeypatch):
    (here / "t.csv").write_text(TABLE)
    assert (
        command("data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", *IRIS[1:], "hydra.run.dir=run").code
        == 0
    )
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert len(nettrain.Run(here / "run").data.y) == 60
    assert nettrain.train([f"resume={here / 'run'}", "epochs=3"]).summary["epochs"] == 3
    again = ("--config-dir", f"{here}/run/.hydra", "--config-name", "config", "hydra.run.dir=again")
    assert command(*again).code == 0
    assert "confusion" in nettrain.Run(here / "run").figures


def test_a_table_that_was_moved_is_found_by_its_new_path_if_it_is_the_same(command, here):
    (here / "t.csv").write_text(TABLE)
    assert (
        command("data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", *IRIS[1:], "hydra.run.dir=run").code
        == 0
    )
    shutil.move(here / "t.csv", here / "moved.csv")
    run = nettrain.train([f"resume={here / 'run'}", "data.path=moved.csv", "epochs=3"])
    assert run.summary["epochs"] == 3
    assert nettrain.Run(here / "run").config.data.path == str(here / "moved.csv")
    (here / "other.csv").write_text(TABLE.replace("1,b", "1,a", 1))
    with pytest.raises(DataError, match=r"other\.csv: the data have changed since the run in .*run was trained"):
        nettrain.train([f"resume={here / 'run'}", "data.path=other.csv", "epochs=4"])


def test_what_is_watched_may_change_on_resume_and_the_table_has_all_columns(here):
    nettrain.train([*IRIS, "watch.layers=false"], folder=here / "run")
    nettrain.train([f"resume={here / 'run'}", "epochs=4", "watch.layers=true"])
    run = nettrain.train([f"resume={here / 'run'}", "epochs=5", "watch.layers=false"])
    table = run.metrics
    assert table["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert table["gradient_norm/layers.0"].notna().tolist() == [False, False, True, True, False]
    assert table["train_loss"].notna().all()


def test_rows_of_a_stack_may_differ_where_the_field_says_so(command):
    grid = (
        "optimizer=sgd,adam",
        "schedule=constant,cosine",
        "model.dropout=0,0.1",
        "data.split_seed=0,1",
        "epochs=1,2",
    )
    ended = command("-m", *IRIS[:1], *IRIS[3:], *grid, "early_stopping.patience=null,1", "hydra.sweep.dir=sweep")
    assert ended.out.splitlines()[0] == "64 runs -> 1 stack of 64"
    ended = command("-m", *IRIS[:2], "tensorboard=false", "bs=8,16", "seed=0,1", "hydra.sweep.dir=two")
    assert ended.out.splitlines()[0] == "4 runs -> 2 stacks of 2"


def test_runs_without_a_validation_split_are_compared_by_their_training_loss(here):
    nettrain.train([*IRIS, "data.val_fraction=0"], folder=here / "run")
    comparison = gather([here / "run"])
    assert comparison.loss == "best_train_loss"
    summary = json.loads((here / "run" / "summary.json").read_text())
    assert comparison.groups[0].mean(comparison.loss) == summary["best_train_loss"]
