"""Hydra's own tests of launchers, for ours: it runs other programs' jobs, too, one after another."""

from collections.abc import Iterator

import pytest
from hydra import version
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

from nettrain.hydra_versions import OLD


@pytest.fixture(autouse=True)
def version_base() -> Iterator[None]:
    """The suites' programs name no version, and find their logs where Hydra 1.1 put them; ours names 1.3."""
    if OLD:
        version.setbase("1.1")
    yield
    if OLD:
        version.setbase("1.3")


def test_hydra_finds_the_plugins():
    assert "StackedLauncher" in {plugin.__name__ for plugin in Plugins.instance().discover(Launcher)}
    assert "GridSweeper" in {plugin.__name__ for plugin in Plugins.instance().discover(Sweeper)}


@pytest.mark.parametrize(("launcher_name", "overrides"), [("stacked", [])])
class TestStackedLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(("launcher_name", "overrides"), [("stacked", ["hydra/sweeper=grid"])])
class TestStackedLauncherWithGridSweeper(LauncherTestSuite):
    pass


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("stacked", ["hydra/sweeper=grid", "hydra.sweeper.max_batch_size=2"])]
)
class TestStackedLauncherInBatches(BatchedSweeperTestSuite):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=stacked", "hydra/sweeper=grid"])]
)
class TestStackedLauncherIntegration(IntegrationTestSuite):
    pass
