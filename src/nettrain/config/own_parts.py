"""Parts that do not lie in the package: modules and files of a user's own, which are imported and known by name."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from nettrain.config.schema import GROUPS, OF_ANY_CLASS, nameless, parts, register
from nettrain.errors import ConfigError, UserCodeError
from nettrain.parts.activations import ACTIVATIONS
from nettrain.registry import no_name
from nettrain.targets import located

FILE = "parts.py"  # what is looked for in a folder of configs
_PREFIX = "nettrain_parts_"  # of the names of modules that are files, before a hash of the content
_files: dict[str, tuple[str, bytes]] = {}  # the files that were imported: under which names, and their contents
_imported: set[str] = set()


def in_folder(folder: str | Path | None) -> list[str]:
    """The file with parts in a folder of configs, if there is one."""
    path = Path(folder, FILE) if folder is not None else None
    return [str(path.absolute())] if path is not None and path.is_file() else []


def load_parts(sources: Sequence[str]) -> None:
    """Import modules, given by name or as the path of a file, and make the parts in them known.

    A file is imported once for each content. Raises `ConfigError` where there is no such module, and `UserCodeError`
    where its code fails.
    """
    imported = [_load(source) for source in sources]
    if any(imported):
        register()


def part_of_target(group: str, target: str) -> tuple[str, str] | None:
    """The module of a part that is given as `module.Class` or `module.function`, imported, and the part's name.

    None for what is no part of a group that takes any class of torch's kind; that is built when the run is prepared.
    Raises `ConfigError` for what is no part of the others.
    """
    if group == "model":  # any module can be one
        return None
    made = located(target, f"{group}._target_")
    module = target.rpartition(".")[0]
    if module in sys.modules:  # and no class, of which a method is named
        load_parts([module])
    register()
    for name, part in parts(group).items():
        if part is made or ACTIVATIONS.get(name) is made:
            return module, name
    if made in nameless(group):
        raise ConfigError(f"{group}._target_={target}: {no_name(made)}")
    if group in OF_ANY_CLASS:
        return None
    bases = " or ".join(f"{base.__module__}.{base.__name__}" for base in GROUPS[group])
    what = f"a dataclass derived from {bases}" if GROUPS[group] else "a function with @activation above it"
    raise ConfigError(f"{group}._target_={target}: it is no part; {group} takes {what}.")


def copies(sources: Sequence[str]) -> dict[str, bytes]:
    """The files among sources that have been imported, as a run keeps them: names and contents."""
    return {f"{_files[source][0]}.py": _files[source][1] for source in sources if source in _files}


def all_files() -> dict[str, tuple[str, bytes]]:
    """All files that have been imported, by where they were found: the names of their modules, and their contents."""
    return dict(_files)


def import_files(files: dict[str, tuple[str, bytes]], folder: Path) -> None:
    """Import files that another process has imported, as `all_files` gives them there; the folder is for copies."""
    for source, (name, content) in files.items():
        path = folder / f"{name}.py"
        path.write_bytes(content)
        _run(name, source, partial(_import_file, name, path))
        _files[source] = name, content
    register()


def all_copies() -> dict[str, bytes]:
    """All files that have been imported, as `copies` gives them."""
    return copies(list(_files))


def saved_sources(folder: Path, sources: Sequence[str]) -> list[str]:
    """The sources of a run's parts, its own copies in the place of files; `folder` is where its config lies."""
    there = sorted(str(path) for path in folder.glob(f"{_PREFIX}*.py"))
    files = [source for source in sources if source.endswith(".py")]
    return [source for source in sources if source not in files] + ((there or files) if files else [])


def _load(source: str) -> bool:
    """Import a module; whether that had not been done before."""
    if source.endswith(".py"):
        path = Path(source).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"parts={source}: the file cannot be read: {error.strerror}.") from error
        name = _PREFIX + hashlib.sha256(content).hexdigest()[:16]
        new = _run(name, source, lambda: _import_file(name, path))
        _files[source] = name, content  # only now: other processes import what could be imported here
        return new
    try:
        there = source in sys.modules or importlib.util.find_spec(source) is not None
    except (ImportError, ValueError):  # of a package that is not there, or no name of a module
        there = False
    if not there:
        raise ConfigError(f"parts={source}: there is no such module; give its name, as in an import, or a file's path.")
    return _run(source, source, lambda: importlib.import_module(source))


def _run(name: str, source: str, importing: Callable[[], ModuleType]) -> bool:
    if name in _imported and name in sys.modules:
        return False
    try:
        importing()
    except Exception as error:
        raise UserCodeError(f"parts={source}: it cannot be imported", error) from error
    _imported.add(name)
    return True


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up the module in which they are made
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
