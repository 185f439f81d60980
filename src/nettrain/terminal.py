"""What is printed: lines for the person at the terminal, in colour where there is one."""

import os
import sys

_CODES = {"bold": 1, "red": 31, "green": 32}


def say(line: str) -> None:
    """Print a line, above the progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line)
    sys.stdout.flush()


def warn(sentence: str) -> None:
    """Print to stderr what a user should know: a mistake, or something that was done differently."""
    print(f"nettrain: {sentence}", file=sys.stderr, flush=True)


def painted(text: str, style: str) -> str:
    """The text in a style (bold, red, green); as it is where the output is no terminal or NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
