"""Overrides: what people type or pass, in the form that Hydra reads."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from nettrain.config.explain import nearest_key
from nettrain.config.own_parts import in_folder, load_parts, part_of_target
from nettrain.config.schema import (
    GROUPS,
    LISTS,
    OF_ANY_CLASS,
    config_folder,
    known_keys,
    known_options,
    name_keys,
    text_keys,
)
from nettrain.errors import ConfigError
from nettrain.wording import did_you_mean

_HYDRAS_TEXTS = {"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name"}
_SWEEP_FUNCTIONS = re.compile(r"(choice|glob|sort|shuffle|range|interval|tag)\(.*\)")
_MAPPING = re.compile(r"\{\s*[\w.*%-]+\s*:.*\}", re.DOTALL)
_OF_SWEEPS = ("hydra/sweeper=", "hydra/launcher=", "hydra.sweeper.", "hydra.launcher.", "hydra.sweep.", "search=")
_WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--cfg", "-c")
_OPTIONS = (  # Hydra's, and ours
    *("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun"),
    *("--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun", "--info"),
)
QUOTES = "'\""
SWEEP_FLAGS = ("-m", "--multirun", "hydra.mode=MULTIRUN")


def for_hydra(arguments: Sequence[str]) -> list[str]:
    """The arguments with -m in front, where Hydra takes it, and texts in quotes.

    A key that holds text, such as `data.path`, takes it as it is typed; with -m commas separate several texts. Quotes
    around a text are left alone. Raises `ConfigError` for what Hydra would accept and ignore.
    """
    sweep = any(argument in SWEEP_FLAGS for argument in arguments)
    arguments = _options_first(arguments)
    for argument in arguments:
        _check_form(argument, sweep)
    flags = [argument for argument in arguments if argument in SWEEP_FLAGS[:2]]
    user_folder = config_options(arguments)[0]
    folders = [config_folder(), *([Path(user_folder)] if user_folder else [])]
    rest = [_experiment(argument, folders) for argument in arguments if argument not in flags]
    return [*flags, *(_quoted(argument, sweep) for argument in rest)]


def _options_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with the options and their values in front, as Hydra takes them.

    Raises `ConfigError` for an option that there is not, and for one without its value.
    """
    options: list[str] = []
    overrides: list[str] = []
    wants = ""
    for argument in arguments:
        if wants and argument.startswith("-"):
            raise ConfigError(f"{wants}: it needs a value; write {wants} <value>.")
        if argument.startswith("-"):
            name, equals, _ = argument.partition("=")
            known = not name.startswith("--") or any(option.startswith(name) for option in _OPTIONS)
            if not known and not nearest_key(name.lstrip("-"), known_keys()):
                raise ConfigError(f"{name}: there is no such option{did_you_mean(name, _OPTIONS)}")
            options.append(argument)
            wants = name if name in _WITH_VALUE and not equals else ""
        elif wants or (options[-1:] in (["--info"], ["-i"]) and "=" not in argument and not overrides):
            options.append(argument)
            wants = ""
        else:
            overrides.append(argument)
    if wants:
        raise ConfigError(f"{wants}: it needs a value; write {wants} <value>.")
    return [*options, *overrides]


def _check_form(argument: str, sweep: bool) -> None:
    name, equals, value = argument.lstrip("-").partition("=")
    if argument.startswith("--") and (key := nearest_key(name, known_keys())) and (equals or key == name):
        raise ConfigError(f"{argument}: keys have no dashes; write {key}={value or '<value>'}.")
    if not sweep and argument.startswith(_OF_SWEEPS):
        raise ConfigError(f"{argument}: this is for sweeps; add -m.")
    if sweep and argument.startswith("hydra.run.dir="):
        raise ConfigError(f"{argument}: a sweep writes into another folder, hydra.sweep.dir={value}.")


