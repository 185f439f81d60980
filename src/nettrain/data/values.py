"""What the text of a cell means: a missing value, a number, a truth value, a moment, or just itself."""

import math
import re
import unicodedata
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

# Words for a missing value wherever they stand.
MISSING = ("?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "NULL", "null", "None")
# Words for a missing value where the other cells are numbers, beside signs such as `.` and `--`.
_MARKERS = """
na, n.a., n.a, nan, -nan, +nan, nat, nil, none, null, (null), <null>, \\n, missing, unknown, not known, undefined,
empty, blank, no data, nodata, not available, not applicable, tbd, #na, #value!, #div/0!, #ref!, #name?, #num!, #null!,
#error!, 1.#ind, -1.#ind, 1.#qnan, -1.#qnan
"""
_LETTER = re.compile(r"\w")
_MARKING = frozenset(word.strip() for word in _MARKERS.split(","))
LONGEST_MARKER = max(map(len, _MARKING))

_TRUTH = {"true": True, "t": True, "yes": True, "y": True, "on": True, "1": True}
_TRUTH |= {"false": False, "f": False, "no": False, "n": False, "off": False, "0": False}

_SPACES = " \u00a0\u2009\u202f"
_CURRENCIES = (
    r"[$£¢¥€֏৳฿₠-₿＄￡￥]|US\$|R\$|USD|EUR|GBP|CHF|JPY|CNY|INR|RUB|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|TRY"
)
_PLAIN = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|[-+]?\.[0-9]+")
_DECIMAL = re.compile(r"([-+]?)([0-9]*)\.?([0-9]*)(?:[eE]([-+]?[0-9]{1,9}))?")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,12}))?)?)? ?(Z|UTC|[-+]\d\d:?\d\d)?", re.ASCII
)


def normalized(text: str) -> str:
    """The text with its letters composed (Unicode NFC): the same word is then the same text, whoever wrote the file."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_marker(text: str) -> bool:
    """Whether a text among numbers says that there is none."""
    return len(text) <= LONGEST_MARKER and (not _LETTER.search(text) or text.casefold() in _MARKING)


def number(text: str, decimal: str) -> float:
    """The number that a text is, written with this decimal mark; NaN for any other text."""
    if decimal == ",":
        text = "" if "." in text else text.replace(",", ".")
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


class Disguised(NamedTuple):
    """A number written for people: its value as it stands there, and its unit, `%`, a currency or nothing."""

    value: float
    unit: str


def disguised(text: str, decimal: str) -> Disguised | None:
    """The number in `61%`, `$1,234.50`, `1 234.5`, `(12.50)`, which is negative; None for a text that is none."""
    match = _disguise(decimal).fullmatch(text)
    if match is None or (match["before"] and match["after"]) or (match["outer"] and match["inner"]):
        return None
    in_brackets = text[0] == "("
    if in_brackets != (text[-1] == ")"):
        return None
    if in_brackets and not (match["before"] or match["after"] or match["group"] or decimal in match["digits"]):
        return None  # a number in a list, rather than a loss as accountants write it
    digits = re.sub(f"[^0-9{re.escape(decimal)}]", "", match["digits"]).replace(decimal, ".")
    negative = in_brackets or (match["outer"] or match["inner"] or "+") in "-\u2212"
    return Disguised(-float(digits) if negative else float(digits), match["before"] or match["after"] or "")


@cache
def _disguise(decimal: str) -> re.Pattern[str]:
    thousands = "[" + (",.".replace(decimal, "")) + "'\u2019" + _SPACES + "]"
    whole = rf"[1-9][0-9]{{0,2}}(?P<group>{thousands})[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*|[0-9]+"
    digits = rf"(?P<digits>(?:{whole})(?:\{decimal}[0-9]*)?|\{decimal}[0-9]+)"
    sign, blank = "[-+\u2212]?", f"[{_SPACES}]?"
    return re.compile(
        rf"\(?(?P<outer>{sign})(?P<before>{_CURRENCIES})?{blank}(?P<inner>{sign}){digits}"
        rf"{blank}(?P<after>%|{_CURRENCIES})?\)?"
    )


def plain_number(text: str, decimal: str = ".") -> str | None:
    """A number in plain digits in its shortest form (`1` for `1.0`), to the last digit; None for any other text.

    `007` and `1e2` are none, since they may as well be codes.
    """
    if decimal == ",":
        text = "" if "." in text else text.replace(",", ".")
    if not _PLAIN.fullmatch(text):
        return None
    whole, _, fraction = text.lstrip("+").partition(".")
    fraction = fraction.rstrip("0")
    shortest = f"{whole}.{fraction}" if fraction else whole
    shortest = re.sub(r"\A(-?)\.", r"\g<1>0.", shortest)
    return "0" if shortest in ("-0", "-", "") else shortest


def shortest(value: float) -> str:
    """A number's shortest text, without a fraction where it is whole."""
    return str(int(value)) if value.is_integer() else repr(value)


def truth(text: str) -> bool | None:
    """The truth value that a text means; None for any other."""
    return _TRUTH.get((plain_number(text) or text).casefold())


def exact_number(text: str) -> Hashable | None:
    """What is equal for texts of equal numbers, to the last digit: sign, digits and exponent; None for no number."""
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None
    digits = (match[2] + match[3]).lstrip("0")
    exponent = int(match[4] or 0) - len(match[3]) + len(digits) - len(digits.rstrip("0"))
    digits = digits.rstrip("0")
    return (match[1] == "-", digits, exponent) if digits else (False, "", 0)


def moment(text: str) -> Hashable | None:
    """What is equal for texts of the same date, or the same date and time, in ISO 8601; None for any other text.

    A date means its midnight; with an offset from UTC it is another moment than without.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    try:
        time = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}:{match[3] or '00'}")
        offset = match[5] if match[5] not in ("Z", "UTC") else "+00:00"
        if offset:
            hours, minutes = int(offset[1:3]), int(offset[-2:])
            shift = timedelta(hours=hours, minutes=minutes)
            time = (time - shift if offset[0] == "+" else time + shift).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time, (match[4] or "").rstrip("0")


def without_end(text: str) -> Hashable | None:
    """A label without the full stop that some test files write behind it."""
    return text.rstrip(".")


def folded(text: str) -> Hashable | None:
    """What is equal for texts that differ in the case of their letters alone."""
    return text.casefold()


Meaning = Callable[[str], Hashable | None]
"""What two texts have in common that mean the same; None for a text that has no such meaning."""
