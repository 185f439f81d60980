"""The Spanish pages say what the English ones say: the same blocks, code, formulas, numbers and links."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import spanish

PAGES = {str(english.relative_to(spanish.ROOT)): (english, page) for english, page in spanish.pages().items()}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_and_its_translation_are_in_step(page):
    assert spanish.differences(*PAGES[page]) == []


def test_every_spanish_page_has_an_english_one():
    assert {*spanish.SPANISH.glob("*.md"), *spanish.SPANISH.glob("course/*.md")} <= set(spanish.pages().values())


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A small page in both languages."""
    for name, folder in {"ROOT": tmp_path, "DOCS": tmp_path / "docs", "SPANISH": tmp_path / "docs" / "es"}.items():
        monkeypatch.setattr(spanish, name, folder)
    english, translated = spanish.DOCS / "page.md", spanish.SPANISH / "page.md"
    translated.parent.mkdir(parents=True)
    english.write_text(ENGLISH)
    translated.write_text(SPANISH)
    return english, translated


ENGLISH = """# Losses

The loss is 0.5 after 20 epochs with `bs=8`, where $L \\to 0$ ([below](#table)).

- one
- two

```sh
python train.py bs=8
```

## Table

| run | loss |
| --- | --- |
| after 3 s | 0.25 |
"""
SPANISH = """# Pérdidas

Con `bs=8`, donde $L \\to 0$, la pérdida es 0.5 tras 20 épocas ([más abajo](#tabla)).

- uno
- dos

```sh
python train.py bs=8
```

## Tabla

| ejecución | pérdida |
| --- | --- |
| tras 3 s | 0.25 |
"""


@pytest.mark.parametrize(
    ("changed", "into", "said"),
    [
        ("0.5 tras 20", "0.5 tras 21", "numbers"),
        ("0.5 tras 20", "20 tras 0.5", "numbers"),
        ("`bs=8`", "`bs=16`", "code"),
        ("L \\to 0", "L \\to 1", "formulas"),
        ("(#tabla)", "(#pérdidas)", "links"),
        ("(#tabla)", "(#table)", "is none"),
        ("- dos\n", "", "code"),
        ("## Tabla", "### Tabla", "heading"),
        ("train.py bs=8", "train.py bs=9", "other code"),
        ("| tras 3 s | 0.25 |", "| tras 3 s | 0.25 | 1 |", "cells"),
        ("| tras 3 s | 0.25 |", "| tras 0.25 s | 3 |", "numbers"),
        ("| tras 3 s | 0.25 |\n", "", "nothing"),
    ],
)
def test_what_is_out_of_step_is_noticed(pair, changed, into, said):
    english, translated = pair
    assert spanish.differences(english, translated) == []
    translated.write_text(SPANISH.replace(changed, into))
    (sentence, *_) = spanish.differences(english, translated)
    assert said in sentence


def test_new_numbers_and_code_of_the_english_page_are_taken_over(pair):
    english, translated = pair
    english.write_text(
        ENGLISH.replace("| 0.25", "| 0.125 (0.1 to 1e-3)")
        .replace("3 s", "4 s")
        .replace("20 epochs", "30 epochs")
        .replace("train.py", "train.py epochs=2")
    )
    assert spanish.differences(english, translated) != []
    translated.write_text(spanish.follow(english, translated))
    assert spanish.differences(english, translated) == []
    assert "la pérdida es 0.5 tras 30 épocas ([más abajo](#tabla))" in translated.read_text()
    assert "| tras 4 s | 0.125 (0.1 a 1e-3) |" in translated.read_text()


def test_numbers_do_not_move_to_other_rows_where_one_was_added(pair):
    english, translated = pair
    english.write_text(ENGLISH.replace("| after 3 s", "| after 2 s | 0.5 |\n| after 3 s"))
    assert spanish.follow(english, translated) == SPANISH
    (sentence,) = spanish.differences(english, translated)
    assert "row in English, nothing in Spanish" in sentence
