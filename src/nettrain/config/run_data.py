"""The data of a run, of which each member may have validation rows of its own."""

from collections.abc import Callable
from typing import Any

from nettrain import data
from nettrain.config.schema import Config
from nettrain.data import Data
from nettrain.data.members import with_members
from nettrain.data.splitting import Split
from nettrain.errors import Mistake

Load = Callable[[Any, int, Any], Data]


def load_data(config: Config, load: Load | None = None, most: int | None = None) -> Data:
    """Load, split and encode the data of this run; `load(dataset, seed, split)` is by default `nettrain.data.load`.

    They are those of at most so many of its members, by default of all.
    """
    try:
        loaded = (load or data.load)(config.data, config.seed, _split(config))
    except Mistake as mistake:
        if config.folds:  # nobody has typed the split that stands for them
            mistake.args = (str(mistake).replace("split.folds=", "folds=").replace("split=fold ", "folds "),)
        raise
    return add_members(config, loaded, most)


def add_members(config: Config, loaded: Data, most: int | None = None) -> Data:
    """Data of `load_data` with all members, or at most so many."""
    folds, count = bool(config.folds), config.member_count
    return with_members(loaded, config.data, _split(config), config.seed, count, folds, most)


def _split(config: Config) -> Split:
    split: Split = config.split
    return split.of_folds(config.folds) if config.folds else split
