"""One run in a folder at a time.

The lock is on the folder itself where the system can lock one, on Windows on a file in it; it ends with the process,
however that ends. A file system without locks is met with a word. (`filelock` does the same, but takes as long to
import as a short run takes to train.)
"""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nettrain.errors import InUseError
from nettrain.storage.atomic import storage_error, temporary_name
from nettrain.terminal import warn

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # everything else
    msvcrt = None  # type: ignore[assignment]

LOCK_FILE = ".lock"  # on Windows


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if it is not there.

    Raises `InUseError` if another process has locked it, and `StorageError` if it cannot be made.
    """
    try:
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY) if fcntl else os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        _lock(descriptor, folder)
        for pattern in () if new else (temporary_name("*", "*"), f"*/{temporary_name('*', '*')}"):
            for left in folder.glob(pattern):  # by a run that was killed while it wrote
                left.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)
        if not fcntl:
            with contextlib.suppress(OSError):
                (folder / LOCK_FILE).unlink()


def _lock(descriptor: int, folder: Path) -> None:
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            raise OSError("the system has no file locks")
    except (BlockingIOError, PermissionError) as error:
        raise InUseError(
            f"{folder}: another run is using this folder; wait for it to end or choose another folder."
        ) from error
    except OSError as error:
        _say_unprotected(folder.parent, error.strerror or str(error))


@cache
def _say_unprotected(folder: Path, why: str) -> None:
    """Said once for the folders in one place."""
    warn(f"{folder}: files cannot be locked there ({why}): make sure that no second run uses the folder.")
