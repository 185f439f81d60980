"""A worker as a process: what it prints goes into a log, and signals end it in order."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from nettrain.training.signals import SIGNALS


@contextlib.contextmanager
def logged(path: Path) -> Iterator[list[str]]:
    """Within it what is printed goes into this log; it gives what was printed to stderr, which a person should see."""
    printed: list[str] = []
    sys.stdout.flush()
    sys.stderr.flush()
    with open(path, "a", buffering=1, errors="backslashreplace") as log:
        before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(_Kept(log, printed)):
                print(
                    f"{time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()} on {socket.gethostname()}", flush=True
                )
                yield printed
        finally:
            for number, descriptor in zip((1, 2), before, strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)


class _Kept:
    """A stream of text that also keeps what is written to it."""

    def __init__(self, stream: TextIO, kept: list[str]) -> None:
        self.stream, self.kept = stream, kept

    def write(self, text: str) -> int:
        self.kept.append(text)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal ends what is training in order, or raises `KeyboardInterrupt`, and so SLURM's warning."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not received:  # a second one is SLURM's, which sends it to all processes there are
            received.append(number)
            raise KeyboardInterrupt

    def warn(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)

    handlers: dict[int, Any] = dict.fromkeys(SIGNALS, interrupt)
    if usr2 := getattr(signal, "SIGUSR2", None):  # submitit's, before the time of a job is over
        handlers[usr2] = warn
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def watching(of_process: tuple[int, float] | None) -> Iterator[None]:
    """Within it this process is interrupted when that other one of the machine has ended."""
    ended = threading.Event()

    def watch() -> None:
        import psutil

        assert of_process
        number, began = of_process
        while not ended.wait(1.0):
            try:
                alive = psutil.Process(number).create_time() == began
            except psutil.Error:
                alive = False
            if not alive:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    if of_process:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
