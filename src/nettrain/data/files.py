"""From the path of a table to its bytes: found, checked, unpacked."""

import glob
import hashlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

from nettrain.data.remote import downloaded, is_url
from nettrain.data.wording import brief, nearest, place
from nettrain.errors import DataError
from nettrain.wording import counted, listed

CHUNK = 1 << 24  # bytes that are read at a time
TEXT = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data")
EXCEL = (".xlsx", ".xlsm")
PARQUET = (".parquet",)
TABLES = (*TEXT, *PARQUET, *EXCEL)
# By suffix: what packs the file, as messages call it.
PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
_hashes: dict[str, str] = {}  # by URL: of the files that this process has read last
_elsewhere: dict[str, str] = {}  # by path: of tables that another machine has read


def read_file(table: str | os.PathLike[str], source: str) -> tuple[str, bytes]:
    """The suffix that tells a table's format, such as `.csv`, and its bytes, unpacked; `table` is a path or a URL.

    `source` is the path as messages give it. Raises `DataError` where there is no such file, or none that can be read.
    """
    if is_url(str(table)):
        with _downloaded(str(table), source) as copy:
            return read_file(copy, source)
    path = Path(os.path.expanduser(table))
    suffix = _checked_suffix(path, source)
    with _reading(source, PACKED.get(suffix)):
        if suffix == ".zip":
            return _from_zip(path, source)
        if suffix in PACKED:
            inner = Path(path.stem).suffix.lower()
            return inner, _all_of(_unpacking(path, suffix), source, inner in TEXT)
        return suffix, _all_of(path.open("rb"), source, suffix in TEXT, path.stat().st_size)


def parquet_on_disk(table: str | os.PathLike[str], source: str) -> Path | None:
    """The path of a Parquet file, whose bytes need not be in memory beside its columns; None for any other table."""
    path = Path(os.path.expanduser(table))
    return path if not is_url(str(table)) and _checked_suffix(path, source) in PARQUET else None


@contextmanager
def _downloaded(url: str, source: str) -> Iterator[Path]:
    with downloaded(url, lambda size: check_size(size, source)) as copy:
        with copy.open("rb") as content:
            _hashes[url] = hashlib.file_digest(content, "sha256").hexdigest()
        yield copy


def tables_at(path: str) -> list[str]:
    """The files of a table, by name: those of a folder of Parquet files, or of a pattern such as `2024-*.csv`.

    A folder's are in the folders within it, too; what begins with a dot or an underscore is none. Any other path is
    that of a file.
    """
    if is_url(path):
        return [path]
    folder = os.path.expanduser(path)
    if os.path.isdir(folder):
        files = [
            file for suffix in PARQUET for file in glob.glob(f"{glob.escape(folder)}/**/*{suffix}", recursive=True)
        ]
        return sorted(file for file in files if "/_" not in file[len(folder) :]) or [path]
    if glob.has_magic(path) and not os.path.exists(folder):
        found = sorted(file for file in glob.glob(folder, recursive=True) if os.path.isfile(file))
        if not found:
            raise DataError(f"{path}: no file has such a name; correct the pattern.")
        return found
    return [path]


def files_hash(path: str) -> str | None:
    """`file_hash`, of all files of a table."""
    if path in _elsewhere:
        return _elsewhere[path]
    try:
        files = tables_at(path)
    except DataError:
        return None
    hashes = [file_hash(file) for file in files]
    if None in hashes or len(hashes) == 1:
        return hashes[0] if len(hashes) == 1 else None
    return hashlib.sha256("".join(filter(None, hashes)).encode()).hexdigest()


def read_elsewhere(hashes: dict[str, str]) -> None:
    """Take the tables at these paths for what another machine has read there, with these hashes."""
    _elsewhere.update(hashes)


