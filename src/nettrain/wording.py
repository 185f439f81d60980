"""Small words of sentences."""

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
