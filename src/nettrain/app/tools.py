"""The other commands: `nettrain-predict`, `nettrain-evaluate` and `nettrain-compare` for finished runs, and
`nettrain-check` for the exercises of the course."""

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from nettrain.app.listing import entry, paragraph
from nettrain.data.read_options import ReadOptions
from nettrain.errors import ConfigError, Mistake
from nettrain.exercises.course import exercise, overview
from nettrain.figures import process
from nettrain.figures.words import IMAGES
from nettrain.report.write import report_folders
from nettrain.results.comparison import number
from nettrain.results.run_folder import RunFolder
from nettrain.storage.atomic import replace_file
from nettrain.storage.output import write_output
from nettrain.storage.temporary import clear_left
from nettrain.terminal import say, tell

DEFAULT = "predictions.csv"
Setting = tuple[str, str, str]  # a key, what stands for its value, and what it is

_RUN = ("run", "FOLDER", "the folder of a run")
_TABLE = (
    "data.path",
    "TABLE",
    "a table with the columns that the run was trained on, or its URL, or a folder of images, arrays",
)
_QUERIES = [
    ("data.query", "SELECT", "in the place of data.path: a query whose result is the table"),
    ("data.database", "FILE", "the database of the query: a file of DuckDB or SQLite, or postgresql://..."),
]
_STRICT = ("strict", "true", "refuse rows that hold what the training rows had not, instead of saying so")
_READING: list[Setting] = [
    (f"data.{field.name}", "...", f"how the table is read: {field.metadata['help']}; default: as in training")
    for field in fields(ReadOptions)
]
_KEEP = ("keep", "[...]", "columns of the table that are copied in front of the predictions, such as [id]")
_INTERVAL = ("interval", "0.9", "for numbers: add `lower` and `upper`, which hold the true one with this probability")
_ESCAPE = ("escape", "true", "write texts that a spreadsheet takes for formulas behind an apostrophe")
_TRUST = ("trust", "true", "import a model of your own, by the name in the run's config")


def predict() -> None:
    """The command `nettrain-predict`."""
    output = ("output", "FILE", "where to write; default: predictions.csv in the run's folder")
    about = "Writes a CSV file with a row for each row of the table: `prediction`, and for classifiers "
    settings = [_KEEP, _STRICT, _INTERVAL, _ESCAPE, _TRUST, output, *_READING]
    about += "`probability_<class>`; of a run with several members `spread`, how far they differ."
    call(_predict, about, [_RUN], [_TABLE, *_QUERIES, *settings])


def _predict(settings: dict[str, str], folders: list[str]) -> None:
    table, run = _table(settings), RunFolder(settings["run"], _trusted(settings))
    strict, copied, interval = _is_true(settings, "strict"), _names(settings, "keep"), _number(settings, "interval")
    rows, escape = 0, _is_true(settings, "escape")

    def content() -> Iterator[bytes]:
        nonlocal rows
        for part in run.predict_in_parts(table, strict, copied, interval, **_reading(settings)):
            if escape:
                if "prediction" in part:  # several have numbers alone
                    part["prediction"] = part["prediction"].map(_escaped)
                for name in copied:
                    part[name] = part[name].map(_escaped_unless_number)
            yield part.to_csv(index=False, header=not rows).encode()
            rows += len(part)

    output = Path(settings.get("output", run.folder / DEFAULT))
    if "output" not in settings:  # the folder may be somebody else's, and a link there lead out of it
        clear_left(run.folder, DEFAULT)
        replace_file(output, content())
    elif not write_output(output, content()):
        return
    say(f"{rows} predictions in {output}")


def evaluate() -> None:
    """The command `nettrain-evaluate`."""
    table = (*_TABLE[:2], f"{_TABLE[2]}, and the target")
    about = "Prints the loss and the metrics of a run on a table that has the target, too."
    call(_evaluate, about, [_RUN], [table, *_QUERIES, _STRICT, _TRUST, *_READING])


def _evaluate(settings: dict[str, str], folders: list[str]) -> None:
    table, run = _table(settings), RunFolder(settings["run"], _trusted(settings))
    numbers = run.evaluate(table, _is_true(settings, "strict"), **_reading(settings))
    width = max(20, *map(len, numbers))
    for name, value in numbers.items():
        say(f"{name:{width}} {value:.6g}")


def compare() -> None:
    """The command `nettrain-compare`."""
    output = ("output", "FILE", "where to write; default: comparison.html, for a single run report.html in its folder")
    figures = ("figures", "pdf,svg", "write every figure as a file, too, of these formats (png, svg, pdf)")
    about = (
        "Writes one page on some runs and sweeps: the leaderboard, which differences are larger than the noise over "
        "the seeds, every optimizer at its own best learning rate, curves, heat maps, the time to a target, and mean "
        "ranks and performance profiles where there are several data sets. For a single run its own report is written "
        "again. With figures=... the figures are files in a folder beside the page, with all fonts in them."
    )
    call(_compare, about, [], [figures, _TRUST, output], folders=True)


def _compare(settings: dict[str, str], folders: list[str]) -> None:
    if not folders:
        raise ConfigError("nettrain-compare: which runs or sweeps? Give their folders.")
    formats = _names(settings | {"figures": f"[{settings.get('figures', '').strip('[]')}]"}, "figures")
    for format in formats:
        if format not in IMAGES:
            raise ConfigError(
                f"figures={settings['figures']}: {format!r} is no format; choose from {', '.join(IMAGES)}."
            )
    process.start()
    paths = [Path(folder) for folder in folders]
    page, figures = report_folders(paths, settings.get("output"), _trusted(settings), formats)
    say(f"report in {page}")
    if formats:
        say(f"figures in {figures}")


