"""`--help`: an overview, topics, and every key with its meaning, value and limits, for the parts that are chosen."""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nettrain.app.listing import entry, heading, paragraph
from nettrain.config.compose import compose_beside
from nettrain.config.overrides import config_options, with_module
from nettrain.config.recipes import with_recipe
from nettrain.config.schema import GROUPS, LISTS, config_folder, parts, register
from nettrain.config.scopes import defaults
from nettrain.config.settings import Settings
from nettrain.errors import ConfigError
from nettrain.parts.activations import identity
from nettrain.registry import allowed, is_ours
from nettrain.report.layer_table import network_lines
from nettrain.storage.reading import read_yaml
from nettrain.wording import did_you_mean

OUTPUTS = 10  # of the network whose layers are shown

_USAGE = [
    ("nettrain [KEY=VALUE] [GROUP=NAME] ...", "train one run"),
    ("nettrain -m KEY=V1,V2 GROUP=A,B ...", "train a sweep: all combinations"),
    ("nettrain --help TOPIC", "the keys of a topic; several topics, or all"),
    ("nettrain --help optimizer=sgd ...", "those of a part, and what it changes"),
    ("nettrain --cfg job [OVERRIDES]", "print the composed config"),
    ("nettrain --config-dir FOLDER ...", "add a folder of your own configs"),
    ("nettrain --config-dir RUN/.hydra --config-name config ...", "train with the config of a run"),
    ("nettrain --hydra-help", "all of Hydra's options"),
]
COMMANDS = {
    "nettrain-predict": "what a run predicts for a table",
    "nettrain-evaluate": "loss and metrics of a run on a table",
    "nettrain-compare": "a report on any runs and sweeps; figures as PDF, SVG, PNG",
    "nettrain-tensorboard": "TensorBoard, in which the runs of sweeps have names",
    "nettrain-play": "a page on which small networks are seen while they train",
    "nettrain-check": "whether the answer to an exercise of the course is right",
}
TOPICS = {
    "run": "batch size, epochs, seed, early stopping, budgets, checkpoints, resume",
    "data": "tables, data sets, encoding, splits",
    "model": "networks, activations, heads",
    "optimizer": "optimizers and learning-rate schedules",
    "sweep": "many runs as one computation: grids, search, clusters",
    "report": "figures, metrics, TensorBoard, loggers, what is printed",
    "speed": "device, precision, engines, memory, processes",
    "own": "parts, callbacks and modules of your own",
    "all": "everything",
}
GROUPS_OF = {
    "data": ("data", "split"),
    "model": ("model", "activation", "head"),
    "optimizer": ("optimizer", "schedule"),
    "report": ("logger",),
    "own": ("callbacks",),
}
KEYS_OF = {  # the first parts of the keys of every run
    "run": (
        *("bs", "epochs", "seed", "members", "folds", "drop_last", "early_stopping", "monitor", "monitor_mode"),
        *("budget", "checkpoint", "resume", "on_divergence", "class_weight", "calibrate", "debug"),
    ),
    "optimizer": ("groups",),
    "report": ("figures", "report_figures", "quiet", "metrics", "tensorboard", "watch", "logger", "profile"),
    "speed": ("device", "precision", "engine", "deterministic", "sharded", "accumulate"),
    "own": ("parts", "trust", "callbacks"),
}
_FIRST = ("bs", "epochs", "seed", "device", "resume", "figures", "quiet")  # keys that the overview shows
_SWEEPS = [
    ("-m optimizer=sgd,adam bs=8,32", "all combinations"),
    ("-m 'seed=range(10)'", "whole numbers; also 'optimizer=glob(*)'"),
    ("-m 'hydra.sweeper.zip=[bs,lr]' ...", "keys that vary together, in pairs"),
    ("-m hydra/sweeper=tpe", "search with Optuna (also cmaes, random), over ranges such as"),
    ("", "'optimizer.lr=tag(log,interval(1e-4,1))'"),
    ("hydra.sweeper.trials=64", "runs of a search"),
    ("hydra.sweeper.batch=16", "runs of a search that train together"),
    ("hydra.sweep.dir=FOLDER", "where it writes; a folder with an earlier sweep is completed"),
    ("hydra/launcher=stacked", "as one computation (the default); basic: one after another; joblib: in processes"),
    ("hydra.launcher.memory=null", "GiB that a stack of runs may take; null: half of what is free"),
    ("hydra.launcher.reduction_factor=null", "successive halving: the best 1 / N of a stack go on at each rung"),
    ("hydra.launcher.min_epochs=1", "epochs before the first rung"),
    ("hydra.launcher.cluster=null", "train on workers: ray, slurm or local (processes of this machine)"),
    ("hydra.launcher.workers=null", "how many stacks train at a time; null: what the cluster has room for"),
    ("hydra.launcher.cores=1", "processor cores of a worker"),
    ("hydra.launcher.gpus=0", "GPUs of a worker; 0.25: four of Ray's workers share one"),
    ("hydra.launcher.address=null", "Ray's address; null: RAY_ADDRESS, without one this machine alone"),
    ("hydra.launcher.slurm=null", "further parameters of SLURM, such as {partition: gpu, time: 60}"),
]


