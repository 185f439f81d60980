"""Bringing files and names to the disk; a file system that cannot do that, or has no locks, is named once."""

import errno
import multiprocessing
import os
from pathlib import Path

from nettrain.terminal import warn

NO_SUCH_CALL = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # what a file system says that lacks it
AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link is followed, no pipe waited for
_said: set[tuple[str, int]] = set()


def sync_file(path: Path) -> None:
    """Bring the content of a file to the disk."""
    descriptor = os.open(path, os.O_RDWR | AS_IT_IS)
    try:
        sync(descriptor, path.parent)
    finally:
        os.close(descriptor)


def sync_names(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system does that: Windows and some servers do not."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        sync(descriptor, folder)
    finally:
        os.close(descriptor)


def sync(descriptor: int, folder: Path) -> None:
    """Bring an open file in the folder, or the open folder itself, to the disk."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SUCH_CALL:
            raise
        what = (
            f"files cannot be synced to the disk there ({error.strerror}): the newest may be lost when the power fails"
        )
        say_once(folder, "sync", what)


def say_once(folder: Path, what: str, sentence: str) -> None:
    """Say what is not protected on a file system, once; the process that has started this one has said it."""
    key = (what, os.stat(folder).st_dev)
    if key not in _said and multiprocessing.parent_process() is None:
        _said.add(key)
        warn(f"{folder}: {sentence}.")
