"""Model files of lightning-hydra-template's kind: a LightningModule's, with its net, its optimizer and its scheduler.

The class of the LightningModule holds a training loop, which is nettrain's here: it is not imported. The net becomes
the model; optimizer and scheduler become the run's, unless the run has chosen others.
"""

import copy
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from nettrain.config.schema import parts
from nettrain.registry import values_of
from nettrain.wording import joined

_PLACES = {"optimizer": "optimizer", "scheduler": "schedule"}  # the group of what such a file has
_DEFAULTS = {"optimizer": "adam", "schedule": "constant"}  # of configs/train.yaml


def take_apart(composed: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, str | None]:
    """The config with the parts of such a model file where they belong, and a sentence on it; any other as it is.

    `overrides` are those of the command line. The config itself, which may be that of other runs, too, is not changed.
    """
    node = composed.get("model")
    if not (isinstance(node, DictConfig) and all(_names_class(node, key) for key in ("net", "optimizer"))):
        return composed, None
    composed = copy.deepcopy(composed)
    content: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    net = content.pop("net")
    used, left = [f"its net {net['_target_']} is trained"], [str(content.pop("_target_", "its class"))]
    with open_dict(composed):
        composed.model = net
        for key, group in _PLACES.items():
            if not isinstance(part := content.pop(key, None), dict):
                continue
            if _is_chosen(composed, group, overrides):
                left.append(f"its {key} {part['_target_']}")
            else:
                composed[group] = part
                used.append(f"with its {key} {part['_target_']}")
    left += [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in content.items()]
    return composed, f"model: of its file {' '.join(used)}; not used: {joined(left)}."


def _names_class(node: DictConfig, key: str) -> bool:
    inner = node.get(key) if key in node else None
    return isinstance(inner, DictConfig) and "_target_" in inner


def _is_chosen(composed: DictConfig, group: str, overrides: Sequence[str]) -> bool:
    """Whether the run names a part of the group: on the command line, or in an experiment's file."""
    typed = (override.lstrip("+").partition("=")[0] for override in overrides)
    default = parts(group)[_DEFAULTS[group]]()
    present = OmegaConf.to_container(composed[group])
    return any(key == group or key.startswith(f"{group}.") for key in typed) or present != values_of(default)
