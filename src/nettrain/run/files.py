"""How a run's files are written: whole or not at all, and checked when they are read."""

import contextlib
import fcntl
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nettrain.errors import CheckpointError, InUseError, StorageError

FORMAT = 1  # of checkpoints; raised when their content changes


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash at any moment it is the old one or the new one, never a torn one.

    Raises `StorageError` when the disk is full or the folder cannot be written; the old file then stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(path, error) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if it is not there.

    Raises `InUseError` if another process has locked it. The lock ends with the process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InUseError(
            f"{folder}: another run is using this folder; wait for its end or choose another one."
        ) from error
    finally:
        os.close(descriptor)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file; raises `StorageError` as `replace_file` does."""
    try:
        with open(path, "ab") as file:
            file.write(content)
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """The sentence for a file that could not be written."""
    return StorageError(f"{path}: it cannot be written: {error.strerror or error}.")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON, whole or not at all."""
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain containers, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    replace_file(path, buffer.getvalue())


def keep_previous(path: Path) -> None:
    """Rename a checkpoint to `previous.pt` before a new one takes its name."""
    if path.exists():
        os.replace(path, path.with_name("previous.pt"))


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
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path}: the checkpoint is damaged (checksum of {damaged}).")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint.") from error
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: the checkpoint is damaged or no checkpoint ({type(error).__name__})."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT}, which this version reads.")
    return content
