"""What is asked of a cluster: mistakes are named before anything is sent, and configs of many jobs are made quickly."""

from pathlib import Path

import pytest

from nettrain.app.sweep.cluster.cutting import _parts
from nettrain.app.sweep.cluster.task import versions
from nettrain.app.sweep.cluster.worker import other_version
from nettrain.config.compose import _parsed, _parsed_by_hydra
from nettrain.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cluster=rey"], "hydra.launcher.cluster=rey: there is no such cluster; choose from ray, slurm, local."),
        (["cluster=local", "cores=0"], "hydra.launcher.cores=0: it must be at least 1."),
        (["cluster=local", "gpus=1.5"], "hydra.launcher.gpus=1.5: it must be a whole number, or the share of one GPU"),
        (["cluster=local", "address=a:1"], "hydra.launcher.address: it is for hydra.launcher.cluster=ray, not for"),
        (["cluster=slurm", "slurm=cpu"], "hydra.launcher.slurm=cpu: it must be parameters of submitit's"),
        (["workers=2"], "hydra.launcher.workers: it is for workers; choose hydra.launcher.cluster=ray, slurm or local"),
    ],
)
def test_mistakes_in_what_is_asked_of_a_cluster(command, tmp_path, words, sentence):
    given = [f"hydra.launcher.{word}" for word in words]
    ended = command("-m", "seed=1,2", "data=iris", *given, "hydra.sweep.dir=sweep")
    assert (ended.code, ended.err.startswith(f"nettrain: {sentence}")) == (2, True), ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_worker_with_another_version_is_refused():
    assert other_version(versions()) is None
    code, sentence = other_version({**versions(), "torch": "1.0"})
    assert code == ConfigError.exit_code
    assert f"has torch {versions()['torch']} where the sweep has 1.0" in sentence


@pytest.mark.parametrize(("count", "sizes"), [(1, [6]), (2, [2, 4]), (3, [2, 2, 2])])
def test_parts_of_a_stack_have_about_the_same_work(count, sizes):
    work = dict(enumerate([4.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    parts = _parts(range(6), work, count)
    assert [len(part) for part in parts] == sizes
    assert [row for part in parts for row in part] == list(range(6))


@pytest.mark.parametrize("text", ["3", "-3", "0.5", "1.25e-3", "1e3", "03", "1_000", "0.1e400", "null", "3.", "abc"])
def test_a_number_is_read_as_hydra_reads_it(text):
    fast, slow = _parsed(f"optimizer.lr={text}"), _parsed_by_hydra(f"optimizer.lr={text}")
    assert fast == slow
    assert type(fast.value()) is type(slow.value())


def test_jobs_that_differ_in_plain_values_have_the_configs_that_each_alone_would_have(command, tmp_path):
    grid = ("optimizer.lr=0.1,1", "seed=1,2", "model.dropout=0,0.5", "data=iris", "epochs=1", "tensorboard=false")
    assert command("-m", *grid, "quiet=true", "hydra.sweep.dir=sweep").code == 0
    assert command("-m", *grid, "quiet=true", "hydra/launcher=basic", "hydra.sweep.dir=basic").code == 0
    for k in range(8):
        one, other = (Path(folder, str(k), ".hydra/config.yaml").read_text() for folder in ("sweep", "basic"))
        assert one == other
