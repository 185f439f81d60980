"""How messages about tables are worded: one sentence with the place, what was found and what would do."""

import difflib
import re
import shlex
from collections.abc import Iterable

MOST = 60  # characters of a cell or a name that a message shows


def place(source: str, row: int | str | None = None, column: str | None = None) -> str:
    """Where a mistake is, such as `houses.csv, row 7, column 'price'`."""
    parts = [source]
    if row is not None:
        parts.append(f"row {row}")
    if column is not None:
        parts.append(f"column {quoted(column)}")
    return ", ".join(parts)


def brief(text: str) -> str:
    """A text of somebody else's on one line: cut where it is long, without signs that move the cursor."""
    cut = text if len(text) <= MOST else text[: MOST - 1] + "…"
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in cut)


def quoted(text: str) -> str:
    """A cell or a name as a message shows it, in quotes."""
    return f"'{brief(text)}'"


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the name of `names` that is most like `name`; empty where none is."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean {quoted(folded[close[0]])}?)" if close else ""


def override(option: str, name: str) -> str:
    """The command line's word that puts the column `name` into the list `data.<option>`."""
    if re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII) and name.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    ):
        return f"data.{option}=[{name}]"
    # Hydra reads a backslash as one unless a quote follows.
    escaped = re.sub(r'(\\*)("|\Z)', lambda end: 2 * end[1] + end[2].replace('"', r"\""), name)
    return shlex.quote(f'data.{option}=["{escaped}"]')


def as_kind(name: str, kind: str) -> str:
    """The command line's word that says what the column `name` is."""
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        return f"data.columns.{name}={kind}"
    return override("columns", name).replace("=[", "={").replace("]", f": {kind}}}")


def share(count: int, total: int, noun: str = "value") -> str:
    """`12 of 240 values (5 %)`."""
    of_all = f"{count} of {total} {noun}s"
    return of_all if count == total else f"{of_all} ({100 * count / total:.2g} %)"