def check() -> None:
    """The command `nettrain-check`."""
    about = (
        "Says whether the answer to an exercise of the course (docs/course) is right, and if not, where to look again: "
        "`nettrain-check counting_updates_1 33 165`. Without arguments it lists the exercises. The exit code is 0 for "
        "a right answer, 1 for a wrong one."
    )
    parser = ArgumentParser(description=about)
    parser.add_argument("exercise", nargs="?", help="its name, such as momentum_1")
    parser.add_argument("answers", nargs="*", help="numbers, a letter, or a Python file")
    # an answer may begin with a minus
    names = parser.parse_args([word for word in sys.argv[1:] if word in ("-h", "--help")] or ["--", *sys.argv[1:]])
    try:
        if names.exercise is None:
            say(overview())
            return
        verdict = exercise(names.exercise).verdict(names.exercise, names.answers)
    except Mistake as mistake:
        tell(mistake)
        sys.exit(mistake.exit_code)
    say(" ".join(["Right." if verdict.right else "Not yet.", verdict.sentence]).rstrip())
    sys.exit(0 if verdict.right else 1)


def call(
    command: Callable[[dict[str, str], list[str]], None],
    about: str,
    needed: list[Setting],
    optional: list[Setting],
    folders: bool = False,
) -> None:
    """Call a command with the settings `key=value` of the command line, and the folders; a mistake ends the process."""
    usage = ["%(prog)s", *(["FOLDER ..."] if folders else []), *(f"{key}={value}" for key, value, _ in needed)]
    shown = [(f"{key}={value}", text) for key, value, text in [*needed, *optional]]
    parser = ArgumentParser(
        usage=" ".join([*usage, "[KEY=VALUE ...]"]),
        description="\n".join([paragraph(about, ""), "", *(entry(name, text, 30) for name, text in shown)]),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("arguments", nargs="*")
    try:
        known = [key for key, _, _ in [*needed, *optional]]
        settings, others = _split(parser.parse_args().arguments, known)
        for argument in () if folders else others:
            raise ConfigError(f"{argument}: known are {', '.join(f'{name}=...' for name in known)}.")
        for key, _, _ in needed:
            if not settings.get(key):
                raise ConfigError(f"{key}: a value is required, {key}=...")
        command(settings, others)
    except Mistake as mistake:
        tell(mistake)
        sys.exit(mistake.exit_code)


def _split(arguments: list[str], known: list[str]) -> tuple[dict[str, str], list[str]]:
    """The settings among the arguments, by their keys, and the others."""
    pairs = [argument.partition("=") for argument in arguments]
    settings = {key: value for key, equals, value in pairs if equals and key in known}
    return settings, ["".join(pair) for pair in pairs if not (pair[1] and pair[0] in known)]


def _table(settings: dict[str, str]) -> str | None:
    """The path of the table; None where a query says what it is."""
    path, query = settings.get("data.path"), settings.get("data.query")
    if path and query:
        raise ConfigError(f"data.query={query}: data.path={path} says which table is read, too; leave out one of them.")
    if not path and not query:
        raise ConfigError("data.path: a value is required, data.path=...")
    return path or None


def _is_true(settings: dict[str, str], key: str) -> bool:
    value = settings.get(key, "false").lower()
    if value not in ("true", "false"):
        raise ConfigError(f"{key}={settings[key]}: {key} must be true or false.")
    return value == "true"


def _names(settings: dict[str, str], key: str) -> list[str]:
    """The names in a setting, `[a, b]` or a single one: texts, whatever they look like."""
    try:
        names = yaml.load(settings.get(key, "[]"), Loader=yaml.BaseLoader)  # which makes texts of all values
    except yaml.YAMLError:
        names = None
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{key}={settings[key]}: it must be a list of column names, such as {key}=[id].")
    return names


def _number(settings: dict[str, str], key: str) -> float | None:
    try:
        return float(settings[key]) if key in settings else None
    except ValueError:
        raise ConfigError(f"{key}={settings[key]}: {key} must be a number.") from None


def _reading(settings: dict[str, str]) -> dict[str, Any]:
    """The options of reading among the settings; `data.missing` is a list as in YAML."""
    known = [*_QUERIES, *_READING]
    options: dict[str, Any] = {key.removeprefix("data."): settings[key] for key, _, _ in known if key in settings}
    if "missing" in options:
        try:
            options["missing"] = yaml.safe_load(options["missing"])
        except yaml.YAMLError:
            sentence = "it must be a list, such as data.missing=['.']"
            raise ConfigError(f"data.missing={options['missing']}: {sentence}.") from None
    return options


def _escaped(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula, behind an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell


def _escaped_unless_number(cell: Any) -> Any:
    return _escaped(cell) if isinstance(cell, str) and isinstance(number(cell), str) else cell


def _trusted(settings: dict[str, str]) -> bool:
    """Whether a user's own modules may be imported for `model._target_`; they are then found."""
    trust = _is_true(settings, "trust")
    if trust:
        sys.path.append(os.getcwd())
    return trust
