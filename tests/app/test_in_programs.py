"""nettrain within somebody else's program: in threads, beside a Hydra of his own, with torch set as he likes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir, version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import nettrain

QUICK = ["data=iris", "epochs=2", "quiet=true", "tensorboard=false", "model.dropout=0.2"]


def weights(run):
    return torch.cat([t.flatten() for t in run.model.state_dict().values()])


def test_runs_in_threads_are_those_of_one_thread(here):
    alone = [weights(nettrain.train([*QUICK, f"seed={s}"], folder=f"alone/{s}")) for s in range(4)]
    state, together = torch.random.get_rng_state(), {}
    threads = [
        threading.Thread(
            target=lambda s=s: together.update({s: nettrain.train([*QUICK, f"seed={s}"], folder=f"threads/{s}")})
        )
        for s in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(weights(together[s]), alone[s]) for s in range(4))
    assert torch.equal(torch.random.get_rng_state(), state)


def float64():
    torch.set_default_dtype(torch.float64)


def meta():
    torch.set_default_device("meta")


def no_grad():
    torch.set_grad_enabled(False)


@pytest.fixture
def torch_as_it_was():
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)


@pytest.mark.sample(2)
@pytest.mark.parametrize("setting", [float64, meta, no_grad])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_what_the_caller_has_set_in_torch_changes_no_bit(here, torch_as_it_was, setting, optimizer):
    plain = nettrain.train([*QUICK, f"optimizer={optimizer}", "model.dropout=0"], folder="plain")
    setting()
    before = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    run = nettrain.train([*QUICK, f"optimizer={optimizer}", "model.dropout=0"], folder="set")
    again = nettrain.Run("plain")
    assert (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()) == before
    assert torch.equal(weights(run), weights(plain))
    assert weights(again).dtype == torch.float32


HOST = """
import os, sys, threading
import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
import nettrain

@hydra.main(version_base="1.2", config_path=None)
def main(config):
    theirs, settings = GlobalHydra.instance().hydra, HydraConfig.get()
    def go(k):
        nettrain.train(["data=iris", "epochs=1", "quiet=true", "figures=never"], folder=f"{k}_{config.x}")
    threads = [threading.Thread(target=go, args=(k,)) for k in range(2)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    go("main")
    assert GlobalHydra.instance().hydra is theirs and HydraConfig.get() is settings
    assert str(hydra.version.getbase()) == "1.2"
    print("end of", config.x)

main()
"""


def test_within_a_program_of_hydra_s_that_one_stays_as_it_is(here):
    Path("host.py").write_text(HOST)
    words = [sys.executable, "host.py", "-m", "+x=1,2", "hydra.sweep.dir=theirs"]
    ended = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "HYDRA_FULL_ERROR": "1"})
    assert [f"end of {x}" in ended.stdout for x in (1, 2)] == [True, True], ended.stdout + ended.stderr
    assert len(list(here.glob("*/checkpoints/last.pt"))) == 6


def test_while_somebody_composes_a_run_can_be_trained(here):
    (here / "theirs").mkdir()
    (here / "theirs" / "mine.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(here / "theirs"), version_base="1.2"):
        nettrain.train(QUICK, folder="run")
        assert compose("mine") == {"a": 1}
        assert str(version.getbase()) == "1.2"
    assert not GlobalHydra.instance().is_initialized()
    assert not HydraConfig.initialized() or HydraConfig.get() is not None


INTERRUPTED = """
import os, signal, sys, threading, time
import nettrain
calls = []
signal.signal(signal.SIGTERM, lambda *a: calls.append(a))

def send():
    while not os.path.exists("run/metrics.csv"):
        time.sleep(0.01)
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))

threading.Thread(target=send).start()
try:
    nettrain.train(["data=iris", "epochs=1000000", "quiet=true", "figures=never", "tensorboard=false"], folder="run")
except KeyboardInterrupt as interrupt:
    print("interrupted:", interrupt)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.01)
print("the host's handler was called", len(calls), "times")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_is_a_keyboard_interrupt_and_the_host_s_handlers_stay(here, name):
    words = [sys.executable, "-c", INTERRUPTED, name]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert "interrupted: run: the run was interrupted; its checkpoint is saved." in ended.stdout, ended.stderr
    assert "called 1 times" in ended.stdout
    assert nettrain.Run("run").summary["status"] == "interrupted"


def test_a_run_can_be_read_at_any_moment_while_it_trains(here):
    errors, reads, over = [], [0], threading.Event()

    def read():
        while not over.is_set():
            if (here / "run" / "checkpoints" / "last.pt").exists():
                try:
                    run = nettrain.Run("run")
                    assert run.trajectory is None or len(run.trajectory[0]) == len(run.trajectory[1])
                    assert run.model is not None
                    reads[0] += 1
                except Exception as error:
                    errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    nettrain.train([*QUICK, "epochs=40", "checkpoint.every_steps=3"], folder="run")
    over.set()
    reader.join()
    assert reads[0] > 20
    assert errors == []


@pytest.mark.sample(2)
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_that_is_ignored_when_the_program_starts_stays_so(here, name):
    code = f"import signal; signal.signal(signal.{name}, signal.SIG_IGN)\nfrom nettrain.app.main import main; main()"
    words = ["data=iris", "epochs=10000000", "quiet=true", "tensorboard=false", "hydra.run.dir=run"]
    run = subprocess.Popen([sys.executable, "-c", code, *words])
    try:
        while not (here / "run" / "metrics.csv").exists() and run.poll() is None:
            pass
        run.send_signal(getattr(signal, name))
        size = (here / "run" / "metrics.csv").stat().st_size
        while (here / "run" / "metrics.csv").stat().st_size == size and run.poll() is None:
            pass
        assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 128 + signal.SIGTERM
    finally:
        run.kill()
        run.wait()
