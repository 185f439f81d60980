"""The names that files have while they are being written, and what processes that were killed have left of them."""

import contextlib
import glob
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

MARK = "nettrain-"  # in the names of files that are being written, before the number of the process that writes them
NAME_LENGTH = 100  # of a file's name in that name, which may have 255 bytes


@contextlib.contextmanager
def new_beside(path: Path) -> Iterator[tuple[Path, io.FileIO]]:
    """A file that was not there before, beside `path`, to be written."""
    while True:
        temporary = beside(path, "tmp")
        with contextlib.suppress(FileExistsError):
            file = open(temporary, "xb", buffering=0)  # noqa: SIM115
            break
    with file:
        yield temporary, file


def beside(path: Path, ending: str) -> Path:
    """A name that no file beside `path` has, with the mark of nettrain."""
    return path.with_name(f".{path.name[:NAME_LENGTH]}.{MARK}{os.getpid()}-{secrets.token_hex(4)}.{ending}")


def clear_left(folder: Path, name: str = "*") -> None:
    """Remove what processes that were killed have left of files that they wrote into the folder, or of this one.

    Such files bear nettrain's mark, and the number of a process that is no more; others are left alone.
    """
    pattern = name if name == "*" else glob.escape(name[:NAME_LENGTH])
    for left in folder.glob(f".{pattern}.{MARK}*"):
        with contextlib.suppress(OSError):
            before = os.lstat(left)
            if stat.S_ISREG(before.st_mode) and not _is_written(left.name, before.st_mtime):
                os.unlink(left)


def _is_written(temporary: str, since: float) -> bool:
    """Whether the process that has begun to write this file may still do so."""
    import psutil

    number = temporary.rpartition(MARK)[2].partition("-")[0]
    if not number.isdigit():  # it is not nettrain's
        return True
    try:
        return psutil.Process(int(number)).create_time() <= since
    except (OverflowError, psutil.Error):
        return False
