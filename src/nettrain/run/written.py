"""Configs as text."""

import re
from typing import Any

import yaml


class _Dumper(yaml.CSafeDumper):
    """Writes what OmegaConf reads back: it takes for numbers some texts, such as 1e3, that YAML does not."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    number = re.fullmatch(r"[-+.\d_]+([eE][-+\d]+)?", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if number else None)


_Dumper.add_representer(str, _represent_text)


def yaml_text(content: Any) -> str:
    """Plain containers as YAML, which OmegaConf reads back as they are."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text
