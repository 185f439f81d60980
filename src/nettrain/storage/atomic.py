"""How files are written: whole or not at all, and many of them together.

A link in the place of a file is replaced or refused, not followed: a folder may have come from somebody else.
"""

import contextlib
import errno
import io
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from nettrain.errors import StorageError
from nettrain.storage import disk
from nettrain.storage.temporary import beside, new_beside

SYNCS = 16  # threads that wait for the disk at once
# What keeps other files from being written, too.
EVERYWHERE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)
NO_LINKS = (*disk.NO_SUCH_CALL, errno.EPERM, errno.EACCES, errno.EMLINK)  # where a file cannot have two names

T = TypeVar("T")
Content: TypeAlias = bytes | Iterable[bytes]  # of a file, as a whole or in parts


@dataclass
class _Written:
    """A file that has been written, but is not on the disk for certain, and bears its name only if it was appended to.

    The one that has the name now stays beside it under the name `keep`, if given.
    """

    path: Path
    temporary: Path | None = None
    keep: str | None = None

    def sync(self) -> None:
        disk.sync_file(self.temporary or self.path)

    def publish(self) -> None:
        if self.temporary:
            if self.keep and self.path.exists():
                _keep(self.path, self.path.with_name(self.keep))
            os.replace(self.temporary, self.path)

    def sync_name(self) -> None:
        if self.temporary:
            disk.sync_names(self.path.parent)

    def withdraw(self) -> None:
        if self.temporary:
            with contextlib.suppress(OSError):
                self.temporary.unlink()


# The files of the item in work, where `write_together` is to bring them to the disk.
_together: ContextVar[list[_Written] | None] = ContextVar("_together", default=None)


def replace_file(path: Path, content: Content, keep: str | None = None, durable: bool = True) -> None:
    """Write a file so that after a crash at any moment it is the old one or the new one, never a torn one.

    An error of whoever makes its parts leaves the old one, too. The old one stays beside it under the name `keep`, if
    given; the new one has its permissions. A folder that is missing is made, those above it are not: they have been
    deleted. Raises `StorageError` when the disk is full or the folder cannot be written; the old file then stays.
    """
    written, group = _Written(path, keep=keep), _together.get()
    with _written(written):
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
        with new_beside(path) as (temporary, file):
            written.temporary = temporary
            _like_before(file, path)
            for part in parts(content):
                _write(file, part)
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
    except BaseException:  # a second signal
        file.withdraw()
        raise


def write_together(
    work: Callable[[T], None], items: Sequence[T], failed: Callable[[T, Exception], None] | None = None
) -> None:
    """Do the work for all items; the files that it writes reach the disk together, which takes a part of the time.

    They get their names when all of them are on the disk, an item's in the order in which it wrote them. An item whose
    work or files fail is handed to `failed`; without that the first error is raised when all is done.
    """
    errors: dict[int, Exception] = {}  # the first one of each item
    groups: list[list[_Written]] = []
    try:
        for i, item in enumerate(items):
            groups.append([])
            token = _together.set(groups[i])
            try:
                work(item)
            except Exception as error:
                errors[i] = error
            finally:
                _together.reset(token)
        _bring_to_disk(groups, errors)
    except BaseException:  # a second signal
        for file in itertools.chain(*groups):
            file.withdraw()
        raise
    for i, first in errors.items():
        if failed is None:
            raise first
        failed(items[i], first)


def _bring_to_disk(groups: list[list[_Written]], errors: dict[int, Exception]) -> None:
    """Sync and publish the files of all groups; the first error of a group goes into `errors`, and ends it."""

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

    numbers = range(len(groups))
    with ThreadPoolExecutor(min(SYNCS, len(groups) or 1)) as pool:
        list(pool.map(partial(each, _Written.sync), numbers))
        for i in numbers:
            each(_Written.publish, i)
        list(pool.map(partial(each, _Written.sync_name), numbers))


def replace_by(path: Path, other: Path) -> None:
    """Give another file in the same folder the name `path`, durably. Raises `StorageError` as `replace_file` does."""
    try:
        os.replace(other, path)
        disk.sync_names(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def remove_file(path: Path) -> None:
    """Remove a file if it is there. Raises `StorageError` as `replace_file` does."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


def parts(content: Content) -> Iterable[bytes]:
    """The content of a file in parts."""
    return [content] if isinstance(content, bytes) else content


def _like_before(file: io.FileIO, path: Path) -> None:
    """Give a new file the permissions and the owner of the one that it will replace."""
    try:
        before = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(before.st_mode) or not hasattr(os, "fchmod"):
        return
    present, permissions = os.fstat(file.fileno()), before.st_mode & 0o777
    if (present.st_uid, present.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(PermissionError):  # only root can give files away
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
    if present.st_mode & 0o777 != permissions:
        os.fchmod(file.fileno(), permissions)


def _keep(path: Path, name: Path) -> None:
    """Give the file a second name beside its own, under which it is there for readers at any moment.

    Where the system has no such names, it gets the new one alone.
    """
    if name.exists() and os.path.samefile(path, name):  # of a process that was killed just then
        return
    second = beside(name, "link")
    try:
        os.link(path, second)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        second = path
    try:
        os.replace(second, name)
    except OSError:
        if second != path:
            second.unlink(missing_ok=True)
        raise


def _write(file: io.FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:  # a disk that is nearly full takes a part, and says so at the next one
        rest = rest[file.write(rest) :]


def append(path: Path, content: bytes, sync: bool = False) -> None:
    """Add to the end of a file, all of it or nothing; with `sync` it is on the disk when this returns.

    Raises `StorageError` as `replace_file` does.
    """
    try:
        with open(path, "ab", buffering=0, opener=_open_as_it_is) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                _write(file, content)
                if sync and (group := _together.get()) is not None:
                    group.append(_Written(path))
                elif sync:
                    disk.sync(file.fileno(), path.parent)
            except OSError:
                file.truncate(size)  # a full disk takes a part
                raise
    except OSError as error:
        raise storage_error(path, error) from error


def _open_as_it_is(path: str, flags: int) -> int:
    """Open a file that is not a link, a pipe or a device; they would lead out of the folder, or have no end."""
    descriptor = os.open(path, flags | disk.AS_IT_IS, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a file")


def storage_error(path: Path, error: OSError) -> StorageError:
    """The sentence for a file that could not be written."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError) and not path.parent.exists():
        reason = f"the folder {path.parent} is not there (any more)"
    if isinstance(error, FileExistsError):  # of making a folder
        reason = "it is there already, and not a folder"
    if error.errno == errno.ELOOP:
        reason = "it is a link"
    return StorageError(f"{path}: it cannot be written: {reason}.", everywhere=error.errno in EVERYWHERE)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON, whole or not at all."""
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())
