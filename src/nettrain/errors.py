"""What can go wrong by somebody's mistake: one sentence for the reader, one exit code for the shell."""

import re
import traceback
from pathlib import Path


class Mistake(Exception):
    """A mistake that a person can mend; its text is the whole message, its `exit_code` the program's."""

    exit_code = 1


class ConfigError(Mistake):
    """The command line or a config file asks for something that cannot be done."""

    exit_code = 2


class UserCodeError(ConfigError):
    """A user's own code, such as a part, has failed; `traceback` shows where, without nettrain's frames."""

    def __init__(self, message: str, error: BaseException) -> None:
        super().__init__(f"{message}: {type(error).__name__}: {first_line(error)}.")
        self.traceback = _of_user(error)


class DataError(Mistake):
    """A table cannot be used as it is; the text names file, row and column."""

    exit_code = 3


class CheckpointError(Mistake):
    """A checkpoint is damaged, or belongs to another model or format."""

    exit_code = 5


class StorageError(Mistake):
    """The disk is full, or a folder cannot be written; `everywhere` if other files could not be written either."""

    exit_code = 6

    def __init__(self, message: str, everywhere: bool = False) -> None:
        super().__init__(message)
        self.everywhere = everywhere


class InUseError(Mistake):
    """Another process trains in the folder."""

    exit_code = 7


class Abandoned(Exception):
    """Work was left in the middle because a signal asked for the end; all is as it was before it began."""


def _of_user(error: BaseException) -> str:
    """The traceback of an error from the first line of code on that is neither nettrain's nor the import system's."""
    frames = traceback.extract_tb(error.__traceback__)
    skipped = (str(Path(__file__).parent), "<frozen importlib")
    first = next((i for i, frame in enumerate(frames) if not frame.filename.startswith(skipped)), len(frames))
    lines = traceback.format_list(frames[first:]) + traceback.format_exception_only(error)
    return "Traceback (most recent call last):\n" + "".join(lines)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def unexpected(error: Exception) -> str:
    """One line for an error that is nobody's mistake: its type and the first line of its text."""
    text = str(error).strip()
    line = f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
    if isinstance(error, MemoryError) or re.search("out of memory|allocate memory", text):
        line += "; a lower bs or model.hidden needs less memory."
    if "does not have a deterministic implementation" in text:
        line = line.partition(",")[0] + "; deterministic=false allows it."
    return line
