"""What to say where a table does not fit into memory."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nettrain.errors import DataError


@contextmanager
def enough_memory(source: str) -> Iterator[None]:
    """Raise `DataError` where there is not enough for what is done with a table; afterwards Arrow keeps no spare."""
    try:
        yield
    except MemoryError:
        raise DataError(
            f"{source}: the table does not fit into memory; make one with fewer rows, columns or categories."
        ) from None
    finally:
        release()


def release() -> None:
    """Give back to the system what Arrow and the C library keep of columns that are gone."""
    if (arrow := sys.modules.get("pyarrow")) is None:
        return
    arrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc
        trim(0)
