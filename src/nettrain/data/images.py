"""Images: a folder of them for each class, or paths in a column of a table, as one array of bytes."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.files import check_size
from nettrain.data.findings import Finding
from nettrain.data.raw_table import SPLITS, RawTable
from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import quoted
from nettrain.errors import ConfigError, DataError
from nettrain.registry import option

SUFFIXES = (".png", ".jpg", ".jpeg")
COLORS = ("auto", "grey", "rgb")
_LITTER = ("Thumbs.db", "desktop.ini")  # what file managers leave in folders
_MODES = {"L": "L", "1": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}


@dataclass
class ImageFormat:
    """How images are read."""

    size: Optional[list[int]] = option(  # noqa: UP045
        None, "height and width to which images are scaled; null: all have one size", minimum=1
    )
    color: str = option("auto", "whether images are read as grey or as rgb; auto: as they are", choices=COLORS)


def is_images(path: Path) -> bool:
    """Whether an image lies at a path, or a folder that may hold some."""
    return path.suffix.lower() in SUFFIXES or path.is_dir()


def image_table(path: Path, source: str, image: str, target: str | None) -> tuple[RawTable, dict[str, Any] | None]:
    """The images in a folder as a table with their paths in the column `image`; and the rows of its splits.

    With a `target` it is the name of the subfolder that an image lies in, at whatever depth. Subfolders train, val and
    test of such folders are splits. Raises `DataError` for a file that is no image, and for an empty folder.
    """
    if path.is_file():
        return _table(source, path.parent, image, target, [path], [path.parent.name]), None
    inner = sorted(folder for folder in _visible(path, source) if folder.is_dir())
    names = [folder.name for folder in inner]
    if target is None or not ("train" in names and set(names) <= set(SPLITS)):
        files, classes = _images(path, source, target)
        return _table(source, path, image, target, files, classes), None
    files, classes, rows = [], [], {}
    for split in SPLITS:
        found = _images(path / split, f"{source}/{split}", target) if split in names else ([], [])
        rows[split] = np.arange(len(files), len(files) + len(found[0]))
        files += found[0]
        classes += found[1]
    return _table(source, path, image, target, files, classes), rows


def _table(
    source: str, folder: Path, image: str, target: str | None, files: list[Path], classes: list[str]
) -> RawTable:
    import pyarrow as pa

    columns = {image: pa.chunked_array([pa.array([str(file.relative_to(folder)) for file in files])])}
    if target is not None:
        columns[target] = pa.chunked_array([pa.array(classes)])
    return RawTable(source, columns, options=ReadOptions(missing=[]), folder=folder)


def _images(folder: Path, source: str, target: str | None) -> tuple[list[Path], list[str]]:
    """The images in a folder, and for each the class that it belongs to."""
    if target is None:
        files = list(_all_images(folder, source))
        if not files:
            raise DataError(f"{source}: there is no image in this folder (.png, .jpg or .jpeg).")
        return files, []
    files, classes = [], []
    for inner in sorted(_visible(folder, source)):
        if not inner.is_dir():
            raise DataError(
                f"{inner}: this lies in no folder of a class; put each image into a folder with the name of its class, "
                "or name a table of paths and classes as data.path."
            )
        found = list(_all_images(inner, str(inner)))
        if not found:
            raise DataError(f"{inner}: there is no image of this class (.png, .jpg or .jpeg); delete the folder.")
        files += found
        classes += [inner.name] * len(found)
    if not files:
        raise DataError(f"{source}: the folder is empty; it needs a folder of images for each class.")
    return files, classes


def _visible(folder: Path, source: str) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _LITTER]
    except OSError as error:
        raise DataError(f"{source}: the folder cannot be read: {error.strerror}.") from None


def _all_images(folder: Path, source: str) -> Iterable[Path]:
    for path in sorted(_visible(folder, source)):
        if path.is_dir():
            yield from _all_images(path, str(path))
        elif path.suffix.lower() in SUFFIXES:
            yield path
        else:
            raise DataError(f"{path}: this is no image that is read (.png, .jpg or .jpeg); delete or convert it.")


def load_images(
    column: Column, format: ImageFormat, shape: tuple[int, ...] | None = None
) -> tuple[np.ndarray, list[Finding]]:
    """The images (n, channels, height, width) whose paths a column holds, uint8; and what training images had not.

    They must have one size and be all grey or all in colour, unless the `format` or the `shape` of the training says
    to which they are converted. Raises `DataError` that names the image, and row, which is missing, damaged or unlike.
    """
    files = []
    for row, text in enumerate(column.raw.columns[column.name].to_pylist()):
        if not isinstance(text, str) or not text.strip():
            raise column.mistake(row, "the path of the image is missing.")
        files.append(column.raw.folder / os.path.expanduser(text.strip()))
    if format.size is not None and len(format.size) != 2:
        raise ConfigError(f"data.size={format.size}: it must be [height,width].")
    with _opened(column, 0, files[0]) as one:
        height, width = format.size or (shape and shape[1:]) or (one.height, one.width)
        mode = _mode(column, 0, files[0], one)
    wanted = {"grey": "L", "rgb": "RGB"}.get(format.color) or mode
    if shape is not None:
        wanted = "L" if shape[0] == 1 else "RGB"
    channels = 1 if wanted == "L" else 3
    check_size(len(files) * channels * height * width, column.raw.source)
    images = np.empty((len(files), height, width, channels), dtype=np.uint8)
    strict = format.color == "auto" and shape is None
    recolored = np.zeros(len(files), dtype=bool)

    def load(row: int) -> None:
        with _opened(column, row, files[row]) as image:
            keep(row, image)

    def keep(row: int, image: Any) -> None:
        mode = _mode(column, row, files[row], image)
        if mode != wanted and strict:
            words = {"L": "grey", "RGB": "in colour"}
            raise column.mistake(
                row,
                f"{files[row]} is {words[mode]}, where the first image is {words[wanted]}; data.color=grey or "
                "data.color=rgb makes them alike.",
            )
        recolored[row] = mode != wanted
        if format.size is None and (image.height, image.width) != (height, width):
            before = "the model was trained with" if shape else "the first one has"
            raise column.mistake(
                row,
                f"{files[row]} has {image.width} x {image.height} pixels, and {before} {width} x {height}"
                + ("." if shape else f"; data.size=[{height},{width}] scales them all."),
            )
        try:
            image = image.convert("RGB" if image.mode == "P" else image.mode).convert(wanted)
            if (image.height, image.width) != (height, width):
                image = image.resize((width, height))
            images[row] = np.asarray(image).reshape(height, width, channels)
        except (OSError, SyntaxError, ValueError) as error:
            raise _damaged(column, row, files[row]) from error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(load, range(len(files))):
            pass
    found = []
    if shape is not None and recolored.any():
        row = int(recolored.argmax())
        was = "grey" if wanted == "L" else "in colour"
        what, example = f"not {was}, as those of the training", f", such as {files[row]}"
        count = int(recolored.sum())
        found.append(Finding(f"column {quoted(column.name)}", what, count, len(files), example, "image"))
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), found


def _opened(column: Column, row: int, file: Path) -> Any:
    from PIL import Image

    if file.suffix.lower() not in SUFFIXES:
        raise column.mistake(row, f"{file} is no image that is read (.png, .jpg or .jpeg).")
    try:
        return Image.open(file, formats=("PNG", "JPEG"))
    except FileNotFoundError:
        raise column.mistake(row, f"there is no image {file}; correct the path.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise _damaged(column, row, file) from None


def _mode(column: Column, row: int, file: Path, image: Any) -> str:
    """Grey, "L", or "RGB"; `DataError` for pixels of another depth than 8 bits."""
    if image.mode not in _MODES:
        raise column.mistake(row, f"{file} has pixels of the kind {image.mode}; images of 8 bits a channel are read.")
    return _MODES[image.mode]


def _damaged(column: Column, row: int, file: Path) -> DataError:
    return column.mistake(row, f"{file} is no PNG or JPEG image, or a damaged one; make it again, or leave it out.")