def _quoted(argument: str, sweep: bool) -> str:
    if argument.startswith("-") or "=" not in argument:
        return argument
    key, _, value = argument.partition("=")
    name = key.lstrip("+")
    for of_names in name_keys():
        inner = name.removeprefix(f"{of_names}.")
        if inner != name and coded(inner) != inner:
            return f"{of_names}={{{coded(inner)}:{value}}}"
        if name == of_names and value[:1] == "{" and value[-1:] == "}":
            return f"{key}={{{','.join(_coded_pair(pair) for pair in _split(value[1:-1]))}}}"
    texts = list(_split(value)) if sweep else [value]
    if name in _HYDRAS_TEXTS or text_keys().get(name) is str:
        return f"{key}={','.join(_literal(text, sweep) for text in texts)}"
    if text_keys().get(name) in (list[str], list[Any]):
        mappings = text_keys()[name] == list[Any]
        return f"{key}={','.join(_literal_list(text, sweep, mappings) for text in texts)}"
    plain = value[:1] not in ("'", '"', "[", "{") and not set(",()$") & set(value)
    strange = not value.isascii() or "=" in value or "~" in value
    return f"{key}={_text(value)}" if plain and strange else argument


def _coded_pair(pair: str) -> str:
    name, colon, value = pair.rpartition(":")
    return f"{coded(name.strip().strip(QUOTES))}{colon}{value}" if colon else pair


def coded(name: str) -> str:
    """A name of a person's choice as Hydra takes it for a key: all its bytes as %XX, unless it is a plain word."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    )
    return name if plain else "".join(f"%{byte:02X}" for byte in name.encode())


def _literal(text: str, sweep: bool) -> str:
    """A text in quotes if Hydra would take it for something else; null, and what has quotes, stay as they are."""
    in_quotes = len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]
    if text in ("", "null") or in_quotes or (sweep and _SWEEP_FUNCTIONS.fullmatch(text)):
        return text
    simple = re.fullmatch(r"[A-Za-z0-9_./:-]+", text)
    return text if simple and OverridesParser.create().parse_override(f"key={text}").value() == text else _text(text)


def _literal_list(text: str, sweep: bool, mappings: bool) -> str:
    if text[:1] != "[" or text[-1:] != "]" or text == "[]":
        return text
    elements = (element.strip() for element in _split(text[1:-1]))
    return f"[{','.join(e if mappings and _MAPPING.fullmatch(e) else _literal(e, sweep) for e in elements)}]"


def _split(text: str) -> Iterator[str]:
    """The parts between commas, as far as these are in no quotes and no brackets that are closed again.

    A brace is a bracket where it opens a mapping, as a part or as the value of one.
    """
    start = depth = braces = 0
    quote = ""
    for i, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"" and sign in text[i + 1 :] and not text[start:i].strip("[( "):
            quote = sign
        elif sign in "[(":
            depth += 1
        elif sign in "])":
            depth -= 1
        elif _MAPPING.match(text, i) and text[start:i].rstrip()[-1:] in ("", ":", "{", ","):
            braces, depth = braces + 1, depth + 1
        elif sign == "}" and braces:
            braces, depth = braces - 1, depth - 1
        elif sign == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    yield text[start:]


def _experiment(argument: str, folders: Sequence[Path]) -> str:
    """`experiment=NAME` with the folder that NAME lies in, if that was left out and there is one such name alone."""
    if not (match := re.fullmatch(r"(\+?experiment=)(\w+)", argument)):
        return argument
    paths = [path for folder in folders for path in (folder / "experiment").rglob(f"{match[2]}.yaml")]
    if len(paths) != 1:
        return argument
    folder = next(folder for folder in folders if folder in paths[0].parents)
    return match[1] + paths[0].relative_to(folder / "experiment").with_suffix("").as_posix()


def is_of_run(folder: str | None, name: str | None) -> bool:
    """Whether --config-dir and --config-name are the config of a run, which may be somebody else's."""
    return folder is not None and Path(folder).name == ".hydra" and (name or "").removesuffix(".yaml") == "config"


