"""Small words of sentences."""

import difflib
from collections.abc import Iterable, Sequence


def counted(number: int, noun: str) -> str:
    """`1 row`, `12 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[str], most: int = 10) -> str:
    """`a, b, c`, cut after `most` names."""
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def joined(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def duration(seconds: float) -> str:
    """Such as `40 ms`, `12 s`, `3 min` or `2.5 h`."""
    for size, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= 2 * size or (unit == "s" and seconds >= size):
            number = seconds / size
            return f"{number:.1f} {unit}" if number < 10 and unit == "h" else f"{number:.0f} {unit}"
    return f"{max(1000 * seconds, 1):.0f} ms"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the known word nearest to a mistyped one; else a full stop."""
    known = list(known)
    by_small_letters = {name.lower(): name for name in reversed(known)}
    match = difflib.get_close_matches(word, known, 1, 0.75)
    match = match or [by_small_letters[w] for w in difflib.get_close_matches(word.lower(), by_small_letters, 1, 0.75)]
    return f"; did you mean {match[0]}?" if match else "."
