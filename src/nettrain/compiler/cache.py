"""Where built programs are kept: in a folder that nobody else can write into, under names that tell their content.

A program runs with all that its user may do. So one is loaded only if it is whole, its user's, and out of reach of
others.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUILDING = "building-"  # how the folders in which programs are built begin, before the number of the process


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/nettrain`, or ~/.cache/nettrain; made if it is not there.

    Raises `OSError` if it cannot be made, and `PermissionError` if others could put programs there.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "nettrain"
    except RuntimeError as error:
        raise FileNotFoundError("this user has no home") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    real = folder.resolve()
    why = _reach_of_others(real.stat()) or next(filter(None, map(_renaming_of_others, real.parents)), None)
    if why:
        raise PermissionError(f"{folder}: {why}")
    return folder


def kept_program(folder: Path, key: str) -> tuple[Path | None, str | None]:
    """The program that was built for the key, None if there is none; and a sentence on one that is not to be loaded.

    One that is damaged is removed.
    """
    refused = None
    for path in folder.glob(f"{key}-*.so"):
        found = path.lstat()
        why = "it is not a file" if not stat.S_ISREG(found.st_mode) else _reach_of_others(found)
        if why:
            refused = f"{path}: {why}, so that it is not loaded but built anew"
        elif _name(key, path.read_bytes()) == path.name:
            return path, None
        else:
            path.unlink()
    return None, refused


def keep_program(built: Path, folder: Path, key: str) -> Path:
    """Give a program that was built within the folder its name."""
    built.chmod(0o700)
    return built.replace(folder / _name(key, built.read_bytes()))


@contextmanager
def building_place(folder: Path | None) -> Iterator[Path]:
    """A folder of one's own to build in, within `folder`, or among the temporary files; it is removed afterwards.

    What processes that were killed have left of theirs is removed, too.
    """
    if folder:
        for left in folder.glob(f"{BUILDING}*"):
            if not _is_running(left.name):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{BUILDING}{os.getpid()}-") as place:
        yield Path(place)


def _name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()[:32]}.so"


def _reach_of_others(found: os.stat_result) -> str | None:
    """Why somebody else may have changed a file or a folder."""
    if not hasattr(os, "geteuid"):  # Windows has no such owners, and keeps its users' folders apart
        return None
    if found.st_uid != os.geteuid():
        return "it belongs to another user"
    return "others can write it" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def _renaming_of_others(folder: Path) -> str | None:
    """Why somebody else may rename what is in a folder."""
    if not hasattr(os, "geteuid"):
        return None
    found = folder.stat()
    if found.st_uid not in (0, os.geteuid()):
        return f"{folder} belongs to another user"
    is_open = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    return f"others can write into {folder}" if is_open else None


def _is_running(name: str) -> bool:
    import psutil

    with suppress(ValueError):
        return bool(psutil.pid_exists(int(name.removeprefix(BUILDING).partition("-")[0])))
    return True
