"""Names that come from tables and configs, in figures: as they are, whatever signs and scripts they are made of."""

import textwrap
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.text import Text

NO_GLYPH = "□"  # in the place of a character that no font has


def write(text: Text, content: str) -> None:
    """Let an empty text of a figure show a content literally: a dollar sign begins no formula."""
    shown, families = _drawable(content)
    text.set(text=shown, fontfamily=families, **_LITERAL)


def name_ticks(axis: Axis, names: Sequence[str], **options: Any) -> None:
    """Ticks at 0, 1, ... with names; `options` are those of texts."""
    drawable = [_drawable(name) for name in names]
    families = list(dict.fromkeys(family for _, families in drawable for family in families))
    axis.set_ticks(range(len(names)), [shown for shown, _ in drawable], fontfamily=families, **_LITERAL, **options)


_LITERAL = {"parse_math": False, "usetex": False}


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most so many letters, of which a wide one, such as a Chinese one, counts as two."""
    return textwrap.fill(text, width // _width(text))


def shortened(text: str, width: int = 52) -> str:
    """The text, with its middle left out where it is longer than `width` letters; wide ones count as two."""
    text = " ".join(text.split())
    most = width // _width(text)
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def _width(text: str) -> int:
    """How many letters the widest one is as wide as."""
    return 2 if any(unicodedata.east_asian_width(letter) in "WF" for letter in text) else 1


def _drawable(content: str) -> tuple[str, list[str]]:
    """What is drawn of a content, and in which families of fonts: matplotlib's own, and others that it needs."""
    families = dict.fromkeys(font_manager.FontProperties().get_family())
    if content.isascii() and content.replace("\n", "").isprintable():
        return content, list(families)
    shown = ""
    for letter in content:
        if unicodedata.category(letter) == "Cf":  # it only says how others are set
            continue
        family = "" if letter == "\n" else _family(letter)
        shown += NO_GLYPH if family is None else letter
        families |= {family: None} if family else {}
    return shown, list(families)


@cache
def _family(letter: str) -> str | None:
    """The further family of fonts that has a letter; empty if the usual one has it, None if there is no glyph."""
    usual = font_manager.findfont(font_manager.FontProperties())
    if _has(_characters(usual), letter):
        return ""
    return next((name for name, characters in _further_fonts() if _has(characters, letter)), None)


@cache
def _further_fonts() -> list[tuple[str, np.ndarray]]:
    """The families of fonts that are there, sans serif first, and the characters of each."""
    best: dict[str, font_manager.FontEntry] = {}
    for font in sorted(font_manager.fontManager.ttflist, key=_strangeness):
        best.setdefault(font.name, font)
    ordered = sorted(best.values(), key=lambda font: ("sans" not in font.name.lower(), *_strangeness(font)))
    return [(font.name, _characters(font.fname)) for font in ordered if not font.name.startswith("Last Resort")]


def _strangeness(font: font_manager.FontEntry) -> tuple[bool, int]:
    weight = font.weight if isinstance(font.weight, int) else 400
    return font.style != "normal", abs(weight - 400)


@cache
def _characters(path: str) -> np.ndarray:
    """The code points for which a font has outlines, ascending; those made of pixels cannot be drawn in any size."""
    try:
        font = font_manager.get_font(path)
        return np.sort(np.fromiter(font.get_charmap(), np.uint32)) if font.scalable else np.zeros(0, np.uint32)
    except (OSError, RuntimeError):
        return np.zeros(0, np.uint32)


def _has(characters: np.ndarray, letter: str) -> bool:
    place = int(np.searchsorted(characters, ord(letter)))
    return place < len(characters) and int(characters[place]) == ord(letter)
