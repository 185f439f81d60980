"""Signals in a sweep whose runs train in processes of their own, as with `hydra/launcher=joblib`.

The first signal lets every run that is training end in order, and none begin any more. A terminal sends Ctrl-C to all
processes, `kill` a signal to the main one alone: that one passes it on as SIGUSR1, which never counts as a second one.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType

from nettrain.training.signals import heeded, latest

_PASSED_ON: int | None = getattr(signal, "SIGUSR1", None)  # Windows has none: there Ctrl-C alone reaches all
_received: int | None = None  # in the main process the sweep's signal, in a worker the one that has ended its run
_training = False


def received() -> int | None:
    """The signal that has ended the sweep."""
    return _received


def is_worker() -> bool:
    """Whether this process is one that another one has started."""
    return multiprocessing.parent_process() is not None


@contextmanager
def passing_signals_on() -> Iterator[None]:
    """Within it the main process passes its first signal on to all workers; a second one ends them and the sweep."""
    global _received

    def pass_on(number: int, frame: FrameType | None) -> None:
        global _received
        _received = number
        for next_one in taken:
            signal.signal(next_one, signal.default_int_handler)
        processes = [worker.pid for worker in multiprocessing.active_children() if worker.pid is not None]
        if _PASSED_ON is not None:
            for process in processes:
                os.kill(process, _PASSED_ON)
        if not processes:
            raise KeyboardInterrupt

    taken = heeded()
    previous = {number: signal.signal(number, pass_on) for number in taken}
    try:
        yield
    finally:
        _received = None
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def safe_path() -> Iterator[None]:
    """Within it no process of Python's that is started imports from the working directory, unless this one does."""
    previous = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if previous is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = previous


def end_workers() -> None:
    """End joblib's processes, which wait for more: they remember the signals of their sweep, and not the next one's."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown()


@contextmanager
def taking_signals() -> Iterator[None]:
    """Within it a signal interrupts a worker; otherwise the worker only remembers it, for the jobs to come."""
    global _training, _received
    if not is_worker() or threading.current_thread() is not threading.main_thread():
        yield
        return
    for number in (*heeded(), *([_PASSED_ON] if _PASSED_ON else [])):
        signal.signal(number, _interrupt)
    _watch_parent()
    _training = True
    try:
        yield
    finally:
        _training = False
        _received = _received or latest()


@cache
def _watch_parent() -> None:
    """Have this worker end when the process that has started it is gone, its run saved as after a signal."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:  # Windows never gives another one: there a worker ends when it has waited for long
        time.sleep(0.5)
    if _training:
        os.kill(os.getpid(), signal.SIGTERM)
    while _training:
        time.sleep(0.05)
    os._exit(128 + signal.SIGTERM)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    if _received or latest():  # the same one, passed on or from the terminal; what a second one does is the sweep's
        return
    if number == _PASSED_ON and _training and (taken := heeded()):
        signal.raise_signal(taken[0])  # as the training loop takes it, or this function
        return
    _received = number
    if _training:
        raise KeyboardInterrupt
