"""How many files may be open at a time: every row of a stack holds the lock of its folder."""

import os

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

RESERVE = 40  # for the files that are being written, and what libraries open
MOST = 10_240  # macOS has no higher limit, whatever it says


def can_be_opened(wanted: int) -> int:
    """How many of so many files can be open beside those that are; the soft limit is raised where that is allowed."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    present = _open_now(soft)
    needed = present + wanted + RESERVE
    if soft < needed:
        soft = max(soft, min(needed, MOST, MOST if hard == resource.RLIM_INFINITY else hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, max(0, soft - present - RESERVE))


def _open_now(limit: int) -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return sum(_is_open(descriptor) for descriptor in range(min(limit, MOST)))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
