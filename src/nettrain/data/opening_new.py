"""`open_new`: whatever holds new rows for a model, as columns of cells."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nettrain.data.arrays import is_arrays, new_target_arrays, raw_table, read_arrays
from nettrain.data.images import image_table, is_images
from nettrain.data.in_python import new_table
from nettrain.data.joining import open_files
from nettrain.data.opening import open_table
from nettrain.data.raw_table import RawTable
from nettrain.data.read_options import ReadOptions
from nettrain.data.tensor_columns import TensorColumn


def open_new(
    table: Any, options: ReadOptions, tensors: Sequence[TensorColumn], targets: Sequence[str], target: str | None
) -> RawTable:
    """The columns of a table, of arrays, or of a folder of images, for a model of these `tensors` of x.

    Arrays of y are called as the columns `targets`; for images `target` is what their folders mean, None if nothing.
    """
    names = {column.name for column in tensors}
    if not isinstance(table, str | os.PathLike):
        return open_table(new_table(table, names, targets), options)
    path = Path(table).expanduser()
    image = next((column.name for column in tensors if column.image), None)
    if image and is_images(path):
        return image_table(path, str(table), image, target)[0]
    if is_arrays(path):
        arrays = new_target_arrays(read_arrays(path, str(table)), targets)
        return raw_table(arrays, str(table), targets, lambda name, _: name in names)
    return open_files(table, options)
