"""One run in a folder at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from nettrain.errors import InUseError
from nettrain.storage.atomic import storage_error, temporary_name


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
        for pattern in () if new else (temporary_name("*", "*"), f"*/{temporary_name('*', '*')}"):
            for left in folder.glob(pattern):  # by a run that was killed while it wrote
                left.unlink(missing_ok=True)
        yield
    except BlockingIOError as error:
        raise InUseError(
            f"{folder}: another run is using this folder; wait for its end or choose another one."
        ) from error
    finally:
        os.close(descriptor)
