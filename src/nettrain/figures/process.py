"""Figures that another process draws: it imports matplotlib while this one imports torch, trains, or computes.

It is started once, ends with this process, and is two processes where there is a second core. What it does not draw is
drawn here: the picture is the same, and what is wrong with a figure is raised where somebody waits for it.
"""

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import IO, Any

from nettrain import figures

PATIENCE = 0.1  # seconds in which it may end by itself

Pipes = tuple[IO[bytes], IO[bytes]]  # to write requests to, and to read the answers from
Requests = SimpleQueue[tuple[bytes, Future[dict[str, bytes] | None]]]
_requests: Requests | None = None  # those that wait for the process, if there is one
_begun = False


def start() -> None:
    """Start the process that draws, unless that has been done."""
    global _requests, _begun
    if _begun:
        return
    _begun = True
    try:
        process, pipes = _start()
    except OSError:
        return
    _requests = SimpleQueue()
    for pair in pipes:
        threading.Thread(target=_talk, args=(_requests, *pair), daemon=True).start()
    atexit.register(_end, process, pipes)


def begin(function: str, arguments: Sequence[Any]) -> Callable[[], bytes]:
    """Have a figure drawn by a `function` of `figures`, given by its name; what is returned waits for its PNG file."""
    files = begin_files(function, arguments, ("png",))
    return lambda: files()["png"]


def begin_files(function: str, arguments: Sequence[Any], formats: Sequence[str]) -> Callable[[], dict[str, bytes]]:
    """As `begin`, in some of the formats of `figures.content`."""
    start()
    drawn: Future[dict[str, bytes] | None] = Future()
    if _requests is None:
        drawn.set_result(None)
    else:
        _requests.put((pickle.dumps((function, arguments, formats)), drawn))

    def files() -> dict[str, bytes]:
        if (ready := drawn.result()) is not None:
            return ready
        figure = getattr(figures, function)(*arguments)
        return {format: figures.content(function, figure, format) for format in formats}

    return files


def _talk(requests: Requests, writing: IO[bytes], reading: IO[bytes]) -> None:
    """Hand over one request after the other; the answer is None where there is no process any more."""
    while True:
        request, drawn = requests.get()
        try:
            writing.write(request)
            writing.flush()
            drawn.set_result(pickle.load(reading))
        except Exception:
            drawn.set_result(None)


def _start() -> tuple[subprocess.Popen[bytes], list[Pipes]]:
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # A fork that has imported numpy can be relied on under Linux only.
    two = sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1
    second = [*os.pipe(), *os.pipe()] if two else []
    theirs, ours = second[::3], second[1:3]  # the outer ends, and the inner ones
    with _no_ctrl_c():
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nettrain.figures.worker", *map(str, theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=theirs,
            env={**os.environ, **one_thread, "PYTHONPATH": path},
            # matplotlib would read settings in the working directory, which may have come from somebody else.
            cwd=os.path.dirname(__file__),
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    for end in theirs:
        os.close(end)
    assert process.stdin
    assert process.stdout
    pipes: list[Pipes] = [(process.stdin, process.stdout)]
    if ours:
        pipes.append((os.fdopen(ours[0], "wb"), os.fdopen(ours[1], "rb")))
    return process, pipes


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """What is started within it never receives Ctrl-C, which a terminal sends to all processes: it is for the run."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows has groups of processes for that
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: subprocess.Popen[bytes], pipes: Sequence[Pipes]) -> None:
    """Let the process see that there are no more requests, and leave none behind."""
    for writing, _ in pipes:
        with suppress(OSError):
            writing.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:  # it may be importing still
        process.kill()
        process.wait()


def _forget() -> None:
    """A fork of this process has none that draws: its pipes are those of another one."""
    global _requests, _begun
    _requests, _begun = None, False
    atexit.unregister(_end)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
