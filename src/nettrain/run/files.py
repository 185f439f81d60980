"""How a run's files are written: whole or not at all, and checked when they are read."""

import contextlib
import fcntl
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch

from nettrain.errors import CheckpointError, InUseError, StorageError

FORMAT = 3  # of checkpoints; raised when their content changes

WRITERS = 4  # threads that wait for the disk at once; more of them wait for one another

T = TypeVar("T")


def replace_file(path: Path, content: bytes, keep: str | None = None, durable: bool = True) -> None:
    """Write a file so that after a crash at any moment it is the old one or the new one, never a torn one.

    The old one stays beside it under the name `keep`, if given. A folder that is missing is made, those above it are
    not: they have been deleted. Raises `StorageError` when the disk is full or the folder cannot be written; the old
    file then stays.
    """
    temporary = path.with_name(_temporary(path.name, os.getpid()))
    try:
        path.parent.mkdir(exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if keep and path.exists():
            os.replace(path, path.with_name(keep))
        os.replace(temporary, path)
        if durable:
            _fsync_folder(path.parent)  # which holds the new name
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(path, error) from error


def in_parallel(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Do the work, which waits for the disk, for all items; the first error that came up is raised afterwards."""
    if len(items) == 1:
        work(items[0])
    elif items:
        with ThreadPoolExecutor(min(WRITERS, len(items))) as pool:
            list(pool.map(work, items))


def replace_by(path: Path, other: Path) -> None:
    """Give another file in the same folder the name `path`, durably. Raises `StorageError` as `replace_file` does."""
    try:
        os.replace(other, path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def _temporary(name: str, process: int | str) -> str:
    return f".{name}.{process}.tmp"


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if it is not there.

    Raises `InUseError` if another process has locked it. The lock ends with the process, however that ends.
    """
    try:
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for pattern in () if new else (_temporary("*", "*"), f"*/{_temporary('*', '*')}"):
            for left in folder.glob(pattern):  # by a run that was killed while it wrote
                left.unlink(missing_ok=True)
        yield
    except BlockingIOError as error:
        raise InUseError(
            f"{folder}: another run is using this folder; wait for its end or choose another one."
        ) from error
    finally:
        os.close(descriptor)


def append(path: Path, content: bytes, sync: bool = False) -> None:
    """Add to the end of a file, all of it or nothing; with `sync` it is on the disk when this returns.

    Raises `StorageError` as `replace_file` does.
    """
    try:
        with open(path, "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                if sync:
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


def save_checkpoint(path: Path, content: dict[str, Any], keep: str | None = None) -> None:
    """Save tensors and plain containers, whole or not at all; `keep` as for `replace_file`."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    replace_file(path, buffer.getvalue(), keep)


def load_newest(path: Path) -> tuple[dict[str, Any], str | None]:
    """The checkpoint at `path`; where it is damaged or missing, the one saved before it, and a sentence that says so.

    Raises `CheckpointError` as `load_checkpoint` does if neither can be read.
    """
    try:
        return load_checkpoint(path), None
    except CheckpointError as error:
        previous = path.with_name("previous.pt")
        if not previous.exists():
            raise
        return load_checkpoint(previous), f"{error} The one saved before it is used."


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, its checksums verified; nothing in it is executed.

    Raises `CheckpointError` when it is missing, damaged, or of a format that this version does not read.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load itself does not notice flipped bits
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError(f"{path}: no checkpoint of nettrain's, which are not compressed.")
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path}: the checkpoint is damaged (checksum of {damaged}).")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint.") from error
    except Exception as error:  # what torch raises for other people's bytes is of a dozen types
        raise CheckpointError(
            f"{path}: the checkpoint is damaged or no checkpoint ({type(error).__name__})."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT}, which this version reads.")
    return content
