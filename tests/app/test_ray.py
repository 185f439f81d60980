"""Sweeps on a cluster of Ray's, with several nodes on this machine: the bits of one machine, whatever nodes do."""


import pytest
from clusters import LONG, assert_same_sweep, checkpoints, ended, sweep, wait_for

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


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
    folder = tmp_path_factory.mktemp("local")
    code, _, err = ended(sweep(folder, *LONG, "hydra.sweep.dir=sweep"))
    assert code == 0, err
    return folder / "sweep"


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
