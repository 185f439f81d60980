"""How files are written: whole or not at all, and many of them together."""

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nettrain.errors import StorageError

SYNCS = 16  # threads that wait for the disk at once

T = TypeVar("T")


@dataclass
class _Written:
    """A file that has been written, but is not on the disk for certain, and bears its name only if it was appended to.

    The one that has the name now stays beside it under the name `keep`, if given.
    """

    path: Path
    temporary: Path | None = None
    keep: str | None = None

    def sync(self) -> None:
        _fsync(self.temporary or self.path)

    def publish(self) -> None:
        if self.temporary:
            if self.keep and self.path.exists():
                os.replace(self.path, self.path.with_name(self.keep))
            os.replace(self.temporary, self.path)

    def sync_name(self) -> None:
        if self.temporary:
            _fsync_names(self.path.parent)

    def withdraw(self) -> None:
        if self.temporary:
            with contextlib.suppress(OSError):
                self.temporary.unlink()


# The files of the item in work, where `write_together` is to bring them to the disk.
_together: ContextVar[list[_Written] | None] = ContextVar("_together", default=None)


def replace_file(path: Path, content: bytes, keep: str | None = None, durable: bool = True) -> None:
    """Write a file so that after a crash at any moment it is the old one or the new one, never a torn one.

    The old one stays beside it under the name `keep`, if given. A folder that is missing is made, those above it are
    not: they have been deleted. Raises `StorageError` when the disk is full or the folder cannot be written; the old
    file then stays.
    """
    temporary = path.with_name(temporary_name(path.name, os.getpid()))
    written, group = _Written(path, temporary, keep), _together.get()
    with _written(written):
        if not path.parent.exists():
            path.parent.mkdir()
        with open(temporary, "wb", buffering=0) as file:
            _write(file, content)
        if durable and group is not None:
            group.append(written)
            return
        if durable:
            written.sync()
        written.publish()
        if durable:
            written.sync_name()


@contextlib.contextmanager
def _written(file: _Written) -> Iterator[None]:
    """Raise `StorageError` where something happens to the file, and leave nothing behind then."""
    try:
        yield
    except OSError as error:
        file.withdraw()
        raise storage_error(file.path, error) from error


def write_together(
    work: Callable[[T], None], items: Sequence[T], failed: Callable[[T, Exception], None] | None = None
) -> None:
    """Do the work for all items; the files that it writes reach the disk together, which takes a part of the time.

    They get their names when all of them are on the disk, an item's in the order in which it wrote them. An item whose
    work or files fail is handed to `failed`; without that the first error is raised when all is done.
    """
    errors: dict[int, Exception] = {}  # the first one of each item
    groups: list[list[_Written]] = []
    for i, item in enumerate(items):
        groups.append([])
        token = _together.set(groups[i])
        try:
            work(item)
        except Exception as error:
            errors[i] = error
        finally:
            _together.reset(token)

    def each(step: Callable[[_Written], None], i: int) -> None:
        try:
            for file in groups[i]:
                with _written(file):
                    step(file)
        except StorageError as error:
            errors.setdefault(i, error)
            for file in groups[i]:
                file.withdraw()
            groups[i].clear()

    numbers = range(len(items))
    with ThreadPoolExecutor(min(SYNCS, len(items) or 1)) as pool:
        list(pool.map(partial(each, _Written.sync), numbers))
        for i in numbers:
            each(_Written.publish, i)
        list(pool.map(partial(each, _Written.sync_name), numbers))
    for i, first in errors.items():
        if failed is None:
            raise first
        failed(items[i], first)


def replace_by(path: Path, other: Path) -> None:
    """Give another file in the same folder the name `path`, durably. Raises `StorageError` as `replace_file` does."""
    try:
        os.replace(other, path)
        _fsync_names(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def temporary_name(name: str, process: int | str) -> str:
    """What a file is called while a process writes it."""
    return f".{name}.{process}.tmp"


def _fsync(path: Path) -> None:
    """Bring the content of a file to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_names(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system does that: Windows and some servers do not."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def _write(file: io.FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:  # a disk that is nearly full takes a part, and says so at the next one
        rest = rest[file.write(rest) :]


def append(path: Path, content: bytes, sync: bool = False) -> None:
    """Add to the end of a file, all of it or nothing; with `sync` it is on the disk when this returns.

    Raises `StorageError` as `replace_file` does.
    """
    try:
        with open(path, "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                _write(file, content)
                if sync and (group := _together.get()) is not None:
                    group.append(_Written(path))
                elif sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(size)  # a full disk takes a part
                raise
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """The sentence for a file that could not be written."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError) and not path.parent.exists():
        reason = f"the folder {path.parent} is not there (any more)"
    return StorageError(f"{path}: it cannot be written: {reason}.")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON, whole or not at all."""
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())
