"""Configs as text."""

import re
from textwrap import indent
from typing import Any

import yaml

FEW = 12  # entries of a dictionary that are written together
MOST = 4096  # entries whose text is kept
_entries: dict[str, str] = {}


class _Dumper(yaml.CSafeDumper):
    """Writes what OmegaConf reads back: it takes for numbers some texts, such as 1e3, that YAML does not."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    number = re.fullmatch(r"[-+.\d_]+([eE][-+\d]+)?", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if number else None)


_Dumper.add_representer(str, _represent_text)


def yaml_text(content: Any) -> str:
    """Plain containers as YAML, which OmegaConf reads back as they are."""
    if not isinstance(content, dict) or not content:
        return _dump(content)
    return "".join(_entry(key, value) for key, value in content.items())


def _entry(key: str, value: Any) -> str:
    """`key: value`, in which nested entries that another config has, too, are not written anew."""
    if isinstance(value, dict) and len(value) > FEW:
        return _dump({key: None}).removesuffix(" null\n") + "\n" + indent(yaml_text(value), "  ")
    known = f"{key!r}: {value!r}"
    if known not in _entries:
        if len(_entries) >= MOST:
            _entries.clear()
        _entries[known] = _dump({key: value})
    return _entries[known]


def _dump(content: Any) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text
