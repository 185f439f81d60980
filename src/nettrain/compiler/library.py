"""C++ built into a library by the machine's compiler, and kept for the next time."""

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from nettrain.compiler.cache import building_place, cache_folder, keep_program, kept_program

_PLAIN = ["-std=c++17", "-O3", "-fPIC", "-shared"]
_TUNED = [*_PLAIN, "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"]
_WIDE = ["-mprefer-vector-width=512", "-DVECTOR_MATH", "-Wl,--no-undefined", "-lmvec", "-lm"]  # x86 with glibc
_OPTIONS = ([*_TUNED, *_WIDE], _TUNED, _PLAIN)  # the first that the compiler takes
_said: set[str] = set()


class BuildError(Exception):
    """A program could not be built; the message is a line of the compiler's own."""


def compiler() -> str | None:
    """The C++ compiler: the one that CXX names, else g++ or clang++; None if there is none."""
    names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    return next((program for name in names if (program := shutil.which(name))), None)


def library(text: str, abandon: Callable[[], bool], warn: Callable[[str], None]) -> ctypes.CDLL | None:
    """The C++ program as a library, from the cache if it has been built before.

    A program that cannot be kept is built for this process alone; `warn` is told so, once. None if `abandon()` became
    true meanwhile. Raises `BuildError` if it cannot be built, `OSError` if it cannot be written or loaded.
    """
    key = hashlib.sha256(repr([text, _OPTIONS, _processor()]).encode()).hexdigest()[:32]
    try:
        folder = cache_folder()
        path, refused = kept_program(folder, key)
        if refused:
            _once(warn, refused)
        if path is None:
            with building_place(folder) as place:
                built = _build(text, place, abandon)
                path = keep_program(built, folder, key) if built else None
        return ctypes.CDLL(str(path)) if path else None
    except (BuildError, OSError) as error:
        if compiler() is None:
            raise
        first = error
    with building_place(None) as place:
        built = _build(text, place, abandon)
        if built is None:
            return None
        loaded = ctypes.CDLL(str(built))
    why = (isinstance(first, OSError) and first.strerror) or str(first)
    if isinstance(first, OSError) and first.filename:
        why = f"{first.filename}: {why}"
    _once(warn, f"compiled programs cannot be kept ({why}), and are built for this run alone")
    return loaded


def _once(warn: Callable[[str], None], sentence: str) -> None:
    if sentence not in _said:
        _said.add(sentence)
        warn(f"{sentence}.")


def _build(text: str, place: Path, abandon: Callable[[], bool]) -> Path | None:
    """The program, built in a folder; None if it was abandoned."""
    program = compiler()
    if program is None:
        raise BuildError("there is no C++ compiler")
    source, built, said = place / "program.cpp", place / "program.so", ""
    source.write_text(text)
    for options in _OPTIONS:
        libraries = [option for option in options if option.startswith(("-l", "-Wl"))]
        others = [option for option in options if option not in libraries]
        finished = _run([program, *others, "-o", str(built), str(source), *libraries], place, abandon)
        if finished is None:
            return None
        code, said = finished
        if code == 0:
            return built
    lines = said.strip().splitlines() or [f"{program} failed"]
    raise BuildError(next((line for line in lines if "error" in line), lines[-1]).replace(f"{place}{os.sep}", ""))


def _run(command: list[str], place: Path, abandon: Callable[[], bool]) -> tuple[int, str] | None:
    """The exit code of a command, whose own files go into `place`, and what it said; None if it was abandoned."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the run to handle
        env={**os.environ, "TMPDIR": str(place)},
    ) as process:
        while True:
            try:
                _, said = process.communicate(timeout=0.02)
                return process.returncode, said.decode(errors="replace")
            except subprocess.TimeoutExpired:
                if abandon():
                    _kill(process)
                    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a compiler and the programs that it has started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _processor() -> str:
    """What the processor can do: a program is built for it alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
