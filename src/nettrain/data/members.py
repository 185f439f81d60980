"""The data of a run of several members: each has its own validation rows, all have the test rows and the encoder."""

from dataclasses import replace

import numpy as np

from nettrain.data.encoded_numbers import Piecewise
from nettrain.data.loading import Data, encode, of_members
from nettrain.data.sources import Dataset
from nettrain.data.splitting import Fold, Partition, Split
from nettrain.errors import ConfigError
from nettrain.random import member_seed


def with_members(data: Data, dataset: Dataset, split: Split, seed: int, members: int, folds: bool) -> Data:
    """The data of a run with so many members, for which `data` have been loaded with this `split`; as they are for one.

    Member 0 has the splits of `data`. Each other one has validation rows of its own, drawn from those that do not test,
    or with `folds` the next fold; all share those that the split gives. The encoder is fitted once, on the rows on
    which any member trains. Raises `ConfigError` for a table that is read in parts, and for what an encoder would learn
    of the targets on which members are validated.
    """
    if members == 1 or data.members:
        return data
    key = "folds" if folds else "members"
    if dataset.binning == "tree" and any(isinstance(column, Piecewise) for column in data.encoder.columns):
        raise ConfigError(
            f"{key}={members}: data.binning=tree looks at the targets of all rows on which a member trains, and others "
            "validate there; use data.binning=quantile."
        )
    if data.streamed:
        raise ConfigError(
            f"{key}={members}: the table is read in parts, and each member has rows of its own; use data.stream=false."
        )
    partitions = _partitions(data, dataset, split, seed, members, folds)
    whole = of_members(data, [partition.rows for partition in partitions])
    if len(whole.splits["train"]) == len(data.splits["train"]):
        return whole
    return of_members(encode(dataset, data.table, seed, split, whole.splits), whole.members)


def _partitions(data: Data, dataset: Dataset, split: Split, seed: int, members: int, folds: bool) -> list[Partition]:
    table, first = data.table, Partition(data.splits, data.given)
    split_seed = seed if dataset.split_seed is None else dataset.split_seed
    if folds:
        assert isinstance(split, Fold)
        numbered = (replace(split, fold=fold) for fold in range(members))
        return [fold.partition(table, dataset.fractions, split_seed) for fold in numbered]
    return [first, *(split.redrawn(table, first, member_seed(split_seed, i)) for i in range(1, members))]


def validates(data: Data, rows: np.ndarray) -> np.ndarray:
    """Whether each of the rows, (n,), is one on which a member is validated: (K, n) for K members."""
    return np.stack([np.isin(rows, splits["val"]) for splits in data.members])