def help_text(arguments: list[str]) -> str:
    """The help for the config that the overrides among the arguments make, its values being the defaults.

    Without topics among the arguments it is that of what the overrides name; without both an overview. Raises
    `ConfigError` for a topic that there is not, and Hydra's or OmegaConf's error for an override that cannot be.
    """
    user_folder, _, rest = config_options(arguments)
    words = [argument for argument in rest if not argument.startswith("-")]
    overrides, topics = ([word for word in words if ("=" in word) == is_override] for is_override in (True, False))
    known = [*TOPICS, *GROUPS, *LISTS]
    for topic in topics:
        if topic not in known:
            hint = did_you_mean(topic, known)
            hint = f"; topics are {', '.join(TOPICS)}." if hint == "." else hint
            raise ConfigError(f"--help {topic}: there is no such topic{hint}")
    folders = [config_folder(), *([Path(user_folder).absolute()] if user_folder else [])]
    choices, config = _composed(with_module(with_recipe(overrides)), folders)
    if not words:
        return _overview(choices, config, folders)
    shown = _wanted(topics, overrides)
    if overrides:  # what follows from one part in the place of another, as of a table's recipe
        usual = _usual_choices()
        shown |= {group for group in GROUPS if choices[group] != usual[group]}
    sections = [_group(group, choices, config, folders) for group in GROUPS if group in shown]
    sections += [_keys(config, topic) for topic in KEYS_OF if topic in shown]
    sections += [_list(group, config, folders) for group in LISTS if group in shown]
    if "sweep" in shown:
        sections.append("\n".join([heading("sweeps"), *(entry(name, text) for name, text in _SWEEPS)]))
    if "run" in shown:
        sections.append(_sets(folders))
    elif changed := _changed(config, shown):
        sections.append("\n".join([heading("other keys that have another value"), *changed]))
    return "\n\n".join(filter(None, sections))


def _usual_choices() -> dict[str, str]:
    """The name of each group's part unless another one is chosen, as the root config has it."""
    root = read_yaml(config_folder() / "train.yaml", interpolations=True)
    return {group: name for entry in root["defaults"] if isinstance(entry, dict) for group, name in entry.items()}


def _changed(config: dict[str, Any], shown: set[str]) -> list[str]:
    """The keys whose values are not the defaults, of every run and of the groups that are not shown."""
    lines = _lines(Settings, config, "", changed=True)
    for group in GROUPS:
        if group not in shown:
            lines += _lines(parts(group)[config[group]["name"]], config[group], f"{group}.", changed=True)
    return lines


def _wanted(topics: Sequence[str], overrides: Sequence[str]) -> set[str]:
    """The topics and groups of which keys are shown: those that are asked for, and what the overrides name."""
    every = {*KEYS_OF, *GROUPS, *LISTS, "sweep"}
    named = {re.split(r"[=.@]", override.lstrip("+~"))[0] for override in overrides}
    of_keys = {topic for topic, keys in KEYS_OF.items() if named & set(keys)}
    if "all" in topics or named - {*GROUPS, *LISTS, *itertools.chain(*KEYS_OF.values())}:
        return every  # an experiment may change anything
    inner = {group for topic in topics for group in GROUPS_OF.get(topic, ())}
    return every & ({*topics} | inner | of_keys | named)


