"""What a user names to be written: whatever it is, it stays what it is."""

import os
import stat
import sys
from pathlib import Path

from nettrain.errors import StorageError
from nettrain.storage.atomic import Content, parts, replace_file, storage_error
from nettrain.storage.temporary import clear_left


def write_output(path: Path, content: Content) -> bool:
    """Write a file, whole or not at all; whether it is one.

    A link stays, and its file is replaced; into a pipe or a device, and into what this process prints to, the content
    is written. Raises `StorageError` as `replace_file` does.
    """
    try:
        found = os.stat(path)
    except OSError:  # it is not there, a link to what is not there, or out of reach
        return _replace(path, content)
    try:
        printed = next((number for number in (1, 2) if _is(number, found)), None)
        if printed is not None:
            sys.stdout.flush()
            _write_into(os.dup(printed), content)
        elif stat.S_ISREG(found.st_mode):
            return _replace(path, content)
        else:
            _write_into(os.open(path, os.O_WRONLY), content)
    except OSError as error:
        raise storage_error(path, error) from error
    return False


def _replace(path: Path, content: Content) -> bool:
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise StorageError(f"{path}: it cannot be written: it is a link that leads to itself.")
    clear_left(real.parent, real.name)
    replace_file(real, content)
    return True


def _is(number: int, found: os.stat_result) -> bool:
    """Whether an open file of this process, by its number, is the one that was found."""
    try:
        return os.path.samestat(os.fstat(number), found)
    except OSError:
        return False


def _write_into(descriptor: int, content: Content) -> None:
    with open(descriptor, "wb") as file:
        file.writelines(parts(content))
