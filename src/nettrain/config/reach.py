"""What a config makes a run ask of databases and other places, which takes trust where somebody else has written it."""

from collections.abc import Mapping
from typing import Any

from nettrain.config.build import flat
from nettrain.data.remote import is_url


def reaching(container: Mapping[str, Any]) -> dict[str, str]:
    """The keys of a config by which loading its data runs a query or reaches another place, and what they do."""
    values = {k: v for group in ("data", "split") for k, v in flat(container.get(group) or {}, f"{group}.").items()}
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    return {
        key: "it runs a query" if key == "data.query" else f"its {key} leads to another place"
        for key, value in texts.items()
        if key == "data.query" or is_url(value)
    }
