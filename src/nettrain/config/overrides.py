"""Overrides: what people type or pass, in the form that Hydra reads."""

import argparse
from collections.abc import Mapping
from typing import Any


def for_hydra(arguments: list[str]) -> list[str]:
    """The arguments with -m in front, where Hydra takes it, and quotes around values that its grammar cannot read.

    These are single values with a sign beyond ASCII, or with `=` or `~`, as paths have them.
    """
    flags = [argument for argument in arguments if argument in ("-m", "--multirun")]
    return [*flags, *(_quoted(argument) for argument in arguments if argument not in flags)]


def _quoted(argument: str) -> str:
    key, _, value = argument.partition("=")
    plain = not argument.startswith("-") and value[:1] not in ("'", '"', "[", "{") and not set(",()$") & set(value)
    strange = not value.isascii() or "=" in value or "~" in value
    return f"{key}={_text(value)}" if plain and strange else argument


def with_module(overrides: list[str]) -> list[str]:
    """With `model._target_=...` among them, the overrides spelled as Hydra wants it: model=module, its keys added."""
    if not any(override.startswith("model._target_=") for override in overrides):
        return overrides
    added = ["++" + override if override.startswith("model.") else override for override in overrides]
    if not any(override.startswith("model=") for override in overrides):
        first = next(i for i, override in enumerate(overrides) if override.startswith("model."))
        added.insert(first, "model=module")  # not at the very start: options such as -m may stand there
    return added


def config_options(arguments: list[str]) -> tuple[str | None, str | None, list[str]]:
    """Hydra's --config-dir and --config-name, and the arguments without them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn")
    options, rest = parser.parse_known_args(arguments)
    return options.config_dir, options.config_name, rest


def overrides_of(config: Mapping[str, Any]) -> list[str]:
    """A config as overrides: `{"optimizer": {"name": "adam", "lr": 0.1}}` is optimizer=adam and optimizer.lr=0.1."""
    overrides = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rest = {f"{key}.{name}": inner for name, inner in value.items() if name != "name"}
            overrides += [f"{key}={value['name']}"] if "name" in value else []
            overrides += overrides_of(rest)
        else:
            overrides.append(f"{key}={_text(value)}")
    return overrides


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return "[" + ",".join(map(_text, value)) + "]" if isinstance(value, list | tuple) else str(value)
