"""How a run's files are written: whole or not at all, and checked when they are read."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from nettrain.errors import CheckpointError, StorageError

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
