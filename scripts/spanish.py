"""Keep the Spanish pages in step with the English ones: `make spanish`.

A page and its translation consist of the same blocks: headings of the same levels, paragraphs, items, rows of tables,
code. Words differ; code, formulas, numbers in their order, and where links lead to do not. `differences` lists what
is not so. As a script it writes changed numbers and code of the English pages, such as those that benchmarks write,
into the Spanish ones, and lists what a person has to translate.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from os.path import normpath
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SPANISH = DOCS / "es"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
VALUE_WORDS = {" to ": " a ", "below ": "por debajo de "}  # all words of cells that state numbers
VALUES = re.compile(rf"(?: |[-–−+±%()?]|to |below |{NUMBER.pattern})+")
CODE, FORMULA = re.compile(r"`[^`]+`"), re.compile(r"(?<![\\$])\$[^$]+\$")
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
PROTECTED = re.compile(f"{CODE.pattern}|{FORMULA.pattern}|{LINK.pattern}|{NUMBER.pattern}")
WORDS = re.compile(r"(\\text\{)[^}]*\}")  # of a formula
OPENING = re.compile(r"(\s*)(#+ |- |\d+\. |\|)?")


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, an item, a row of a table, or code."""

    kind: str
    text: str

    @property
    def numbers(self) -> list[str]:
        return NUMBER.findall(self._words)

    @property
    def constant(self) -> list[str]:
        """What no translation changes, in alphabetical order, since words may stand in another one."""
        return sorted([*CODE.findall(self.text), *(WORDS.sub(r"\1}", f) for f in FORMULA.findall(self._without_code))])

    @property
    def links(self) -> list[str]:
        return LINK.findall(self._without_code)

    @property
    def cells(self) -> list[str]:
        return self.text.split("|") if self.kind == "row" else [self.text]

    @property
    def _without_code(self) -> str:
        return CODE.sub("`", self.text)

    @property
    def _words(self) -> str:
        return LINK.sub("", FORMULA.sub("$", self._without_code))


def pages() -> dict[Path, Path]:
    """Each English page and its translation."""
    found = {ROOT / name: SPANISH / name for name in ("README.md", "CONTRIBUTING.md")}
    for path in [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("course/*.md"))]:
        found[path] = SPANISH / path.relative_to(DOCS)
    return found


def blocks(text: str) -> Iterator[Block]:
    """A page cut into blocks."""
    kinds = {"#": "heading", "-": "item", "|": "row", "": "paragraph"}
    kind, lines, fence = "", [], None
    for line in [*text.splitlines(), ""]:
        opening = OPENING.match(line)
        mark = (opening[2] or "").strip()
        if fence is None and line.lstrip().startswith("```"):
            if lines:
                yield Block(kind, "\n".join(lines))
            kind, lines, fence = f"code {line.strip('` ')}", [], opening[1] + "```"
        elif fence is not None:
            if line == fence:
                yield Block(kind, "\n".join(lines))
                kind, lines, fence = "", [], None
            else:
                lines.append(line)
        elif not line.strip() or mark:
            if lines:
                yield Block(kind, "\n".join(lines))
            kind = "heading " + mark if mark.startswith("#") else kinds.get(mark, "numbered item")
            lines = [line] if line.strip() else []
        else:
            kind, lines = kind if lines else "paragraph", [*lines, line]


def anchors(text: str) -> list[str]:
    """The anchors of a page's headings, in their order."""
    words = [block.text.lstrip("# ").lower() for block in blocks(text) if block.kind.startswith("heading")]
    return [re.sub(r"[^\w\- ]", "", word).replace(" ", "-") for word in words]


def destination(page: Path, link: str) -> str:
    """Where a link leads to: the English page or file, and which of its headings."""
    if link.startswith("http"):
        return link
    path, _, anchor = link.partition("#")
    target = Path(normpath(page.parent / path)) if path else page
    english = {spanish: english for english, spanish in pages().items()}.get(target, target)
    if not anchor:
        return str(english.relative_to(ROOT))
    if not target.is_file():
        return f"{link}, which is no file"
    known = anchors(target.read_text())
    heading = known.index(anchor) if anchor in known else f"#{anchor}, which is none"
    return f"{english.relative_to(ROOT)}, heading {heading}"


