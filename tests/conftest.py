"""What several tests share: the command line in this process, and a folder to work in."""

import dataclasses
import gc
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hydra.core.config_store import ConfigStore
from sklearn.datasets import load_iris

import nettrain
from nettrain.app import cli
from nettrain.app.sweep import sweep
from nettrain.config import own_parts
from nettrain.config.schema import GROUPS, LISTS, Config, parts, register
from nettrain.parts.activations import ACTIVATIONS

sys.path.append(str(Path(__file__).parent / "run"))
import simgpu

# A shell starts what is in its background with SIGINT ignored, and nohup with SIGHUP.
for name, handler in {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}.items():
    if signal.getsignal(number := getattr(signal, name, signal.SIGINT)) is signal.SIG_IGN:
        signal.signal(number, handler)

torch.set_num_threads(1)  # the tensors are small, and several test runs may share a machine
if not torch.cuda.is_available():  # two accelerators in one process are too many for torch
    simgpu.setup()  # autograd counts the devices once, at the first backward pass of the process


# Drawing takes a second a run: only what is about figures asks for them.
next(field for field in dataclasses.fields(Config) if field.name == "figures").default = "never"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the cases of a test that is marked `sample(n)` all but every nth are slow."""
    cases: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("sample"):
            test = item.nodeid.partition("[")[0]
            if cases[test] % mark.args[0]:
                item.add_marker("slow")
            cases[test] += 1


def pytest_collection_finish() -> None:
    gc.freeze()  # else what has been imported is walked through again and again, a fifth of the time of short commands


@pytest.fixture
def parts_are_forgotten() -> Iterator[None]:
    """The parts that a test brings are none for the tests after it."""
    activations, known = dict(ACTIVATIONS), {group: set(parts(group)) for group in (*GROUPS, *LISTS)}
    yield
    register()
    for group in (*GROUPS, *LISTS):
        while brought := parts(group).keys() - known[group]:  # several of one name where a file has changed
            name = brought.pop()
            parts(group)[name].name = ""
            ACTIVATIONS.pop(name, None)
            parts.cache_clear()
            repo = ConfigStore.instance().repo
            for folder in (repo.get(group, {}), repo["schema"][group]):
                folder.pop(f"{name}.yaml", None)
    ACTIVATIONS.clear()
    ACTIVATIONS.update(activations)
    own_parts._imported.clear()
    for name in [name for name in sys.modules if name.startswith("nettrain_parts_")]:
        del sys.modules[name]
    register()


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def iris_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with iris.csv, and with a run on it in `trained`."""
    folder = tmp_path_factory.mktemp("trained")
    iris = load_iris(as_frame=True)
    iris.data.assign(target=iris.target_names[iris.target]).to_csv(folder / "iris.csv", index=False)
    words = [
        "data=csv",
        "recipe=plain",
        f"data.path={folder / 'iris.csv'}",
        "data.target=target",
        "epochs=1",
        "quiet=true",
    ]
    nettrain.train(words, folder=folder / "trained")
    return folder


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """`command("optimizer=adam", "bs=8")` runs the program in an empty folder: its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sweep, "_folder", None)
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium, without a window; it reaches nothing but this machine."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    for flag in [*flags.split(), "--disable-component-update", "--disable-sync", "--window-size=1400,1000"]:
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()
