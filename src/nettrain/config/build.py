"""From a composed config to checked objects and back. Here `DictConfig` ends: the rest takes plain arguments."""

import copy
import dataclasses
from collections.abc import Sequence
from inspect import isabstract
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf, open_dict

from nettrain.config.explain import no_such_part, unknown_key
from nettrain.config.lightning import take_apart
from nettrain.config.own_parts import load_parts, part_of_target
from nettrain.config.schema import BEFORE, GROUPS, LISTS, OF_ANY_CLASS, Config, known_options, name_keys, parts
from nettrain.data.encoding import Encoder
from nettrain.data.remote import is_url
from nettrain.errors import ConfigError
from nettrain.optimizers.parameter_groups import check_groups
from nettrain.parts.activations import Activation
from nettrain.parts.heads import Auto, Head, Loss
from nettrain.registry import check, check_range, is_ours, subclasses, values_of
from nettrain.wording import did_you_mean

TASKS = ("regression", "binary", "multiclass")  # the kinds of target


def to_config(composed: DictConfig, overrides: Sequence[str] = ()) -> Config:
    """A composed config, made with these overrides, as checked objects; parts of the user's own are imported.

    Raises `ConfigError` for a value that is missing or out of range, and `UserCodeError` for a part that cannot be
    imported.
    """
    load_parts(composed.get("parts") or [])
    composed, note = take_apart(composed, overrides)
    _name_targets(composed)
    for key in name_keys():
        if names := OmegaConf.select(composed, key):  # in overrides they stood as Hydra takes them
            OmegaConf.update(composed, key, {unquote(name): value for name, value in names.items()}, merge=False)
    config = _objects(composed)
    if not _uses_parts_of_others(config):
        config = dataclasses.replace(config, parts=[])
    if note:
        config.model.say(note)
    return config


def can_be_set(config: Config, key: str) -> bool:
    """Whether `with_value` may set this key: it has a plain value, on which nothing else of the config depends."""
    node: Any = config
    *parents, name = key.split(".")
    for parent in parents:
        node = getattr(node, parent, None)
    known = {field.name: field for field in dataclasses.fields(node)} if dataclasses.is_dataclass(node) else {}
    if name not in known or name in ("name", "ids") or known[name].metadata.get("is_path"):
        return False
    return isinstance(getattr(node, name), int | float | str | None)


def with_values(config: Config, values: dict[str, Any]) -> Config:
    """The config with other values of keys for which `can_be_set` holds, as `to_config` would have made it.

    Raises `ConfigError` for a value out of range.
    """
    changes = {group: copy.copy(getattr(config, group)) for group in GROUPS}
    changed = dataclasses.replace(config, **changes)
    for key, value in values.items():
        changed = _with_value(changed, key.split("."), value)
    return _checked(changed)


def _with_value(node: Any, names: Sequence[str], value: Any) -> Any:
    name, *rest = names
    return dataclasses.replace(node, **{name: _with_value(getattr(node, name), rest, value) if rest else value})


def _uses_parts_of_others(config: Config) -> bool:
    """Whether any part that a config chooses lies outside of nettrain, so that the config cannot be read without it."""
    chosen = [*(getattr(config, group) for group in GROUPS), *callback_nodes(config).values()]
    return not all(is_ours(type(part)) for part in chosen if dataclasses.is_dataclass(part))


def _name_targets(composed: DictConfig) -> None:
    """Give the nodes of groups that name a part by `_target_` its name; any class of torch's kind needs none."""
    for group in GROUPS:
        node = composed.get(group)
        if not isinstance(node, DictConfig) or "_target_" not in node or "name" in node:
            continue
        if (part := part_of_target(group, node["_target_"])) is not None:
            module, name = part
            with open_dict(composed):
                composed[group] = {"name": name, **{key: value for key, value in node.items() if key != "_target_"}}
                composed.parts = [*composed.parts, module]


def _objects(composed: DictConfig) -> Config:
    _give_schemas(composed)
    if composed.split.name == "files" and OmegaConf.is_missing(composed.data, "path") and composed.split.train:
        composed.data.path = composed.split.train
    _check_keys(composed)
    try:
        config: Config = OmegaConf.to_object(composed)  # type: ignore[assignment]
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key or 'config'}: a value is required.") from error
    config = _checked(config)
    if getattr(config.data, "ids", False) is None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, ids=type(config.model).takes_ids))
    for key, part in callback_nodes(config).items():
        if dataclasses.is_dataclass(part):
            check(part, f"{key}.")
    return config


