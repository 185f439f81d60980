"""Overrides: what people type or pass, in the form that Hydra reads."""

from collections.abc import Mapping
from typing import Any


def with_module(overrides: list[str]) -> list[str]:
    """With `model._target_=...` among them, the overrides spelled as Hydra wants it: model=module, its keys added."""
    if not any(override.startswith("model._target_=") for override in overrides):
        return overrides
    added = ["++" + override if override.startswith("model.") else override for override in overrides]
    chosen = any(override.startswith("model=") for override in overrides)
    return added if chosen else ["model=module", *added]


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
