"""`--help`: every key with its meaning, default and limits, for the parts that the command line chooses."""

import dataclasses
from pathlib import Path
from typing import Any

from nettrain.app.config import GROUPS, config_folder, parts
from nettrain.parts.option import allowed
from nettrain.run.settings import Settings

_USAGE = """usage: nettrain [key=value ...] [group=name ...]        train one run
       nettrain -m key=v1,v2 group=a,b seed=range(5)   train a sweep: all combinations
       nettrain --help optimizer=sgd model=linear      the keys of other parts
       nettrain --cfg job [overrides]                  print the composed config
       nettrain --config-dir FOLDER [overrides]        add a folder of your own configs
       nettrain --hydra-help                           all of Hydra's options"""


def help_text(arguments: list[str]) -> str:
    """The help for the parts named by `group=name` among the arguments, else for the default ones."""
    chosen = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    sections = [_USAGE, "keys of every run:\n" + "\n".join(_lines(Settings, ""))]
    for group in GROUPS:
        name = chosen.get(group, _DEFAULTS[group])
        if name not in parts(group):
            name = _DEFAULTS[group]
        part = parts(group)[name]
        yaml = (config_folder() / group / f"{name}.yaml").read_text().splitlines()
        about = next(line for line in yaml if not line.startswith("# @package")).removeprefix("# ")
        lines = [f"{group}={name}: {about}", f"  known: {', '.join(_options(group))}", *_lines(part, f"{group}.")]
        sections.append("\n".join(lines))
    experiments = _options("experiment")
    if experiments:
        sections.append("experiment=NAME, a set of choices: " + ", ".join(experiments))
    return "\n\n".join(sections)


_DEFAULTS = {
    "data": "digits",
    "model": "mlp",
    "activation": "relu",
    "head": "auto",
    "optimizer": "adam",
    "schedule": "constant",
}


def _options(group: str) -> list[str]:
    folder = config_folder() / group
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in Path(folder).rglob("*.yaml"))


def _lines(part: Any, prefix: str) -> list[str]:
    lines = []
    for field in dataclasses.fields(part):
        if dataclasses.is_dataclass(field.type) and isinstance(field.type, type):
            lines += _lines(field.type, f"{prefix}{field.name}.")
        elif field.name != "name":
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            text = "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
            limits = f" ({allowed(field)})" if allowed(field) else ""
            lines.append(f"  {prefix + field.name + '=' + text:<38} {field.metadata.get('help', '')}{limits}")
    return lines