def _overview(choices: dict[str, str], config: dict[str, Any], folders: list[Path]) -> str:
    """What fits on a screen: how nettrain is called, its topics, the keys that are used most, its parts."""
    known = [entry(f"{group}={choices[group]}", ", ".join(_options(group, folders)), 26) for group in GROUPS]
    part = parts("optimizer")[config["optimizer"]["name"]]
    lr = _lines(part, config["optimizer"], "optimizer.", ("lr",))
    return "\n\n".join(
        [
            paragraph("nettrain trains and compares neural networks from config files.", ""),
            "\n".join([heading("usage"), *(entry(name, text, 40) for name, text in _USAGE)]),
            "\n".join([heading("topics (--help TOPIC)"), *(entry(name, text, 14) for name, text in TOPICS.items())]),
            "\n".join([heading("keys that are used most"), *_lines(Settings, config, "", _FIRST), *lr]),
            "\n".join([heading("groups, with the default and what there is (--help GROUP=NAME)"), *known]),
            "\n".join([heading("other commands"), *(entry(name, text, 25) for name, text in COMMANDS.items())]),
            _sets(folders),
        ]
    )


def _keys(config: dict[str, Any], topic: str) -> str:
    return "\n".join([heading(f"keys of every run: {TOPICS[topic]}"), *_lines(Settings, config, "", KEYS_OF[topic])])


def _group(group: str, choices: dict[str, str], config: dict[str, Any], folders: list[Path]) -> str:
    """A group: the part that is chosen with its keys, and the names of the others."""
    name, values = choices[group], config[group]
    part = parts(group)[values["name"]]
    lines = [heading(f"{group}={name}: {_about(group, name, folders)}")]
    lines.append(paragraph(f"known: {', '.join(_options(group, folders))}"))
    lines += _lines(part, values, f"{group}.")
    return "\n".join([*lines, *(_layers(part, values) if group == "model" else [])])


def _list(group: str, config: dict[str, Any], folders: list[Path]) -> str:
    """A group of which a run has any number of parts; nothing if there is none."""
    known = ", ".join(_options(group, folders))
    if not known and not config[group]:
        return ""
    sections = ["\n".join([heading(f"{group}=[NAME,...]: any number of them"), paragraph(f"known: {known}")])]
    for name, node in config[group].items():
        if isinstance(node, dict) and (part := parts(group).get(str(node.get("name")))):
            about = heading(f"{group}={name}: {_about(group, node['name'], folders)}")
            sections.append("\n".join([about, *_lines(part, node, f"{group}.{name}.")]))
    return "\n\n".join(sections)


def _sets(folders: list[Path]) -> str:
    """What sets several keys at once, with its names."""
    about = {
        "recipe": "settings that go together",
        "search": "what -m searches among",
        "debug": "a short run that says whether one works",
        "experiment": "a named set of settings",
    }
    lines = []
    for group, text in about.items():
        names = [name for name in _options(group, folders) if group != "recipe" or "/" not in name]  # those are parts'
        alike = [name for name in names if name.startswith("course/")]  # one for each page of the course
        names = [name for name in names if name not in alike] + ["course/<page>"] * bool(alike)
        lines += [entry(f"{group}=NAME", f"{text}: {', '.join(names)}", 26)] if names else []
    return "\n".join([heading("sets of settings"), *lines])


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
    title = f"layers for {part.example.text} and {OUTPUTS} outputs:"
    try:
        model = part(**values).build(part.example, OUTPUTS, identity)
    except ConfigError as error:
        return [paragraph(f"{title} {error}")]
    rows = [["layer", "gives", "parameters"], *network_lines(model, part.example)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [paragraph(title), *(f"    {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)]


def _options(group: str, folders: list[Path]) -> list[str]:
    paths = [(path, folder / group) for folder in folders for path in (folder / group).rglob("*.yaml")]
    own = {name for name, part in parts(group).items() if not is_ours(part)} if group in (*GROUPS, *LISTS) else set()
    return sorted({str(path.relative_to(folder).with_suffix("")) for path, folder in paths} | own)


def _lines(
    part: Any, values: dict[str, Any], prefix: str, only: Sequence[str] = (), changed: bool = False
) -> list[str]:
    """An entry for each key of a part, its value and what it means.

    With `only` of those that begin with one of these names; `changed`: whose value is not the default.
    """
    lines = []
    for field in dataclasses.fields(part):
        value = values[field.name]
        if only and field.name not in only:
            continue
        if isinstance(value, dict) and dataclasses.is_dataclass(field.type):
            lines += _lines(field.type, value, f"{prefix}{field.name}.", changed=changed)
        elif field.name != "name" and not (changed and value == defaults(part)[field.name]):
            value = list(value) if isinstance(value, dict) else value  # the names of nodes
            text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            limits = f" ({allowed(field)})" if allowed(field) else ""
            lines.append(entry(f"{prefix}{field.name}={text}", f"{field.metadata.get('help', '')}{limits}"))
    return lines
