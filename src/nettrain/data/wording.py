"""How messages about tables are worded: one sentence with the place, what was found and what would do."""

import difflib
import re
from collections.abc import Iterable


def place(source: str, row: int | None = None, column: str | None = None) -> str:
    """Where a mistake is, such as `houses.csv, row 7, column 'price'`."""
    parts = [source]
    if row is not None:
        parts.append(f"row {row}")
    if column is not None:
        parts.append(f"column '{column}'")
    return ", ".join(parts)


def listed(names: Iterable[str], most: int = 10) -> str:
    """`a, b, c`, cut after `most` names."""
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the name of `names` that is most like `name`; empty where none is."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""


def override(option: str, name: str) -> str:
    """The command line's word that puts the column `name` into the list `data.<option>`."""
    if re.fullmatch(r"[\w.-]+", name):
        return f"data.{option}=[{name}]"
    return f"""'data.{option}=["{name}"]'"""
