"""`load`: from a data set's config to the data that a run trains on, in memory or read in parts."""

from nettrain.data.dataset import Dataset
from nettrain.data.loading import Data, encode
from nettrain.data.sources import Csv
from nettrain.data.splitting import Split, Stratified


def load(dataset: Dataset, seed: int, split: Split | None = None) -> Data:
    """Load, split (by default stratified) and encode; `dataset.split_seed`, or else the run's `seed`, draws the split.

    Raises `DataError` or `ConfigError` for a table or a split that cannot be used.
    """
    split = split or Stratified()
    if isinstance(dataset, Csv) and dataset.streamed(split):
        from nettrain.data.streaming import load_stream  # which needs torch

        return load_stream(dataset, dataset.path, seed, split)
    return encode(dataset, dataset.load_for(split), seed, split)
