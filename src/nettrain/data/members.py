"""The data of a run of several members: each has its own validation rows, all have the test rows and the encoder."""

from dataclasses import replace

import numpy as np

from nettrain.data.dataset import Dataset
from nettrain.data.encoded_numbers import Piecewise
from nettrain.data.loading import Data, encode, of_members
from nettrain.data.splitting import Fold, Partition, Split
from nettrain.errors import ConfigError
from nettrain.random import member_seed


def with_members(
    data: Data, dataset: Dataset, split: Split, seed: int, members: int, folds: bool, most: int | None = None
) -> Data:
    """The data of a run with so many members, for which `data` have been loaded with this `split`.

    `data` may be those of one, or have some of the members already; of those that they have not no more are added than
    make `most`. Member 0 has the splits of `data`. Each other one has validation rows of its own, drawn from those that
    do not test, or with `folds` the next fold; all share those that the split gives. The encoder is fitted once, on the
    rows on which any member trains. Raises `ConfigError` for a table that is read in parts, and for what an encoder
    would learn of the targets on which members are validated.
    """
    there, count = data.members or (data.splits,), members if most is None else min(members, most)
    if len(there) >= count:
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
    split_seed = seed if dataset.split_seed is None else dataset.split_seed

    def drawn(member: int) -> Partition:
        if folds:
            assert isinstance(split, Fold)
            return replace(split, fold=member).partition(data.table, dataset.fractions, split_seed)
        return split.redrawn(data.table, Partition(there[0], data.given), member_seed(split_seed, member))

    whole = of_members(data, [*there, *(drawn(member).rows for member in range(len(there), count))])
    if len(whole.splits["train"]) == len(data.splits["train"]):
        return whole
    encoded = encode(dataset, data.table, seed, split, whole.splits)
    return of_members(replace(encoded, given=data.given), whole.members)


def validates(data: Data, rows: np.ndarray) -> np.ndarray:
    """Whether each of the rows, (n,), is one on which a member is validated: (K, n) for K members."""
    return np.stack([np.isin(rows, splits["val"]) for splits in data.members])
