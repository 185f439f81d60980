"""`--help`: every key with its meaning, value and limits, for the parts that the command line chooses."""

import dataclasses
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nettrain.config.compose import compose_beside
from nettrain.config.overrides import config_options, with_module
from nettrain.config.recipes import with_recipe
from nettrain.config.schema import GROUPS, LISTS, config_folder, parts, register
from nettrain.config.settings import Settings
from nettrain.errors import ConfigError
from nettrain.parts.activations import identity
from nettrain.registry import allowed, is_ours
from nettrain.report.layer_table import network_lines

OUTPUTS = 10  # of the network whose layers are shown

_USAGE = """usage: nettrain [key=value ...] [group=name ...]        train one run
       nettrain -m key=v1,v2 group=a,b seed=range(5)   train a sweep: all combinations
       nettrain --help optimizer=sgd model=linear      the keys of other parts
       nettrain --cfg job [overrides]                  print the composed config
       nettrain --config-dir FOLDER [overrides]        add a folder of your own configs
       nettrain --config-dir RUN/.hydra --config-name config [overrides]   train with the config of a run
       nettrain --hydra-help                           all of Hydra's options"""


def help_text(arguments: list[str]) -> str:
    """The help for the config that the overrides among the arguments make, its values being the defaults.

    Raises Hydra's or OmegaConf's error for an override that cannot be.
    """
    user_folder, _, rest = config_options(arguments)
    overrides = [argument for argument in rest if "=" in argument and not argument.startswith("-")]
    folders = [config_folder(), *([Path(user_folder).absolute()] if user_folder else [])]
    choices, config = _composed(with_module(with_recipe(overrides)), folders)
    sections = [_USAGE, "keys of every run:\n" + "\n".join(_lines(Settings, config, ""))]
    for group in GROUPS:
        name, values = choices[group], config[group]
        lines = [f"{group}={name}: {_about(group, name, folders)}", f"  known: {', '.join(_options(group, folders))}"]
        lines += _lines(parts(group)[values["name"]], values, f"{group}.")
        sections.append(
            "\n".join([*lines, *(_layers(parts(group)[values["name"]], values) if group == "model" else [])])
        )
    recipes = [name for name in _options("recipe", folders) if "/" not in name]  # below lies what they say of parts
    sections.append("recipe=NAME, settings that go together: " + ", ".join(recipes))
    sections.append("search=NAME, what -m searches among: " + ", ".join(_options("search", folders)))
    sections.append("debug=NAME, a short run that says whether one works: " + ", ".join(_options("debug", folders)))
    for group in LISTS:
        known = ", ".join(_options(group, folders))
        if not known and not config[group]:
            continue
        sections.append(f"{group}=[NAME,...]: any number of them\n  known: {known}")
        for name, node in config[group].items():
            if isinstance(node, dict) and (part := parts(group).get(str(node.get("name")))):
                lines = _lines(part, node, f"{group}.{name}.")
                sections.append("\n".join([f"{group}={name}: {_about(group, node['name'], folders)}", *lines]))
    experiments = _options("experiment", folders)
    if experiments:
        sections.append("experiment=NAME, a named set of settings: " + ", ".join(experiments))
    return "\n\n".join(sections)


def _composed(overrides: list[str], folders: list[Path]) -> tuple[dict[str, str], dict[str, Any]]:
    """The name of each group's choice, and the config, as Hydra composes them."""
    register()
    search = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders[1:])}]"]
    composed = compose_beside("train", [*search, *overrides])
    choices = dict(composed.hydra.runtime.choices)
    del composed.hydra  # it has values that only a run has
    container: dict[str, Any] = OmegaConf.to_container(composed)  # type: ignore[assignment]
    return choices, container


def _about(group: str, name: str, folders: list[Path]) -> str:
    """What a choice is: the first comment of its yaml, or the first line of its docstring."""
    path = next((path for folder in folders if (path := folder / group / f"{name}.yaml").is_file()), None)
    if path is None:  # a part of the user's own without a file
        documented = (parts(group)[name].__doc__ or "").strip().partition("\n")[0]
        return "" if documented.startswith(f"{parts(group)[name].__name__}(") else documented  # dataclass's own
    comments = (line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# "))
    return next((comment for comment in comments if not comment.startswith("@package")), "")


def _layers(part: Any, values: dict[str, Any]) -> list[str]:
    """The layers of a network, for an example of what it takes."""
    if part.example is None:
        return []
    heading = f"  layers for {part.example.text} and {OUTPUTS} outputs:"
    try:
        model = part(**values).build(part.example, OUTPUTS, identity)
    except ConfigError as error:
        return [f"{heading} {error}"]
    rows = [["layer", "gives", "parameters"], *network_lines(model, part.example)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [heading, *(f"    {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)]


def _options(group: str, folders: list[Path]) -> list[str]:
    paths = [(path, folder / group) for folder in folders for path in (folder / group).rglob("*.yaml")]
    own = {name for name, part in parts(group).items() if not is_ours(part)} if group in (*GROUPS, *LISTS) else set()
    return sorted({str(path.relative_to(folder).with_suffix("")) for path, folder in paths} | own)


def _lines(part: Any, values: dict[str, Any], prefix: str) -> list[str]:
    lines = []
    for field in dataclasses.fields(part):
        value = values[field.name]
        if isinstance(value, dict) and dataclasses.is_dataclass(field.type):
            lines += _lines(field.type, value, f"{prefix}{field.name}.")
        elif field.name != "name":
            value = list(value) if isinstance(value, dict) else value  # the names of nodes
            text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            limits = f" ({allowed(field)})" if allowed(field) else ""
            lines.append(f"  {prefix + field.name + '=' + text:<38} {field.metadata.get('help', '')}{limits}")
    return lines
