"""One run in a folder at a time.

The lock is on the folder itself where the system can lock one, on Windows on a file in it; it ends with the process,
however that ends. Nothing in a folder is removed, and no folder, without its lock. A file system without locks is met
with a word. (`filelock` does the same, but takes as long to import as a short run takes to train.)
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nettrain.errors import InUseError, StorageError
from nettrain.storage.atomic import storage_error
from nettrain.storage.disk import say_once
from nettrain.storage.temporary import clear_left

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # everything else
    msvcrt = None  # type: ignore[assignment]

LOCK_FILE = ".lock"  # on Windows
FOLDERS = (".hydra", "checkpoints", "figures")  # into which runs write
FILES = ("multirun.yaml", "study.db", "study.db-journal")  # which are not written by nettrain itself
MOMENT = 0.3  # seconds for which somebody who only removes a folder may hold its lock
PATIENCE = 5.0  # seconds for which one is waited for who has the lock and has not begun
POLL = 0.02  # seconds


@contextlib.contextmanager
def locked(folder: Path, begun: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if it is not there.

    Where another process has locked it, `begun()` says whether a run of that one has begun; until then it may fail of
    a mistake, and is waited for. Raises `InUseError` if the folder is in use, and `StorageError` if it cannot be made,
    or has a link, a pipe or a device in the place of what is written.
    """
    try:
        descriptor = _lock(folder, begun)
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        for name in (*FOLDERS, *FILES):
            _refuse_special(folder / name, stat.S_ISDIR if name in FOLDERS else stat.S_ISREG)
        for place in (folder, *(folder / name for name in FOLDERS)):
            clear_left(place)
        yield
    finally:
        os.close(descriptor)
        if not fcntl:
            with contextlib.suppress(OSError):
                (folder / LOCK_FILE).unlink()


def _refuse_special(path: Path, is_kind: Callable[[int], bool]) -> None:
    """Raise `StorageError` for what would lead writing out of a folder that may have come from somebody else."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not is_kind(mode):
        what = "a link, through which nothing is written" if stat.S_ISLNK(mode) else "not what belongs there"
        raise StorageError(f"{path}: it is {what}; replace it by what it stands for, or move it away.")


def remove_empty(folder: Path) -> bool:
    """Remove a folder if it is empty and nobody is using it; whether that was done."""
    try:
        descriptor = os.open(folder, os.O_RDONLY) if fcntl else None
    except OSError:
        return False
    try:
        if descriptor is not None and not (_try(descriptor, folder) and _is_still(descriptor, folder)):
            return False
        folder.rmdir()
        return True
    except OSError:
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path, begun: Callable[[], bool]) -> int:
    """A descriptor that holds the lock of the folder, which is made; raises `OSError` where that cannot be done."""
    since = time.monotonic()
    while True:
        descriptor = _opened(folder)
        try:
            if _try(descriptor, folder):
                if _is_still(descriptor, folder):
                    return descriptor
            elif time.monotonic() - since > (MOMENT if begun() else PATIENCE):
                raise InUseError(
                    f"{folder}: another run is using this folder; wait for it to end or choose another folder."
                )
            else:
                time.sleep(POLL)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(folder: Path, tries: int = 100) -> int:
    """A descriptor of the folder, or of the file in it; others may remove it, or those above it, while it is made."""
    for left in reversed(range(tries)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(folder, os.O_RDONLY) if fcntl else os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        except (FileNotFoundError, FileExistsError):  # the second where it was there, and gone when it was looked at
            if not left:
                raise
    raise AssertionError


def _try(descriptor: int, folder: Path) -> bool:
    """Lock the folder; whether it was free."""
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            raise OSError(errno.ENOSYS, "the system has no file locks")
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        why = error.strerror or str(error)
        say_once(folder, "lock", f"files cannot be locked there ({why}): make sure that no second run uses the folder")
    return True


def _is_still(descriptor: int, folder: Path) -> bool:
    """Whether the folder is the one that is locked: another one may have been made in its place."""
    if not fcntl:
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except FileNotFoundError:
        return False
