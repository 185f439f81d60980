"""C++ built into a library by the machine's compiler, and kept for the next time."""

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

_PLAIN = ["-std=c++17", "-O3", "-fPIC", "-shared"]
_TUNED = [*_PLAIN, "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"]
_WIDE = ["-mprefer-vector-width=512", "-DVECTOR_MATH", "-Wl,--no-undefined", "-lmvec", "-lm"]  # x86 with glibc
_OPTIONS = ([*_TUNED, *_WIDE], _TUNED, _PLAIN)  # the first that the compiler takes


class BuildError(Exception):
    """A program could not be built; the message is the compiler's own last line."""


def compiler() -> str | None:
    """The C++ compiler: the one that CXX names, else g++ or clang++; None if there is none."""
    names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    return next((program for name in names if (program := shutil.which(name))), None)


def library(text: str, abandon: Callable[[], bool]) -> ctypes.CDLL | None:
    """The C++ program as a library, from `$XDG_CACHE_HOME/nettrain` or ~/.cache/nettrain if it has been built before.

    None if `abandon()` became true meanwhile. Raises `BuildError` if it cannot be built, `OSError` if it cannot be
    written or loaded.
    """
    path = _cache() / f"{hashlib.sha256(repr([text, _OPTIONS, _processor()]).encode()).hexdigest()[:32]}.so"
    if not path.exists() and not _build(text, path, abandon):
        return None
    return ctypes.CDLL(str(path))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nettrain"


def _build(text: str, path: Path, abandon: Callable[[], bool]) -> bool:
    """Build the program at `path`, whole or not at all; False if it was abandoned."""
    program = compiler()
    if program is None:
        raise BuildError("there is no C++ compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    said = ""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, built = Path(folder) / "program.cpp", Path(folder) / "program.so"
        source.write_text(text)
        for options in _OPTIONS:
            libraries = [option for option in options if option.startswith(("-l", "-Wl"))]
            others = [option for option in options if option not in libraries]
            finished = _run([program, *others, "-o", str(built), str(source), *libraries], abandon)
            if finished is None:
                return False
            code, said = finished
            if code == 0:
                built.replace(path)
                return True
    lines = said.strip().splitlines()
    raise BuildError(lines[-1] if lines else f"{program} failed")


def _run(command: list[str], abandon: Callable[[], bool]) -> tuple[int, str] | None:
    """The exit code of a command and what it said; None if it was abandoned."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the run to handle
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