def with_own_parts(arguments: Sequence[str]) -> list[str]:
    """Import the parts that `parts=[...]` names, and parts.py in the folder of --config-dir; the overrides with both.

    A class of a part that `<group>._target_` names is chosen by its name.

    Raises as `load_parts` does.
    """
    typed = [argument for argument in arguments if argument.startswith("parts=")]
    listed = [text.strip(" '\"") for argument in typed for text in _split(argument.partition("=")[2].strip("[]"))]
    files = [str(Path(source).expanduser().absolute()) if source.endswith(".py") else source for source in listed]
    folder, name, _ = config_options(arguments)
    sources = [*(in_folder(folder) if not is_of_run(folder, name) else []), *filter(None, files)]
    load_parts(sources)
    rest = [argument for argument in arguments if argument not in typed]
    for i, argument in enumerate(rest):
        match = re.fullmatch(rf"\+*({'|'.join(GROUPS)})\._target_=([\w.]+)", argument)
        if match and (part := part_of_target(match[1], match[2])) is not None:
            rest[i] = f"{match[1]}={part[1]}"
            sources.append(part[0])
    return [*rest, f"parts={_text(sources)}"] if sources else rest


def with_module(overrides: list[str]) -> list[str]:
    """With `model._target_=...` among them, the overrides with model=module, of which it is a key.

    The same for heads, optimizers and schedules, whose parts of any class are called loss and torch.
    """
    for group, part in OF_ANY_CLASS.items():
        named = any(re.match(rf"\+*{group}\._target_=", override) for override in overrides)
        if named and not any(override.startswith(f"{group}=") for override in overrides):
            first = next(i for i, o in enumerate(overrides) if re.match(rf"\+*{group}\.", o))
            overrides = [*overrides[:first], f"{group}={part.name}", *overrides[first:]]  # options may come first
    return overrides


def config_options(arguments: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """Hydra's --config-dir and --config-name, and the arguments without them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", nargs="?")  # what has no value is said later
    parser.add_argument("--config-name", "-cn", nargs="?")
    options, rest = parser.parse_known_args(arguments)
    return options.config_dir, options.config_name, rest


def overrides_of(config: Mapping[str, Any], as_typed: bool = False) -> list[str]:
    """A config as overrides: `{"optimizer": {"name": "adam", "lr": 0.1}}` is optimizer=adam and optimizer.lr=0.1.

    With `as_typed` a text is what somebody would type, such as `"0.1,0.2"`, two values of a sweep.
    """
    overrides = []
    for key, value in config.items():
        if key.partition(".")[0] in LISTS and isinstance(value, Mapping):
            overrides += overrides_of({f"{key}.{name}": inner for name, inner in value.items()}, as_typed)
        elif isinstance(value, Mapping) and key in name_keys():
            overrides.append(f"{key}={{{','.join(f'{coded(str(k))}:{_text(v)}' for k, v in value.items())}}}")
        elif isinstance(value, Mapping) and key not in known_options():  # a group, or keys inside of one
            rest = {f"{key}.{name}": inner for name, inner in value.items() if name != "name"}
            overrides += [f"{key}={value['name']}"] if "name" in value else []
            overrides += overrides_of(rest, as_typed)
        else:
            text = value if as_typed and isinstance(value, str) else _text(value)
            overrides.append(f"{key}={text}")
    return overrides


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        # Hydra takes a backslash for itself, unless it stands before a quote.
        escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), value)
        return f"'{escaped}'"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key_text(key)}:{_text(inner)}" for key, inner in value.items()) + "}"
    return "[" + ",".join(map(_text, value)) + "]" if isinstance(value, list | tuple) else str(value)


def _key_text(key: Any) -> str:
    """A key inside of braces, where Hydra takes no quotes."""
    return re.sub(r"([\\()\[\]{}:=,\s])", r"\\\1", str(key))
