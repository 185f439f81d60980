"""Answers that are numbers or one of several letters."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nettrain.errors import ConfigError
from nettrain.wording import counted, joined


class Verdict(NamedTuple):
    """Whether an answer is right, and a sentence about it that does not say what would be."""

    right: bool
    sentence: str


@dataclass(frozen=True)
class Exercise:
    """What is to be answered: the words that stand for the answers, and what checks them."""

    takes: tuple[str, ...]
    check: Callable[[Sequence[str]], Verdict]

    def verdict(self, name: str, answers: Sequence[str]) -> Verdict:
        """Check the answers; `ConfigError` where their number is wrong, or where one is not what it has to be."""
        if len(answers) != len(self.takes):
            usage = f"nettrain-check {name} {' '.join(self.takes)}"
            raise ConfigError(f"{name}: {counted(len(answers), 'answer')}, but it takes {len(self.takes)}: {usage}.")
        try:
            return self.check(answers)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error


Trap = tuple[Callable[[], float], str]  # what a usual mistake gives, and what to say then


def numbers(
    names: str,
    right: Callable[[], Sequence[float]],
    tolerance: float,
    hint: str,
    why: str = "",
    traps: Sequence[Trap] = (),
) -> Exercise:
    """Numbers, named by the words of `names`, each to be met within a relative `tolerance`; 0 asks for whole ones.

    `right` computes them. `hint` is for a wrong one, `why` follows a right answer. A single number has `traps`.
    """
    words = names.split()

    def check(answers: Sequence[str]) -> Verdict:
        given = [_number(answer, tolerance == 0) for answer in answers]
        met = [_near(value, of, tolerance) for value, of in zip(given, right(), strict=True)]
        if all(met):
            return Verdict(True, why)
        for trap, sentence in traps:
            if _near(given[0], trap(), tolerance):
                return Verdict(False, sentence)
        if len(words) == 1:
            return Verdict(False, hint)
        wrong = [word for word, is_met in zip(words, met, strict=True) if not is_met]
        others = [word for word, is_met in zip(words, met, strict=True) if is_met]
        verb, others_verb = ("is" if len(some) == 1 else "are" for some in (wrong, others))
        so_far = f"; {joined(others)} {others_verb}" if others else ""
        return Verdict(False, f"{joined(wrong)} {verb} not right{so_far}. {hint}")

    return Exercise(tuple(word.upper() for word in words), check)


def choice(right: str, **sentences: str) -> Exercise:
    """One of some letters, each with what is said about it."""

    def check(answers: Sequence[str]) -> Verdict:
        letter = answers[0].strip("()").lower()
        if letter not in sentences:
            raise ConfigError(f"{answers[0]} is none of the answers; choose from {', '.join(sentences)}.")
        return Verdict(letter == right, sentences[letter])

    return Exercise(("LETTER",), check)


def _number(answer: str, whole: bool) -> float:
    try:
        value = float(answer)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (whole and value != int(value)):
        kind = "a whole number, such as 80" if whole else "a number, such as 0.5 or 1e-3"
        raise ConfigError(f"{answer} is not {kind}.")
    return value


def _near(value: float, right: float, tolerance: float) -> bool:
    return abs(value - right) <= tolerance * max(abs(right), 1e-12)
