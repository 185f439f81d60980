"""A sweep over runs with which it goes on, over folders' names, and what Hydra does around a job."""

import numpy as np
import pytest

import nettrain

QUIET = ["quiet=true", "figures=never", "tensorboard=false"]


@pytest.fixture
def begun(command, tmp_path):
    """Three runs of two epochs in folders a, b and c; a and b can be stacked."""
    for name, parts in {"a": ["data=iris"], "b": ["data=iris", "seed=3"], "c": ["data=wine", "optimizer=sgd"]}.items():
        assert command(*parts, *QUIET, "epochs=2", f"hydra.run.dir={name}").code == 0
    return tmp_path


@pytest.mark.sample(2)
@pytest.mark.parametrize("launcher", ["stacked", "basic"])
def test_a_sweep_goes_on_with_several_runs(command, begun, launcher):
    ended = command("-m", "resume=a,b,c", "epochs=4", *QUIET, f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    for name, data in {"a": "iris", "b": "iris", "c": "wine"}.items():
        run = nettrain.Run(begun / name)
        assert (run.summary["epochs"], run.config.data.name) == (4, data)
        alone = nettrain.train(
            [f"{key}={run.config[key].name}" for key in ("data", "optimizer")]
            + [*QUIET, f"seed={run.config.seed}", "epochs=4"],
            folder=begun / "alone" / name,
        )
        assert np.array_equal(alone.metrics["train_loss"], run.metrics["train_loss"])
    assert sorted(path.name for path in (begun / "sweep").iterdir()) == ["multirun.yaml", "results.csv"]
    lines = [line.split() for line in ended.out.splitlines()]
    assert {"a", "b", "c"} <= {line[0] for line in lines}


def test_a_schedule_that_is_stretched_over_more_epochs_says_so(command, tmp_path):
    begin = ["data=iris", *QUIET, "optimizer.lr=0.01", "epochs=4"]
    for schedule, said in {"cosine": True, "one_cycle": True, "step": False, "plateau": False}.items():
        assert command(*begin, f"schedule={schedule}", f"hydra.run.dir={schedule}").code == 0
        ended = command(f"resume={schedule}", "epochs=4")
        assert (ended.code, ended.err) == (0, "")
        ended = command(f"resume={schedule}", "epochs=8")
        rates = nettrain.Run(tmp_path / schedule).metrics["lr"].tolist()
        assert (rates[4] > 3 * rates[3]) == said
        assert ended.err.startswith(f"nettrain: {schedule}: schedule={schedule} now has its end after 8 epochs") == said
    assert command("resume=cosine", "epochs=9").err == (
        "nettrain: cosine: schedule=cosine now has its end after 9 epochs: the learning rate goes on from 0.00047 "
        "instead of 2.4e-05 (epochs was 8).\n"
    )


def test_what_stands_in_the_way_of_going_on_is_said(command, begun):
    ended = command("-m", "resume=a,nowhere", "epochs=3", *QUIET, "hydra.sweep.dir=sweep")
    assert (ended.code, ended.err) == (5, "nettrain: nowhere: no run is there (it has no .hydra/config.yaml).\n")
    assert nettrain.Run(begun / "a").summary["epochs"] == 3
    ended = command("-m", "resume=a,b", "bs=3,4", *QUIET, "hydra.sweep.dir=other")
    assert ended.code == 2
    assert "bs=3: resume goes on with the run's own bs=32" in ended.err
    ended = command("-m", "resume=a,a", "epochs=9", *QUIET, "hydra.sweep.dir=twice")
    assert ended.code == 2
    assert ended.err == f"nettrain: resume: several runs of the sweep would write into {begun}/a.\n"
    assert nettrain.Run(begun / "a").summary["epochs"] == 3


def test_a_run_that_is_complete_stays_as_it_is(command, begun):
    before = (begun / "a" / "summary.json").read_bytes()
    ended = command("-m", "resume=a,b", "epochs=2", "quiet=false", "figures=never", "hydra.sweep.dir=sweep")
    assert ended.code == 0
    assert "2 of 2 runs are already complete" in ended.out
    assert (begun / "a" / "summary.json").read_bytes() == before


def test_a_run_s_folder_may_be_named_after_its_keys(command, tmp_path):
    subdir = "hydra.sweep.subdir='${optimizer.name}-${seed}-${hydra.job.num}'"
    sweep = ["-m", "data=iris", "optimizer=sgd,adam", "seed=4", "epochs=1", *QUIET, subdir, "hydra.sweep.dir=sweep"]
    assert command(*sweep).code == 0
    assert sorted(path.name for path in (tmp_path / "sweep").glob("*-*")) == ["adam-4-1", "sgd-4-0"]
    assert "2 of 2 runs are already complete" in command(*[text for text in sweep if text != "quiet=true"]).out
    ended = command("-m", "data=iris", "seed=1,2", "epochs=1", *QUIET, "hydra.sweep.subdir=s", "hydra.sweep.dir=one")
    assert ended.err == f"nettrain: hydra.sweep.subdir: several runs of the sweep would write into {tmp_path}/one/s.\n"


CALLBACK = """
import os
from hydra.experimental.callback import Callback
class Told(Callback):
    def on_job_start(self, config, **rest):
        print("start", config.seed, config.hydra.job.num, config.hydra.runtime.output_dir, flush=True)
    def on_job_end(self, config, job_return, **rest):
        print("end", config.seed, job_return.cfg.seed, job_return.return_value < 9, job_return.status.name, flush=True)
"""


def test_hydra_s_callbacks_are_told_of_every_job(command, tmp_path, monkeypatch):
    (tmp_path / "told.py").write_text(CALLBACK)
    monkeypatch.syspath_prepend(tmp_path)
    callback = "+hydra.callbacks.told._target_=told.Told"
    ended = command("-m", "data=iris", "seed=5,6", "epochs=1", *QUIET, callback, "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    told = [line for line in ended.out.splitlines() if line.startswith(("start", "end"))]
    folders = [tmp_path / "sweep" / name for name in "01"]
    starts = [f"start {seed} {i} {folder}" for i, (seed, folder) in enumerate(zip((5, 6), folders, strict=True))]
    assert told == [*starts, "end 5 5 True COMPLETED", "end 6 6 True COMPLETED"]


def test_what_hydra_does_for_a_lone_job_is_refused_for_stacked_ones(command, tmp_path):
    alone = "use hydra/launcher=basic, which trains one run after another.\n"
    ended = command("-m", "data=iris", "seed=1,2", "hydra.job.chdir=true", "hydra.sweep.dir=sweep")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "nettrain: hydra.job.chdir=True: runs that train together have one working directory; leave it out, or " + alone
    )
    assert not (tmp_path / "sweep").exists()


def test_a_log_is_written_where_it_is_asked_for(command, tmp_path):
    log = ["data=iris", "epochs=1", "tensorboard=false", "hydra/job_logging=default", "hydra.verbose=true"]
    assert command(*log, "hydra.run.dir=run").code == 0
    assert "[nettrain][INFO] - \ncompleted after 1 epoch" in (tmp_path / "run" / "train.log").read_text()
    for launcher, name in [("stacked", "stacked"), ("basic", "basic/0")]:
        words = ["seed=1,2", f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}"]
        ended = command("-m", *log, *words)
        assert ended.code == 0
        assert ended.out.count("2 runs -> 1 stack of 2") == (launcher == "stacked")  # the terminal has no line twice
        said = "2 runs -> 1 stack of 2" if launcher == "stacked" else "completed after 1 epoch"
        assert said in (tmp_path / name / "train.log").read_text()
