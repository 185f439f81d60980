"""What is read from folders that may have come from somebody else: plain values of limited size and depth.

Whatever else a file holds, deep nesting that would overflow the stack, aliases that multiply, numbers of a million
digits, or a pipe that never ends, is a `CheckpointError` that names the file.
"""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nettrain.errors import CheckpointError

LARGEST = 2**24  # bytes of a text file
LARGEST_TABLE = 2**30  # bytes of metrics.csv
DEEPEST = 32  # containers inside one another
LONGEST = 4096  # characters of a YAML value without quotes
BIGGEST = 2**64  # beyond all whole numbers that nettrain writes


def require_file(path: Path, largest: int = LARGEST) -> int:
    """The size of a file in bytes; raises `CheckpointError` for none, for what is no file, and for one too large."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path}: it is not a file.")
    if found.st_size > largest:
        raise CheckpointError(
            f"{path}: it has {found.st_size:,} bytes, and nettrain writes none of more than {largest:,}."
        )
    return found.st_size


def read_text(path: Path, largest: int = LARGEST, errors: str = "strict") -> str:
    """The content of a text file. Raises `CheckpointError` as `require_file` does, and for other bytes than UTF-8."""
    require_file(path, largest)
    try:
        with open(path, "rb") as file:
            return file.read(largest).decode(errors=errors)
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: damaged: not UTF-8.") from error


def read_json(path: Path) -> Any:
    """The plain value of a JSON file. Raises `CheckpointError` for everything else."""
    text = read_text(path)
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: not valid JSON.") from error
    return _require_plain(content, path)


def read_yaml(path: Path, interpolations: bool = False) -> Any:
    """The plain value of a YAML file as OmegaConf reads it. Raises `CheckpointError` for everything else.

    There may be neither aliases nor tags in it: nettrain writes none. With `interpolations` some may be in it.
    """
    text = read_text(path)
    try:
        _require_simple(text)
        content = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: not valid YAML.") from error
    return _require_plain(content, path, interpolations)


class _Strange(yaml.YAMLError):
    pass


def _require_simple(text: str) -> None:
    """Raise `YAMLError` for a text that is costly to construct; the parser of events takes time by its length alone."""
    depth = documents = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                depth += 1
                strange = depth > DEEPEST or event.tag or event.anchor
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                depth -= 1
                strange = False
            case yaml.ScalarEvent():
                strange = event.tag or event.anchor or (not event.style and len(event.value) > LONGEST)
            case yaml.DocumentStartEvent():
                documents += 1
                strange = documents > 1
            case _:
                strange = isinstance(event, yaml.AliasEvent)
        if strange:
            raise _Strange


class _Loader(yaml.CSafeLoader):
    """Reads numbers as OmegaConf does: 1e-3 is one, and a date is a text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) > len(set(keys)):
            raise _Strange
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(_[0-9]+)*[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _require_plain(content: Any, path: Path, interpolations: bool = False) -> Any:
    """The content, if it is made of plain containers, texts and numbers that are not too large or too deep."""
    level, depth = [content], 0
    while level:
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict) and all(isinstance(key, str) and "${" not in key for key in value):
                deeper += value.values()
            elif isinstance(value, list):
                deeper += value
            elif not _is_plain(value) and not (interpolations and isinstance(value, str)):
                raise CheckpointError(f"{path}: damaged: {shown(value)} is not what nettrain writes.")
        level, depth = deeper, depth + 1
        if depth > DEEPEST:
            raise CheckpointError(f"{path}: damaged: nested too deeply.")
    return content


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return "${" not in value
    if isinstance(value, int):
        return abs(value) < BIGGEST
    return value is None or isinstance(value, float)


def shown(value: Any, most: int = 40) -> str:
    """A value in a sentence: shortened, and without signs that would do something to a terminal."""
    if isinstance(value, int) and abs(value) >= BIGGEST:
        return f"a number of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= most else text[:most] + "..."
