"""Data sets: loaded as tables, split into training, validation and test rows, encoded as numbers for a network."""

from nettrain.data.encoding import Encoder
from nettrain.data.loading import Data, encode, load
from nettrain.data.sources import Dataset
from nettrain.data.table import Table

__all__ = ["Data", "Dataset", "Encoder", "Table", "encode", "load"]
