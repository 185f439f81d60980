"""Sweeps on a cluster of Ray's, with several nodes on this machine: the bits of one machine, whatever nodes do."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from clusters import LONG, QUICK, assert_same_sweep, checkpoints, ended, rows, sweep, trained_here, wait_for

pytestmark = pytest.mark.slow
pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The folder of the sweep as one machine trains it."""
    return trained_here(tmp_path_factory.mktemp("local"))


def on(cluster, *more):
    return ("hydra.launcher.cluster=ray", f"hydra.launcher.address={cluster.address}", "hydra.sweep.dir=sweep", *more)


def test_a_sweep_on_two_nodes_equals_that_of_one_machine(cluster, local, tmp_path):
    code, out, err = ended(sweep(tmp_path, *LONG, *on(cluster)))
    assert (code, err) == (0, "")
    assert "sent to 2 workers of ray in 2 stacks" in out
    assert_same_sweep(local, tmp_path / "sweep")
    assert len({path.read_text().split("process ")[1].split()[0] for path in tmp_path.glob("sweep/*/worker.log")}) == 2
    assert not list(tmp_path.glob("sweep/.*"))


def test_a_node_that_dies_in_the_middle(cluster, local, tmp_path):
    node = cluster.add_node(num_cpus=1)
    process = sweep(tmp_path, *LONG, *on(cluster, "hydra.launcher.workers=3"))
    wait_for(lambda: len(checkpoints(tmp_path / "sweep")) == 16)
    cluster.remove_node(node, allow_graceful=False)
    code, _, err = ended(process)
    assert code == 0, err
    assert "another one goes on with them" in err
    assert_same_sweep(local, tmp_path / "sweep")


def test_a_search_and_halving_and_parts_of_ones_own(cluster, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom nettrain.parts.activations import activation\n\n\n@activation\ndef wavy(z):\n"
        "    return torch.sin(z)\n"
    )
    words = ("seed=range(9)", "epochs=9", "parts=[mine.py]", "activation=wavy,relu", *QUICK)
    halving = ("hydra.launcher.reduction_factor=3",)
    assert ended(sweep(tmp_path, *words, *halving, "hydra.sweep.dir=local"))[0] == 0
    code, _, err = ended(sweep(tmp_path, *words, *halving, *on(cluster)))
    assert (code, err) == (0, "")
    assert_same_sweep(tmp_path / "local", tmp_path / "sweep")
    search = ("hydra/sweeper=tpe", "hydra.sweeper.trials=9", "hydra.sweeper.batch=3", "optimizer.lr=interval(0.01,1)")
    code, _, err = ended(sweep(tmp_path, *search, "epochs=2", *QUICK, *on(cluster, "hydra.sweep.dir=search")))
    assert (code, err) == (0, "")
    assert len(rows(tmp_path / "search")) == 9


@pytest.fixture
def hidden(cluster, tmp_path):
    """`hidden(**environment)` adds a node of two processors that does not see the test's folder."""
    started = []

    def start(**environment):
        script = "from ray.scripts.scripts import main; main()"
        ray = [sys.executable, "-c", script, "start", f"--address={cluster.address}", "--num-cpus=2", "--block"]
        mount = f"mount -t tmpfs none {tmp_path} && "
        for folder in filter(None, [environment.get("TMPDIR")]):
            mount += f"mount -t tmpfs -o size=64k none {folder} && "
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", mount + 'exec "$@"', "sh", *ray],
            cwd="/",
            env={**os.environ, **environment},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    def count():
        alive = [node for node in nodes_of(cluster) if node["Alive"] and node["Resources"].get("CPU") == 2]
        return len(alive)

    yield start, count
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def nodes_of(cluster):
    """The nodes as a driver sees them."""
    script = f"import ray, json; ray.init(address={cluster.address!r}); print(json.dumps(ray.nodes()))"
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(asked.stdout.splitlines()[-1])


CSV = ("data=csv", "data.path=iris.csv", "data.target=target", "recipe=plain")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")


@needs_root
def test_nodes_that_do_not_see_the_folder_of_the_sweep_one_of_which_dies(cluster, hidden, iris_run, tmp_path):
    shutil.copy(iris_run / "iris.csv", tmp_path)
    start, count = hidden
    nodes = []
    for k in range(2):
        nodes.append(start())
        wait_for(lambda k=k: count() == k + 1)
    (tmp_path / "resting.py").write_text(
        "import time\n\nimport nettrain\n\n\nclass Resting(nettrain.Callback):\n"
        "    def epoch(self, run):\n        time.sleep(2e-3)\n"
    )
    words = (*LONG[:-1], *CSV, "callbacks.resting._target_=resting.Resting")  # so that it takes some seconds
    assert ended(sweep(tmp_path, *words, "hydra.sweep.dir=local"))[0] == 0
    process = sweep(tmp_path, *words, *on(cluster, "hydra.launcher.cores=2"))
    wait_for(lambda: len(checkpoints(tmp_path / "sweep")) >= 8)
    os.killpg(nodes[0].pid, signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 0, err
    assert "another one goes on with them" in err
    assert_same_sweep(tmp_path / "local", tmp_path / "sweep")


@needs_root
def test_a_node_whose_disk_is_full(cluster, hidden, iris_run, tmp_path, tmp_path_factory):
    shutil.copy(iris_run / "iris.csv", tmp_path)
    start, count = hidden
    start(TMPDIR=str(tmp_path_factory.mktemp("small")))
    wait_for(lambda: count() == 1)
    start()
    wait_for(lambda: count() == 2)
    words = ("seed=1,2,3,4", "epochs=2", *QUICK[:-1], *CSV)
    code, _, err = ended(sweep(tmp_path, *words, *on(cluster, "hydra.launcher.cores=2")))
    assert "No space left on device" in err
    assert (code, [row["status"] for row in rows(tmp_path / "sweep")]) == (0, ["completed"] * 4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hydra.launcher.gpus=2"], "hydra.launcher.gpus=2: no node of the cluster at .* has so many gpus; .* has 0"),
        (["hydra.launcher.memory=5000"], "hydra.launcher.memory=5000: no node of the cluster at .* so many GiB"),
        (["hydra.launcher.cores=50"], "hydra.launcher.cores=50: no node of the cluster at .* has so many cores"),
        (["hydra.launcher.address=127.0.0.1:1"], r"127.0.0.1:1: there is no cluster .* \(Connection refused\)"),
        (["hydra.launcher.address=here"], "hydra.launcher.address=here: an address of Ray's is host:port"),
    ],
)
def test_what_a_cluster_does_not_have(cluster, tmp_path, words, sentence):
    code, out, err = ended(sweep(tmp_path, "seed=1,2", *QUICK, *on(cluster), *words))
    assert code == 2
    assert re.search(sentence, err)
    assert "sent to" not in out
    assert list(tmp_path.iterdir()) == []


def test_an_address_at_which_something_else_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        words = ("hydra.launcher.cluster=ray", f"hydra.launcher.address={address}", "hydra.sweep.dir=sweep")
        code, _, err = ended(sweep(tmp_path, "seed=1,2", *QUICK, *words))
    assert (code, f"hydra.launcher.address={address}: there is no cluster of Ray's that answers" in err) == (2, True)
