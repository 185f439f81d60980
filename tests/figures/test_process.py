"""The process that draws: its figures are those drawn here, and it ends with whoever has started it."""

import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from kinds import every_request

from nettrain import figures
from nettrain.figures import process

LINES = ("lines", ([1, 2], {"a": [1, 2]}, "x", "y"))
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def here(function, arguments):
    return figures.png(getattr(figures, function)(*arguments))


@pytest.fixture
def drawing(monkeypatch):
    """A process of its own for a test, and the one that it has forked, after their first figure."""
    monkeypatch.setattr(process, "_begun", False)
    monkeypatch.setattr(process, "_requests", None)
    earlier = set(psutil.Process().children(recursive=True))
    for png in [process.begin(*LINES) for _ in range(9)]:
        png()
    started = set(psutil.Process().children(recursive=True)) - earlier
    assert len(started) == min(2, len(os.sched_getaffinity(0)))
    yield started
    for child in started:
        if child.is_running():
            child.kill()


NOT_DRAWN = ("COLORS", "color_bar", "content", "lines", "new", "png")


def test_the_other_process_draws_the_same_files(drawing, monkeypatch):
    requests = list(every_request(np.random.default_rng(0)))
    assert {name for name, _ in requests} >= {name for name in figures.__all__ if name not in NOT_DRAWN}
    expected = [here(*request) for request in requests]
    monkeypatch.setitem(figures.__dict__, "content", None)  # nothing is drawn here
    assert [png() for png in [process.begin(*request) for request in requests]] == expected


def test_what_is_wrong_with_a_figure_is_raised_where_it_is_waited_for(drawing):
    wrong, right = process.begin("curves", ({"epoch": [1]}, "nothing")), process.begin(*LINES)
    with pytest.raises(KeyError, match="nothing"):
        wrong()
    assert right() == here(*LINES)
    assert not any(child.status() in ENDED for child in drawing)


@pytest.mark.parametrize("killed", ["first", "second", "both"])
def test_a_process_that_has_been_killed_is_not_missed(drawing, killed):
    first = set(psutil.Process().children()) & drawing
    for child in drawing:
        child.suspend()
    waiting = [process.begin(*LINES) for _ in range(3)]
    for child in {"first": first, "second": drawing - first, "both": drawing}[killed]:
        child.kill()
    for child in drawing:
        if child.is_running():
            child.resume()
    assert [png() for png in [*waiting, process.begin(*LINES)]] == [here(*LINES)] * 4


def test_ctrl_c_is_not_for_it(drawing, monkeypatch):
    for child in drawing:
        child.send_signal(signal.SIGINT)
    expected = here(*LINES)
    monkeypatch.setitem(figures.__dict__, "content", None)
    assert [png() for png in [process.begin(*LINES) for _ in range(4)]] == [expected] * 4
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_one_that_cannot_be_started_is_not_missed(monkeypatch):
    monkeypatch.setattr(process, "_begun", False)
    monkeypatch.setattr(process, "_requests", None)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert process.begin(*LINES)() == here(*LINES)


def test_one_that_does_not_find_matplotlib_is_not_missed(monkeypatch, tmp_path, capfd):
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    monkeypatch.setattr(process, "_begun", False)
    monkeypatch.setattr(process, "_requests", None)
    monkeypatch.syspath_prepend(tmp_path)
    assert process.begin(*LINES)() == here(*LINES)


PARENT = """
import sys, time
from nettrain.figures import process
process.start()
for png in [process.begin("lines", ([1], {"a": [1]}, "x", "y")) for _ in range(int(sys.argv[1]))]:
    png()
print("ready", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.sample(3)
@pytest.mark.parametrize("figures", [0, 9])  # it is importing still, and it has drawn
@pytest.mark.parametrize("end", ["by itself", signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_whoever_has_started_it(figures, end):
    seconds = 0 if end == "by itself" else 100
    command = [sys.executable, "-c", PARENT.replace("print", "time.sleep(0.2); print"), str(figures), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        parent.stdout.readline()
        started = psutil.Process(parent.pid).children(recursive=True) if seconds else []
        assert bool(started) == bool(seconds)
        if seconds:
            parent.send_signal(end)
    _, alive = psutil.wait_procs(started, timeout=30)
    assert all(child.status() in ENDED for child in alive)


KILLED = """
import os, time
from nettrain.figures import process
process.begin("lines", ([1], {"a": [1]}, "x", "y"))()
drawing = [process.begin("lines", (list(range(50000)), {"a": list(range(50000))}, "x", "y")) for _ in range(2)]
time.sleep(0.02)  # the requests are on their way
os.kill(os.getpid(), 9)
"""


def test_nothing_is_said_of_figures_that_nobody_waits_for():
    """Whoever has asked for them was killed; its standard error is open for as long as they are drawn."""
    ended = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (-9, "")


FORK = """
import os
from nettrain import figures
from nettrain.figures import process
LINES = "lines", ([1], {"a": [1]}, "x", "y")
drawn = [process.begin(*LINES)() for _ in range(3)]
pid = os.fork()
if not pid:
    same = process.begin(*LINES)() == drawn[0]
    os._exit(0 if same and process._begun else 1)
assert os.waitpid(pid, 0)[1] == 0
assert process.begin(*LINES)() == drawn[0]
"""


def test_a_fork_starts_its_own():
    ended = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_it_imports_nothing_but_figures():
    code = "import sys, nettrain.figures.worker; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"matplotlib", "numpy"} <= set(modules)
    assert not {"torch", "hydra", "pandas", "scipy", "matplotlib.pyplot"} & set(modules)
    assert {name for name in modules if name.startswith("nettrain.")} == {
        name for name in modules if name.startswith("nettrain.figures")
    }


def test_whoever_starts_it_does_not_import_matplotlib():
    code = (
        "import sys\n"
        "from nettrain.figures import grids, planes, process, words\n"
        "import nettrain.report.write\n"
        "assert process.begin('lines', ([1], {'a': [1]}, 'x', 'y'))()\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
