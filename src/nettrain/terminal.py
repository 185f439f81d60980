"""What is printed: lines for the person at the terminal, in colour where there is one.

Output that cannot be written (a closed pipe, a full disk) is dropped: it never changes a run.
"""

import os
import re
import sys
from typing import Any

from nettrain.errors import UserCodeError

_CODES = {"bold": 1, "red": 31, "green": 32, "cyan": 36}


class Output:
    """A text stream, or None for a missing one, whose failures are no errors: what cannot be written is dropped."""

    def __init__(self, stream: Any) -> None:
        self._wrapped = stream  # the name by which tqdm knows a stream in two wrappings again

    def write(self, text: str) -> int:
        """Write the text, if that can be; what the encoding has no sign for is escaped."""
        try:
            self._wrapped.write(text)
        except UnicodeEncodeError:
            self._wrapped.write(text.encode(self._wrapped.encoding, "backslashreplace").decode(self._wrapped.encoding))
        except (AttributeError, OSError, ValueError):  # missing, failing, closed
            self._drop()
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if that can be."""
        try:
            self._wrapped.flush()
        except (AttributeError, OSError, ValueError):
            self._drop()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._wrapped is not None and bool(self._wrapped.isatty())

    def _drop(self) -> None:
        """Let what the stream still holds go nowhere: the interpreter flushes it once more at its end."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._wrapped.fileno())
            os.close(nowhere)
        except (AttributeError, OSError, ValueError):  # it is no file, or closed already
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._wrapped == getattr(other, "_wrapped", other))

    def __hash__(self) -> int:
        return hash(self._wrapped)


def keep_streams() -> None:
    """Make stdout and stderr of this process ones that cannot fail, and open those of the three that are missing.

    Otherwise the next file to be opened would take the number of a missing one, and receive what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), Output):
            setattr(sys, name, Output(getattr(sys, name)))


_name: str | None = None  # of this process, where another one speaks for all


def speak_as(name: str) -> None:
    """From now on this process, which has a name, only tells errors: another one speaks for all of them."""
    global _name
    _name = name


def say(line: str) -> None:
    """Print a line, above the progress bar if there is one."""
    if _name:
        return
    from tqdm import tqdm

    output = Output(sys.stdout)
    tqdm.write(line, file=output)
    output.flush()
    _log("INFO", line)


def warn(sentence: str) -> None:
    """Print to stderr what a user should know: a mistake, or something that was done differently."""
    if not _name:
        _warn(sentence)


def _warn(sentence: str) -> None:
    print(f"nettrain: {sentence}", file=Output(sys.stderr), flush=True)
    _log("WARNING", sentence)


def _log(level: str, text: str) -> None:
    """Hand a line on to the log files that the program has, if any (`hydra.job_logging`); the terminal has had it."""
    import logging

    logger, number = logging.getLogger("nettrain"), logging.getLevelName(level)
    if not logger.isEnabledFor(number):
        return
    record = logger.makeRecord(logger.name, number, "", 0, re.sub(r"\x1b\[\d*m", "", text), (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and number >= handler.level:
            handler.handle(record)


def tell(error: Exception, line: str | None = None) -> None:
    """Print an error's sentence, or a line instead of it, to stderr; before it the traceback of a user's own code.

    Nothing for one that another process has told.
    """
    if getattr(error, "told", False):
        return
    if isinstance(error, UserCodeError):
        print(error.traceback, end="", file=Output(sys.stderr))
    _warn(f"{_name}: {line or error}" if _name else line or str(error))


def painted(text: str, style: str) -> str:
    """The text in a style (bold, red, green, cyan); as it is where the output is no terminal or NO_COLOR is set."""
    if not Output(sys.stdout).isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