def _checked(config: Config) -> Config:
    """The config, if its values are in range."""
    config.batch_size(1)
    check(config)
    _ = config.member_count
    check_groups(config.groups)
    for group in ("optimizer", "activation"):  # the parts whose numbers meet tensors
        check_range(getattr(config, group), config.dtype, f"{group}.")
    return config


def callback_nodes(config: Config) -> dict[str, Any]:
    """The callbacks and loggers of a config by their keys: parts, or nodes with a `_target_` as they stand."""
    nodes: dict[str, Any] = {}
    for group in LISTS:
        chosen = getattr(config, group)
        inside = {f"{group}.{name}": node for name, node in chosen.items() if node is not None}
        nodes |= {group: chosen} if "_target_" in chosen else inside
    return nodes


def place_paths(composed: DictConfig, folder: Path) -> None:
    """Make the relative paths of a composed config those of files below `folder`."""
    for key in relative_paths(composed):
        OmegaConf.update(composed, key, str(folder / OmegaConf.select(composed, key)))


def relative_paths(composed: DictConfig) -> list[str]:
    """The keys of a composed config that hold a relative path; a URL is none."""
    keys = [key for key, fields in known_options().items() if any(f.metadata["is_path"] for f in fields.values())]
    paths = {key: OmegaConf.select(composed, key, throw_on_missing=False) for key in keys}
    texts = {key: path for key, path in paths.items() if isinstance(path, str) and not is_url(path)}
    return [key for key, path in texts.items() if not Path(path).expanduser().is_absolute()]


def load_config(container: dict[str, Any]) -> Config:
    """The objects of a config that was saved as plain containers; nothing is imported for it."""
    settings = {key: value for key, value in container.items() if key not in GROUPS}
    root = OmegaConf.merge(OmegaConf.structured(Config), settings)
    assert isinstance(root, DictConfig)
    for group in GROUPS:
        root[group] = container.get(group, {})
    return _objects(root)


def _give_schemas(composed: DictConfig) -> None:
    """Give the nodes of groups their parts' schemas, where the file that they come from did not."""
    for group in GROUPS:
        node = composed.get(group)
        if group in BEFORE and (OmegaConf.is_missing(composed, group) or not node):
            with open_dict(composed):
                composed[group] = OmegaConf.structured(parts(group)[BEFORE[group]])
            continue
        if not isinstance(node, DictConfig) or OmegaConf.get_type(node) is not dict:
            continue
        of_any_class = OF_ANY_CLASS[group].name if group in OF_ANY_CLASS and "_target_" in node else None
        name, known = node.get("name", of_any_class), parts(group)
        if name is None:
            raise ConfigError(
                f"{group}.name: the file of this {group} does not say which it is; add a line such as 'name: "
                f"{next(iter(known))}'."
            )
        if name not in known:
            raise ConfigError(f"{group}={name}: there is no such {group}; choose from {', '.join(known)}.")
        _give_schema(composed, group, known[name])
    for group in LISTS:
        node = composed.get(group)
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{group}: it must be names, such as {group}=[{next(iter(parts(group)), 'mine')}].")
        for name in [] if "_target_" in node else list(node):
            _give_callback_schema(node, group, str(name))


def _give_schema(parent: DictConfig, key: str, part: type) -> None:
    """Give the node at this key the schema of its part."""
    content = OmegaConf.to_container(parent[key])
    with open_dict(parent):
        parent[key] = OmegaConf.structured(part)
        OmegaConf.set_struct(parent[key], False)  # keys that no schema knows are found later
        parent[key].merge_with(content)  # where it lies, so that errors name the whole key


def _give_callback_schema(nodes: DictConfig, group: str, name: str) -> None:
    """Give the node of a callback its part's schema; one with a `_target_` has none."""
    node, known = nodes[name], parts(group)
    if node is None or (isinstance(node, DictConfig) and "_target_" in node):
        return
    if not isinstance(node, DictConfig) or not isinstance(node.get("name"), str):
        raise ConfigError(
            f"{group}.{name}: it does not say which callback it is; choose one by its name, {group}=[{name}], or a "
            f"class, {group}.{name}._target_=<module.Class>."
        )
    if node.name not in known:
        raise no_such_part(group, node.name, known)
    if OmegaConf.get_type(node) is dict:
        _give_schema(nodes, name, known[node.name])


