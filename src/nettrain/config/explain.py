"""What went wrong, in one sentence: while Hydra composed a config, it names the key and what would do."""

import difflib
import re
from collections.abc import Iterable

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from nettrain.config.schema import GROUPS, LISTS, known_keys, nameless, parts, text_keys
from nettrain.errors import ConfigError
from nettrain.registry import no_name
from nettrain.wording import joined

_OTHER_NAMES = {"batch_size": "bs", "learning_rate": "optimizer.lr", "num_epochs": "epochs", "max_epochs": "epochs"}


def nearest_key(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to a mistyped one, comparing last parts too; None if none is near."""
    known = list(known)
    if word in known:
        return word
    end = word.rpartition(".")[2]
    by_end = {key.rpartition(".")[2]: key for key in reversed(known)}
    match = [_OTHER_NAMES[end]] if end in _OTHER_NAMES else difflib.get_close_matches(word, known, 1, 0.75)
    if not match:
        match = [by_end[name] for name in difflib.get_close_matches(end, by_end, 1, 0.8)]
    return match[0] if match else None


def _hint(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the known word nearest to a mistyped one; else a full stop."""
    match = nearest_key(word, known)
    return f"; did you mean {match}?" if match else "."


def unknown_key(key: str) -> ConfigError:
    """The sentence for a key that the chosen parts do not have."""
    known, (group, inside, _) = known_keys(), key.partition(".")
    if known.get(key):
        return ConfigError(f"{key} exists only for {group}={joined(known[key])}.")
    hint = _hint(key, known)
    if inside and group in GROUPS and hint in (".", f"; did you mean {group}?"):
        hint = f"; --help {group}=<name> lists those that there are."
    return ConfigError(f"{key}: there is no such key{hint}")


def no_such_part(group: str, name: str, known: Iterable[str]) -> ConfigError:
    """The sentence for a name that no part of the group has."""
    known, hint = list(known), _hint(name, known)
    called_so = [part for part in nameless(group) if part.__name__.lower() == name.replace("_", "").lower()]
    if called_so:
        hint = f"; {no_name(called_so[-1])}"
    elif hint == "." and group in (*GROUPS, *LISTS):
        hint = "; parts of your own are found in parts.py in the folder of --config-dir, and by parts=[<module>]."
    choices = f"; choose from {', '.join(known)}" if known else ""
    one = {"callbacks": "callback", "debug": "preset"}.get(group, group)
    return ConfigError(f"{group}={name}: there is no such {one}{choices}{hint}")


def explain(error: HydraException | OmegaConfBaseException, for_sweeps: str = "-m") -> ConfigError:
    """The sentence for an error of Hydra's or OmegaConf's; `for_sweeps` is what trains several runs."""
    cause, setter, where = error, "", None
    if isinstance(error, ConfigCompositionException):
        cause = error.__cause__ or error.__context__ or error
        where = re.match("In '((?:experiment|recipe)/.*?)': ", str(error))
        setter = f"{where[1]}.yaml: " if where else ""
    if isinstance(error, OverrideParseException):
        return ConfigError(f"{error.override}: {_unreadable(error.override)}")
    if isinstance(error, MissingConfigException) and str(error.missing_cfg_file).startswith(LISTS):
        group, _, name = str(error.missing_cfg_file).partition("/")
        return no_such_part(group, name, error.options or parts(group))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is None:
        return ConfigError(f"--config-name={error.missing_cfg_file}: there is no such config.")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = error.options or ()
        return no_such_part(group, name, options)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and where and cause.key == "experiment":
        return ConfigError(f"{setter}{_NO_PACKAGE}")
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return ConfigError(f"{setter}{unknown_key(cause.full_key or str(cause.key))}")
    if isinstance(cause, ValidationError) and cause.full_key:
        return ConfigError(_wrong_type(cause))
    text = re.sub(r"\s*\n\s*", " ", str(error) or str(cause)).strip()
    for pattern, sentence in _HYDRA:
        if match := re.search(pattern, text):
            return ConfigError(match.expand(sentence.replace("-m", for_sweeps)))
    return ConfigError(text)


def _unreadable(override: str) -> str:
    """What Hydra's grammar may want of an override that it cannot read."""
    key, _, value = override.partition("=")
    if key.lstrip("+") == "groups":
        return (
            "it cannot be read; write it in quotes, as the shell takes braces for its own, such as "
            "'groups={*.bias:{weight_decay:0},layers.0.*:{lr:0.1}}', and in patterns a backslash before each of "
            "()[]{}:=, and spaces."
        )
    pairs = (("(", ")"), ("[", "]"), ("{", "}"))
    if any(value.count(left) != value.count(right) for left, right in pairs) or value.count("'") % 2:
        return "it cannot be read: its brackets or its quotes are not closed; in a shell the whole is put into quotes."
    return "this is not a valid override; write key=value."


_NO_PACKAGE = "its first line must be '# @package _global_'; without it, its keys are not those of the run."

# What Hydra and OmegaConf say of rare mistakes, and the sentence instead.
_HYDRA = [
    (
        r"Error merging override (~\S+)",
        r"\1: keys cannot be deleted; leave it unset to get the default.",
    ),
    (r"Error merging override (([\w.]+)=.*)", r"\1: the value does not fit \2."),
    (r"Could not delete from config. '(.*?)' does not exist", r"~\1: there is no such key."),
    (r"Could not append to config.*Either remove \+ prefix: '((.*?)=.*?)'", r"+\1: \2 already exists; use \1."),
    (
        r"Sweep parameters? '(.*)' requires --multirun",
        r"\1: several values are a sweep, which needs -m.",
    ),
    (
        r"Ambiguous value for argument '(([\w./]+)=(.*?))'",
        r"\1: several values are a sweep, which needs -m; write a list as \2=[\3].",
    ),
    (r"Additional config directory '(.*)' not found", r"--config-dir=\1: there is no such folder."),
    (
        r"^(?:token recognition|mismatched|extraneous|missing|no viable).* full_key: (\S+)",
        r"\1: its interpolation ${...} cannot be read.",
    ),
    (r"Interpolation key '(.*?)' not found full_key: (\S+)", r"\2: there is no key \1 to take its value from."),
    (r'raised while resolving interpolation: "(.*?)" full_key: (\S+)', r"\2: \1."),
    (
        r"In '(experiment/.*?)': (Could not override|Invalid Defaults List override .* for) '[\w./]+@experiment\.",
        rf"\1.yaml: {_NO_PACKAGE}",
    ),
    (r"Could not override '([\w./]+@\S*?)'", r"\1: there is no such group."),
    (r"In 'schema/(\w+)/.*is not a subclass of", r"\1: it takes a name, \1=<name>."),
]


_TYPES = {"Integer": "an integer", "Float": "a number", "Boolean": "true or false", "String": "a text"}


def _wrong_type(error: ValidationError) -> str:
    key, text = error.full_key, str(error).splitlines()[0]
    if match := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", text):
        bounds = re.fullmatch(r"(-?\d+)(?:\.\.\.?|:|-)(-?\d+)", match[1])
        sweep = f"; a sweep over a range is -m '{key}=range({bounds[1]},{int(bounds[2]) + 1})'" if bounds else ""
        return f"{key}={match[1]}: {key} must be {_TYPES.get(match[2], match[2])}{sweep}."
    if match := re.match(r"Value '(.*)' is not a valid bool", text):
        return f"{key}={match[1]}: {key} must be true or false."
    if match := re.match(r"Value '(.*)' of type '\w+' is incompatible with type hint 'Union\[int, str\]'", text):
        return f"{key}={match[1]}: {key} must be a positive integer, or full for the whole training split."
    if "is not Optional" in text:
        return f"{key}=null: {key} must have a value."
    if "is not a subclass of" in text:
        return f"{key}: it is a group of keys; set one of them, {key}.<key>=... (--help lists them)."
    if "is not a ListConfig" in text:
        return f"{key}: it must be a list, such as {key}={'[a,b]' if key in text_keys() else '[64,32]'}."
    return f"{key}: {text[0].lower()}{text[1:].rstrip('.')}."
