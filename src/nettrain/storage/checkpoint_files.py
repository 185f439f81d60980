"""Checkpoints as files: tensors and plain containers, checked whenever they are read."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from nettrain.errors import CheckpointError
from nettrain.storage.atomic import replace_file

FORMAT = 3  # of checkpoints; raised when their content changes


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
                raise CheckpointError(f"{path}: not a checkpoint of nettrain, which are not compressed.")
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
            f"{path}: the checkpoint is damaged, or not a checkpoint ({type(error).__name__})."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT}, which this version reads.")
    return content
