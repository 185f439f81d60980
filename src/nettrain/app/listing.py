"""What a terminal of 80 columns shows of keys and what they mean."""

import textwrap

from nettrain.terminal import painted

WIDTH = 80
INDENT = 34  # of the words beside a key


def heading(text: str) -> str:
    """A heading, wrapped."""
    return painted(textwrap.fill(text, WIDTH, subsequent_indent="  "), "bold")


def entry(name: str, text: str, indent: int = INDENT) -> str:
    """A name and what it means: beside it, from the column `indent` on, where the name leaves room for that."""
    lines = textwrap.wrap(text, WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [""]
    begun = f"  {name}"
    beside = len(begun) < indent - 1
    first = f"{painted(begun, 'cyan')}{' ' * (indent - len(begun))}{lines[0]}" if beside else painted(begun, "cyan")
    return "\n".join([first.rstrip(), *(f"{' ' * indent}{line}" for line in lines[beside:])])


def paragraph(text: str, indent: str = "  ") -> str:
    """A text in lines of at most 80 columns, all of which begin with the indent."""
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