def file_hash(path: str) -> str | None:
    """The SHA-256 of a file's bytes; None if it cannot be read.

    That of a URL is of the bytes that this process has read last, if it has.
    """
    if path in _elsewhere:
        return _elsewhere[path]
    if is_url(path):
        try:
            if path not in _hashes:
                with _downloaded(path, path):
                    pass
        except DataError:
            return None
        return _hashes[path]
    try:
        file = Path(os.path.expanduser(path)).resolve()
        if not file.is_file():  # reading a pipe would wait for whoever writes into it
            return None
        status = file.stat()
        return _file_hash(file, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _file_hash(file: Path, modified: int, size: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _checked_suffix(path: Path, source: str) -> str:
    """The path's suffix; `DataError` unless a regular file with the name of a table is there."""
    try:
        if path.is_dir():
            raise DataError(f"{source}: this is a folder without Parquet files; name the file that holds the table.")
        if path.is_symlink() and not path.exists():
            raise DataError(f"{source}: this is a link that leads nowhere; correct the path.")
        if not path.exists():
            folder = path.parent
            if not folder.is_dir():
                raise DataError(f"{source}: there is no folder {folder}; correct the path.")
            names = [other.name for other in itertools.islice(folder.iterdir(), 1000)]
            raise DataError(f"{source}: there is no such file{nearest(path.name, names)}; correct the path.")
        if not path.is_file():
            raise DataError(f"{source}: this is no file but a pipe or a device; write the table to a file.")
    except OSError as error:
        raise DataError(f"{brief(source)}: the file cannot be read ({error.strerror}).") from None
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower() if suffix in PACKED and suffix != ".zip" else suffix
    if inner not in (*TABLES, ".zip"):
        raise DataError(
            f"{source}: tables are read from files that end in {listed(TABLES)}, also packed "
            f"({listed(PACKED)}); convert or rename it."
        )
    return suffix


@contextmanager
def _reading(source: str, packed: str | None) -> Iterator[None]:
    """What can go wrong while a file is read, as `DataError`."""
    import lzma
    import zlib

    damaged = f"{source}: the file is no {packed} file, or a damaged one; make it again with {packed}."
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise DataError(damaged) from None
    except OSError as error:
        if packed and error.errno is None:
            raise DataError(damaged) from None
        raise DataError(f"{source}: the file cannot be read ({error.strerror or error}).") from None


def _unpacking(path: Path, suffix: str) -> IO[bytes]:
    """The file as a stream of what is packed in it."""
    if suffix == ".gz":
        import gzip

        return cast("IO[bytes]", gzip.open(path))
    if suffix == ".bz2":
        import bz2

        return bz2.open(path)
    if suffix == ".xz":
        import lzma

        return lzma.open(path)
    import pyarrow as pa

    return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))


def _from_zip(path: Path, source: str) -> tuple[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX/" not in name]
        tables = [name for name in names if Path(name).suffix.lower() in TABLES]
        if len(tables) != 1:
            inside = f" ({listed(map(brief, names), 5)})" if names else ""
            raise DataError(
                f"{source}: {counted(len(names), 'file')} in it{inside}, {len(tables)} of them a table; a zip "
                "file must hold one table."
            )
        if archive.getinfo(tables[0]).flag_bits & 1:
            raise DataError(f"{source}: the file is encrypted; unpack it first.")
        inner = Path(tables[0]).suffix.lower()
        return inner, _all_of(archive.open(tables[0]), source, inner in TEXT)


def _all_of(stream: IO[bytes], source: str, is_text: bool, size: int = 0) -> bytes:
    """All bytes of a stream, at least `size` of them as far as is known.

    Raises `DataError` where they are more than can be worked with, and for a text with a line so long that no table
    has it: whoever made the file may have meant to fill the memory.
    """
    content = io.BytesIO()
    check_size(size, source)
    with stream:
        while chunk := stream.read(CHUNK):
            content.write(chunk)
            check_size(content.tell(), source)
            if is_text and len(chunk) == CHUNK and not (b"\n" in chunk or b"\r" in chunk):
                row = content.getvalue().count(b"\n") + 1
                raise DataError(f"{place(source, row)}: the line is longer than {CHUNK >> 20} MiB; this is no table.")
    return content.getvalue()


def check_size(size: int, source: str) -> None:
    """Raise `DataError` for a table of so many bytes that it cannot be worked with in the memory that is free."""
    import psutil

    most = psutil.virtual_memory().available // 2
    if size > most:
        raise DataError(
            f"{source}: the table is larger than {most / 2**30:.3g} GiB, half of the memory that is free; "
            "make one with fewer rows or columns."
        )
