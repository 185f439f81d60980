"""The data sets whose samples are no vectors: arrays, images, sequences."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
from omegaconf import MISSING

from nettrain.data.arrays import need_target, raw_table, read_arrays, target_arrays, with_splits
from nettrain.data.bundled import bundled
from nettrain.data.dataset import Dataset
from nettrain.data.files import file_hash
from nettrain.data.images import COLORS, ImageFormat, image_table
from nettrain.data.memory import enough_memory
from nettrain.data.reading import read_table
from nettrain.data.remote import brief_url, is_url
from nettrain.data.several_targets import target_names
from nettrain.data.sources import Tabular
from nettrain.data.splitting import Split, Stratified
from nettrain.data.table import Table
from nettrain.data.target import TASKS
from nettrain.data.tensor_columns import TensorOptions
from nettrain.errors import ConfigError, DataError
from nettrain.registry import option


@dataclass
class DigitsImages(Dataset):
    """1797 handwritten digits as grey images of 8 x 8 bytes, 10 classes (scikit-learn)."""

    name: str = "digits_images"

    def load(self) -> Table:
        table, pixels = _pixels()
        return replace(table, columns={"image": pixels.astype(np.uint8)[:, None]}, source=self.name)


@dataclass
class DigitsRows(Dataset):
    """1797 handwritten digits as sequences: 8 rows of 8 grey values each, read from top to bottom (scikit-learn)."""

    name: str = "digits_rows"

    def load(self) -> Table:
        table, pixels = _pixels()
        return replace(table, columns={"rows": pixels}, source=self.name)


def _pixels() -> tuple[Table, np.ndarray]:
    """The digits as a table, and their grey values (n, 8, 8)."""
    table = bundled("digits")
    return table, np.stack(list(table.columns.values()), axis=1).reshape(-1, 8, 8)


def _require_local(path: str, name: str) -> None:
    """Raise `DataError` for a URL."""
    if is_url(path):
        raise DataError(f"{brief_url(path)}: data={name} reads files of this machine; copy it here first.")


@dataclass
class Npz(TensorOptions, Dataset):
    """Arrays of NumPy's: x, or several by name, and the target y, in an .npz file or a folder of .npy files.

    Arrays x_train, y_train, x_val, ..., x_test bring their splits along.
    """

    name: str = "npz"
    path: str = option(MISSING, "path of the .npz file, or of a folder with x.npy and y.npy", is_path=True)
    target: Any = option("y", "array to predict, (n,), or (n, m) for several targets; or a list of such as are (n,)")
    task: str = option("auto", "kind of target; auto: from its values", choices=TASKS)
    drop: list[str] = option([], "arrays to ignore")

    def load(self) -> Table:
        return self.load_for(Stratified())

    def load_for(self, split: Split) -> Table:
        _require_local(self.path, self.name)
        with enough_memory(self.source):
            arrays = read_arrays(Path(self.path).expanduser(), self.path)
            for name in self.drop:
                if name not in arrays:
                    raise DataError(f"{self.path}: there is no array {name}, which data.drop names.")
            arrays, rows = with_splits({k: v for k, v in arrays.items() if k not in self.drop}, self.path)
            return self._table(arrays, rows, split)

    def _table(self, arrays: dict[str, np.ndarray], rows: dict[str, np.ndarray] | None, split: Split) -> Table:
        targets = target_names(self.target)
        need_target(arrays, targets, self.path)
        arrays, targets = target_arrays(arrays, targets)
        raw = raw_table(arrays, self.path, targets, lambda _, array: bool(self.ids) and array.dtype.kind in "iu")
        least = 1 if rows else split.rows_per_class(self.fractions)
        table = read_table(raw, targets, self.task, rows_per_class=least, split=split, tensors=self)
        return replace(table, splits=rows)

    @property
    def source(self) -> str:
        return self.path

    def file_hash(self, split: Split | None = None) -> str | None:
        return file_hash(self.path)


@dataclass
class Images(Tabular):
    """Images: a folder of them for each class, or a table of their paths and classes; PNG and JPEG.

    Folders train, val and test of such folders bring their splits along.
    """

    name: str = "images"
    path: str = option(
        MISSING, "path of a folder that holds a folder of images for each class, or of a table", is_path=True
    )
    target: Any = option("class", "column of the classes, or of numbers to predict; of folders what they stand for")
    image: str = option("path", "column of the images' paths, which start in the folder of the table")
    size: Optional[list[int]] = option(  # noqa: UP045
        None, "height and width to which images are scaled; null: all have one size", minimum=1
    )
    color: str = option("auto", "whether images are read as grey or as rgb; auto: as they are", choices=COLORS)

    def load(self) -> Table:
        return self.load_for(Stratified())

    def load_for(self, split: Split) -> Table:
        _require_local(self.path, self.name)
        path, format = Path(self.path).expanduser(), {self.image: ImageFormat(self.size, self.color)}
        if not path.is_dir():
            return self.read(self.path, split, format)
        target, *others = target_names(self.target)
        if others:
            raise ConfigError(
                f"data.target={self.target}: folders of images stand for the classes of one target; name a table of "
                "paths and targets with data.path."
            )
        raw, splits = image_table(path, self.path, self.image, target)
        classes = len(set(raw.columns[target].to_pylist()))
        task = self.task if self.task != "auto" else "binary" if classes == 2 else "multiclass"
        return replace(replace(self, task=task).read(raw, split, format), splits=splits)

    @property
    def source(self) -> str:
        return self.path

    def file_hash(self, split: Split | None = None) -> str | None:
        return file_hash(self.path)
