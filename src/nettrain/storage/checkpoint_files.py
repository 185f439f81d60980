"""Checkpoints as files: tensors and plain containers, checked whenever they are read."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nettrain.errors import CheckpointError
from nettrain.storage.atomic import replace_file
from nettrain.storage.reading import DEEPEST, require_file, shown

LARGEST = 2**40  # bytes of a checkpoint that is read
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
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    size = require_file(path, LARGEST)
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load itself does not notice flipped bits
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError(f"{path}: not a checkpoint of nettrain, which are not compressed.")
            if sum(entry.file_size for entry in archive.infolist()) > size:
                raise CheckpointError(f"{path}: not a checkpoint of nettrain: its parts overlap.")
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path}: the checkpoint is damaged (checksum of {damaged}).")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # what torch raises for other people's bytes is of a dozen types
        raise CheckpointError(
            f"{path}: the checkpoint is damaged, or not a checkpoint ({type(error).__name__})."
        ) from error
    version = content.get("format") if isinstance(content, dict) else None
    if type(version) is not int or version != FORMAT:  # a tensor would be compared number by number
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT}, which this version reads.")
    if not _is_plain(content, size):
        raise CheckpointError(f"{path}: damaged: it holds what nettrain does not write.")
    return content


def _is_plain(content: Any, size: int) -> bool:
    """Whether it is made of plain values and dense tensors alone, few enough for a file of so many bytes."""
    level, values, depth = [content], 0, 0
    while level:
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                deeper += [*value, *value.values()]
            elif type(value) in (list, tuple):
                deeper += value
            elif not (value is None or type(value) in (bool, int, float, str) or _is_dense(value, size)):
                return False
            if values + len(deeper) > size:
                return False
        level, values, depth = deeper, values + len(deeper), depth + 1
        if depth > DEEPEST:
            return False
    return True


def _is_dense(value: Any, size: int) -> bool:
    """Whether it is a tensor that has each of its numbers in the file, one beside another, in any order of axes."""
    return (
        type(value) is torch.Tensor
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_conj() or value.is_neg() or value.requires_grad)
        and value.permute(sorted(range(value.ndim), key=value.stride, reverse=True)).is_contiguous()
        and value.numel() * value.element_size() <= size
    )


def require_alike(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path, what: str) -> None:
    """Raise `CheckpointError` unless both have the same names, shapes and types."""
    kinds = [{name: (t.shape, t.dtype) for name, t in tensors.items()} for tensors in (given, expected)]
    if kinds[0] != kinds[1]:
        name = next(name for name in [*expected, *given] if kinds[0].get(name) != kinds[1].get(name))
        raise CheckpointError(f"{path}: damaged: {what} does not fit this run (its {shown(name)}).")
