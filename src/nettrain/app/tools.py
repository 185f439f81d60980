"""What can be done with finished runs: `nettrain-predict`, `nettrain-evaluate` and `nettrain-compare`."""

import os
import sys
from pathlib import Path

from nettrain.errors import ConfigError, Mistake
from nettrain.report.write import report_folders
from nettrain.results.run_folder import Run
from nettrain.storage.files import replace_file

_PREDICT = """usage: nettrain-predict run=FOLDER data.path=TABLE [output=FILE] [trust=true]

Writes a CSV file with a row for each row of the table: `prediction`, and for classifiers `probability_<class>`.
  run         the folder of a run
  data.path   a CSV or Parquet file with the columns that the run was trained on
  output      where to write; default: predictions.csv in the run's folder
  trust       true: import a model of your own, by the name in the run's config"""

_EVALUATE = """usage: nettrain-evaluate run=FOLDER data.path=TABLE [trust=true]

Prints the loss and the metrics of a run on a table that has the target, too.
  run         the folder of a run
  data.path   a CSV or Parquet file with the columns that the run was trained on, and the target
  trust       true: import a model of your own, by the name in the run's config"""


_COMPARE = """usage: nettrain-compare FOLDER ... [output=FILE] [trust=true]

Writes one page on some runs and sweeps: the leaderboard, which differences are larger than the noise over the seeds,
curves, heat maps, the time to a target, and performance profiles where there are several data sets.
  FOLDER      the folder of a run, or of a sweep; for a single run its own report is written again
  output      where to write; default: comparison.html, and report.html in its folder for a single run
  trust       true: import a model that is not nettrain's own, by the name in the run's config"""


def predict() -> None:
    """The command `nettrain-predict`."""
    run, table, given = _start(_PREDICT, ("output",))
    try:
        predictions = run.predict(table)
        output = Path(given.get("output", run.folder / "predictions.csv"))
        replace_file(output, predictions.to_csv(index=False).encode())
    except Mistake as error:
        _fail(error)
    print(f"{len(predictions)} predictions in {output}")


def evaluate() -> None:
    """The command `nettrain-evaluate`."""
    run, table, _ = _start(_EVALUATE, ())
    try:
        numbers = run.evaluate(table)
    except Mistake as error:
        _fail(error)
    for name, value in numbers.items():
        print(f"{name:20} {value:.6g}")


def compare() -> None:
    """The command `nettrain-compare`."""
    if _asks_for_help(_COMPARE):
        return
    try:
        options = [argument for argument in sys.argv[1:] if argument.startswith(("output=", "trust="))]
        folders = [Path(argument) for argument in sys.argv[1:] if argument not in options]
        given = dict(option.split("=", 1) for option in options)
        if not folders:
            raise ConfigError("nettrain-compare: which runs or sweeps? Give their folders.")
        path = report_folders(folders, given.get("output"), _trusted(given))
    except Mistake as error:
        _fail(error)
    print(f"report in {path}")


def _asks_for_help(usage: str) -> bool:
    if not {"--help", "-h"} & set(sys.argv[1:]):
        return False
    print(usage)
    return True


def _trusted(given: dict[str, str]) -> bool:
    """Whether a user's own modules may be imported for `model._target_`; they are then found."""
    trust = given.get("trust", "false").lower() == "true"
    if trust:
        sys.path.append(os.getcwd())
    return trust


def _start(usage: str, more: tuple[str, ...]) -> tuple[Run, str, dict[str, str]]:
    """The run, the table's path and all arguments; ends the process on a mistake in them."""
    if _asks_for_help(usage):
        sys.exit(0)
    try:
        given = _arguments(("run", "data.path", "trust", *more))
        return Run(given["run"], _trusted(given)), given["data.path"], given
    except Mistake as error:
        _fail(error)
        raise


def _arguments(known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for argument in sys.argv[1:]:
        key, equals, value = argument.partition("=")
        if not equals or key not in known:
            raise ConfigError(f"{argument}: known are {', '.join(f'{name}=...' for name in known)}.")
        given[key] = value
    for key in ("run", "data.path"):
        if not given.get(key):
            raise ConfigError(f"{key}: a value has to be given, {key}=...")
    return given


def _fail(error: Mistake) -> None:
    print(f"nettrain: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
