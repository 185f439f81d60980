"""Colours, on a terminal only."""

import os
import sys

_CODES = {"bold": 1, "red": 31, "green": 32}


def painted(text: str, style: str) -> str:
    """The text in a style (bold, red, green); as it is where the output is no terminal or NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