def saved_container(config: Config) -> dict[str, Any]:
    """The config as plain containers, as a run's folder keeps it and `load_config` takes it back.

    Paths of files are absolute, so that the run is at home in any folder; what concerns one start of the program alone,
    such as `resume`, is not saved.
    """
    return {field.name: _saved(getattr(config, field.name), field) for field in dataclasses.fields(config)}


def _saved(value: Any, field: dataclasses.Field | None = None) -> Any:
    if dataclasses.is_dataclass(value):  # what was added to it beside its fields included
        fields = {f.name: f for f in dataclasses.fields(value)}
        return {k: _saved(v, fields.get(k)) for k, v in values_of(value).items()}
    if isinstance(value, dict):  # nodes by name
        return {name: _saved(node) for name, node in value.items()}
    if field is not None and not field.metadata.get("saved", True):
        return field.default
    if field is not None and field.metadata.get("is_path", False) and value is not None:
        paths = value if isinstance(value, list) else [value]  # of a list's elements some may be names of modules
        placed = [
            str(Path(p).expanduser().absolute()) if (p is value and not is_url(p)) or p.endswith(".py") else p
            for p in paths
        ]
        return placed if isinstance(value, list) else placed[0]
    return value


def flat(container: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested containers as one dictionary with dotted keys."""
    result: dict[str, Any] = {}
    for key, value in container.items():
        result.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return result


def _check_keys(node: DictConfig, path: str = "") -> None:
    """Raise `ConfigError` for a key that was added to a node whose part does not know it, and for a changed name."""
    part: Any = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(part):  # nodes by names of a person's choice
        for name in map(str, node):
            if not OmegaConf.is_missing(node, name) and isinstance(inner := node[name], DictConfig):
                _check_keys(inner, f"{path}{name}.")
        return
    if getattr(part, "takes_any_key", False):
        return
    known = part.__dataclass_fields__
    for name in map(str, node):
        if name not in known:
            raise unknown_key(f"{path}{name}")
    if "name" in known and (chosen := node.get("name")) != getattr(part, "name", None):
        raise ConfigError(f"{path}name={chosen}: parts are chosen by their group, {path.rstrip('.')}={chosen}.")
    for name, field in known.items():
        nested = dataclasses.is_dataclass(field.type) or (part is Config and name in (*GROUPS, *LISTS))
        if nested and not OmegaConf.is_missing(node, name) and isinstance(inner := node[name], DictConfig):
            _check_keys(inner, f"{path}{name}.")


def choose_head(head: Head | Auto, encoder: Encoder, may_be_numbers: bool = False) -> Head:
    """The head that was asked for, or the target's natural one, for each target; `ConfigError` if it cannot fit it.

    `may_be_numbers` says whether `data.task` could make numbers of the target's classes.
    """
    heads: list[Any] = [part for part in subclasses(Head) if part is not Loss]
    task = "binary" if encoder.task == "multilabel" else encoder.task  # of each label
    natural = next(part for part in heads if part.tasks[:1] == (task,) and not isabstract(part))
    if isinstance(head, Auto):
        return natural()
    tasks = list(head.tasks)
    if not tasks or not set(tasks) <= set(TASKS):
        wrong = next((task for task in tasks if task not in TASKS), "")
        hint = did_you_mean(wrong, TASKS) if wrong and not isinstance(head.tasks, str) else "."
        raise ConfigError(
            f"head={head.name}: its tasks are {head.tasks!r}; they must be a tuple of {', '.join(TASKS)}, such as "
            f'("{TASKS[0]}",){hint}'
        )
    if task not in head.tasks:
        what = encoder.target_text if encoder.targets or not encoder.classes else f"{len(encoder.classes)} classes"
        or_numbers = " or data.task=regression" if may_be_numbers and "regression" in head.tasks else ""
        raise ConfigError(
            f"head={head.name}: it cannot fit the target {encoder.target_name!r}, which holds {what}; use "
            f"head={natural.name}{or_numbers}."
        )
    return head.for_target(len(encoder.classes))


def build_activation(chosen: Any) -> Activation:
    """The activation of a config's part."""
    return Activation(chosen.name, tuple((k, v) for k, v in values_of(chosen).items() if k != "name"))
