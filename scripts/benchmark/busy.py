"""Every engine, alone and in a stack, on an idle machine and beside a computing process for each processor."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from benchmark.timing import alternating, seconds_of

TRAIN = [sys.executable, "-m", "nettrain", "data=digits", "quiet=true", "figures=never", "tensorboard=false"]
STACK = ["-m", "bs=8", "epochs=5", "seed=range(64)"]
LARGE = ["model.hidden=[1024,1024]", "bs=512", "epochs=4"]  # of which torch uses all processors
WORK = {
    "eager, bs=8": ["engine=eager", "bs=8", "epochs=20"],
    "compiled, bs=8": ["engine=compiled", "bs=8", "epochs=100"],
    "eager, large": ["engine=eager", *LARGE],
    "fused, large": ["engine=fused", *LARGE],
    "compiled, large": ["engine=compiled", *LARGE],
    "eager, stack of 64": ["engine=eager", *STACK],
    "compiled, stack of 64": ["engine=compiled", *STACK],
    "L-BFGS": ["optimizer=lbfgs", "bs=full", "epochs=100"],
}
_COMPUTE = "while True: pass"


def busy(seconds: float) -> dict[str, Any]:
    """Seconds of whole processes: `idle`, `busy` beside computing ones, and what would be `fair` beside these."""
    processors = len(os.sched_getaffinity(0))
    results: dict[str, Any] = {}
    for name, arguments in WORK.items():
        _run(arguments)  # compiles what there is to compile
        used = _processor_seconds(arguments)
        idle = alternating({name: seconds_of(lambda a=arguments: _run(a))}, seconds, least=3, most=5, warm=False)
        with _computing(processors):
            beside = alternating({name: seconds_of(lambda a=arguments: _run(a))}, seconds, least=3, most=5, warm=False)
        # A process that keeps t processors busy has, beside n that compute on n processors, a share of n / (n + t).
        threads = min(processors, max(1.0, used / idle[name].median))
        fair = idle[name].median * (processors + threads) / processors
        results[name] = {"idle": asdict(idle[name]), "busy": asdict(beside[name]), "fair": fair}
    return results


def _run(arguments: list[str]) -> None:
    """As a user would, whatever number of threads the other parts of the benchmark are given."""
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*TRAIN, *arguments], check=True, capture_output=True, cwd=folder, env=environment)


def _processor_seconds(arguments: list[str]) -> float:
    before = os.times()
    _run(arguments)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


@contextmanager
def _computing(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", _COMPUTE]) for _ in range(count)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
