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