def differences(english: Path, spanish: Path) -> list[str]:
    """What a page and its translation should have in common, and have not; at most one thing of each block.

    Where blocks are missing, that alone is said: whatever follows stands beside something else.
    """
    if not spanish.is_file():
        return [f"{spanish.relative_to(ROOT)} is missing."]
    found, heading = [], "at the top"
    aligned = _aligned(english, spanish)
    for ours, theirs in zip_longest(*(list(blocks(path.read_text())) for path in (english, spanish))):
        kinds = [block.kind if block else "nothing" for block in (ours, theirs)]
        difference = None
        if kinds[0] != kinds[1]:
            difference = f"{kinds[0]} in English, {kinds[1]} in Spanish: {(theirs or ours).text.strip()[:60]}"
        elif aligned:
            difference = _difference(english, spanish, ours, theirs)
        if difference is not None:
            found.append(f"{spanish.relative_to(ROOT)}, {heading}: {difference}")
        if kinds[0] != kinds[1]:
            break
        heading = theirs.text if theirs.kind.startswith("heading") else heading
    return found


def _aligned(english: Path, spanish: Path) -> bool:
    """Whether both pages have the same kinds of blocks in the same order."""
    ours, theirs = ([block.kind for block in blocks(path.read_text())] for path in (english, spanish))
    return ours == theirs


def _difference(english: Path, spanish: Path, ours: Block, theirs: Block) -> str | None:
    texts = (ours.text, theirs.text)
    if ours.kind.startswith("code"):
        same = WORDS.sub("", texts[0]) == WORDS.sub("", texts[1]) if ours.kind == "code math" else texts[0] == texts[1]
        return None if same else f"other code: {texts[1][:60]}"
    compared = {
        "cells": [len(block.cells) for block in (ours, theirs)],
        "numbers": [[Block("", cell).numbers for cell in block.cells] for block in (ours, theirs)],
        "code or formulas": [block.constant for block in (ours, theirs)],
        "links": [
            sorted(destination(page, link) for link in block.links)
            for page, block in ((english, ours), (spanish, theirs))
        ],
    }
    for name, (expected, value) in compared.items():
        if expected != value:
            return f"other {name}: {value} instead of {expected} in: {texts[1].strip()[:60]}"
    return None


def follow(english: Path, spanish: Path) -> str:
    """The Spanish page with the numbers and the code of the English one, if both have the same blocks."""
    text, place = spanish.read_text(), 0
    if not _aligned(english, spanish):
        return text
    for ours, theirs in zip(*(list(blocks(path.read_text())) for path in (english, spanish)), strict=True):
        place = text.index(theirs.text, place)
        new = ours.text if ours.kind.startswith("code") and ours.kind != "code math" else _with_numbers(ours, theirs)
        text = text[:place] + new + text[place + len(theirs.text) :]
        place += len(new)
    return text


def _with_numbers(ours: Block, theirs: Block) -> str:
    if len(ours.cells) != len(theirs.cells):
        return theirs.text
    return "|".join(_replaced(*pair) for pair in zip(ours.cells, theirs.cells, strict=True))


def _replaced(ours: str, theirs: str) -> str:
    if VALUES.fullmatch(ours):
        for word, translation in VALUE_WORDS.items():
            ours = ours.replace(word, translation)
        return ours
    numbers = Block("", ours).numbers
    if len(numbers) != len(Block("", theirs).numbers):
        return theirs
    rest = iter(numbers)
    return PROTECTED.sub(lambda found: next(rest) if NUMBER.fullmatch(found[0]) else found[0], theirs)


def main() -> None:
    left = []
    for english, spanish in pages().items():
        if spanish.is_file():
            spanish.write_text(follow(english, spanish))
        left += differences(english, spanish)
    sys.exit("\n".join(left))


if __name__ == "__main__":
    main()
