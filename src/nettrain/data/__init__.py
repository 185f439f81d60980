"""Data sets: loaded as tables, split into training, validation and test rows, encoded as numbers for a network."""

from nettrain.data import shipped as _shipped  # noqa: F401  (its classes are parts, the first ones in lists)
from nettrain.data.dataset import Dataset
from nettrain.data.encoding import Encoder
from nettrain.data.load import load
from nettrain.data.loading import Data, encode
from nettrain.data.sql import Sql
from nettrain.data.table import Table
from nettrain.data.tensor_sources import Images, Npz

__all__ = ["Data", "Dataset", "Encoder", "Images", "Npz", "Sql", "Table", "encode", "load"]
