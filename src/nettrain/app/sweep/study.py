"""study.db: the trials of a search that have ended, as Optuna keeps them for its dashboard, and for going on.

What a search needs beside it, it computes anew: a study may have come from somebody else, and Optuna would execute the
states of samplers that it finds there.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nettrain.errors import CheckpointError, StorageError
from nettrain.storage.reading import require_file

NAME = "study.db"
LARGEST = 2**28  # bytes of a study that is read
_BEGUN = "interrupted "  # how earlier versions marked trials that were repeated


def recorded_trials(folder: Path) -> list[Any]:
    """The trials of the study in the folder that have ended, without what samplers have noted; none without a study.

    Raises `CheckpointError` for a file that is no study.
    """
    return [trial for trial in numbered_trials(folder).values() if trial.state.is_finished()]


def numbered_trials(folder: Path) -> dict[int, Any]:
    """The trials of the study in the folder by their numbers there, also those that were begun and have not ended."""
    path = folder / NAME
    if not path.exists():
        return {}
    require_file(path, LARGEST)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            kinds = {kind for (kind,) in connection.execute("SELECT type FROM sqlite_master")}
        if not kinds <= {"table", "index"}:  # a view is computed, perhaps for ever
            raise CheckpointError(f"{path}: it is no study of nettrain's: it holds more than tables.")
        study = _study(path)
        repeated = {name.removeprefix(_BEGUN) for name in study.user_attrs if name.startswith(_BEGUN)}
        trials = [trial for trial in study.get_trials(deepcopy=False) if str(trial.number) not in repeated]
        return {trial.number: _plain(trial) for trial in trials}
    except CheckpointError:
        raise
    except Exception as error:  # what the database and Optuna raise for other people's bytes is of a dozen types
        raise CheckpointError(
            f"{path}: the study is damaged, or not one of nettrain's ({type(error).__name__}); move it away to begin "
            "the search anew with the runs that are there."
        ) from error


def record(folder: Path, trials: Sequence[Any]) -> list[int]:
    """Add trials that have ended, or begun, to the study in the folder, which is made; their numbers there.

    Raises `StorageError` if that cannot be.
    """
    if not trials:
        return []
    with _storage_errors(folder / NAME):
        study = _study(folder / NAME)
        first = len(study.get_trials(deepcopy=False))
        for trial in trials:
            study.add_trial(_plain(trial))  # whole or not at all
    return list(range(first, first + len(trials)))


def record_end(folder: Path, number: int, state: Any, value: float | None) -> None:
    """Record how a trial has ended that was recorded when it began."""
    with _storage_errors(folder / NAME):
        tell(_study(folder / NAME), number, state, value)


def tell(study: Any, number: int, state: Any, value: float | None) -> None:
    """Tell a study how its trial of this number has ended."""
    from optuna.trial import Trial, TrialState

    if state == TrialState.PRUNED and value is not None:
        Trial(study, study.get_trials(deepcopy=False)[number]._trial_id).report(value, step=0)
    study.tell(number, value if state == TrialState.COMPLETE else None, state=state)


def _study(path: Path) -> Any:
    import optuna

    # A URL would read signs such as ? in the path as its own.
    engine = {"creator": lambda: sqlite3.connect(path, check_same_thread=False)}
    storage = optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=engine)
    return optuna.create_study(storage=storage, study_name="nettrain", load_if_exists=True)


def _plain(trial: Any) -> Any:
    """The trial with what it was asked, and what it was told."""
    from optuna.trial import create_trial

    made = create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
    )
    made.datetime_start, made.datetime_complete = trial.datetime_start, trial.datetime_complete
    return made


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Raise `StorageError` for what Optuna raises when a file cannot be written."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, sqlite3.Error):
            cause = getattr(cause, "orig", None) or cause.__cause__
        raise StorageError(f"{path}: it cannot be written: {cause or error}.", everywhere=True) from error
