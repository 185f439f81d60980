"""The files of runs whose folder a worker cannot see travel; at any moment they are what a crash could have left."""

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from nettrain.storage.atomic import replace_file
from nettrain.storage.temporary import MARK

Files = dict[str, bytes]
SUMMARY, LAST = "summary.json", "checkpoints/last.pt"
POLL = 1.0  # seconds between two looks at whether checkpoints have been saved


def read_files(folder: Path) -> Files:
    """All files of a run that may be training: none is older than what another one needs of it.

    A run writes its records before its checkpoint, and that before its summary; so they are read the other way round.
    """
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    names = [name for name in names if MARK not in name]
    first = [name for name in (SUMMARY, LAST) if name in names]
    files: Files = {}
    for name in [*first, *(name for name in names if name not in first)]:
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError:  # replaced by its successor, or removed
            continue
    return files


def write_files(folder: Path, files: Files, whole: bool = False) -> None:
    """Write the files of a run, its summary last; what else there is goes if these are the `whole` run.

    Raises `StorageError` where that cannot be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if whole:
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            if path.relative_to(folder).as_posix() not in files and MARK not in path.name:
                path.unlink()
    last = [name for name in (LAST, SUMMARY) if name in files]
    for name in [*(name for name in files if name not in last), *last]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, files[name])


class Mirror:
    """Sends the files of runs whenever their checkpoints have been saved, until it is closed."""

    def __init__(self, folders: dict[int, Path], send: Callable[[dict[int, Files]], None]) -> None:
        self.folders, self.send = folders, send
        self.ended = threading.Event()
        self.seen = self._saved()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _saved(self) -> dict[int, int]:
        """When the checkpoints were saved."""
        paths = {number: folder / LAST for number, folder in self.folders.items()}
        return {number: path.stat().st_mtime_ns for number, path in paths.items() if path.exists()}

    def _watch(self) -> None:
        while not self.ended.wait(POLL):
            saved = self._saved()
            if saved == self.seen or self.ended.wait(POLL):  # rows are saved one after another
                continue
            changed = [number for number, when in self._saved().items() if when != self.seen.get(number)]
            self.seen = self._saved()
            self.send({number: read_files(self.folders[number]) for number in changed})

    def close(self) -> None:
        """Send nothing any more."""
        self.ended.set()
        self.thread.join()


def copy_log(log: Path, folders: Sequence[Path]) -> None:
    """Leave the log of a stack in the folders of all its runs."""
    for folder in folders:
        if folder.is_dir() and folder != log.parent and log.exists():
            shutil.copyfile(log, folder / log.name)
