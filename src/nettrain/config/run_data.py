"""The data of a run, of which each member may have validation rows of its own."""

from collections.abc import Callable
from typing import Any

from nettrain import data
from nettrain.config.schema import Config
from nettrain.data import Data
from nettrain.data.members import with_members
from nettrain.errors import Mistake

Load = Callable[[Any, int, Any], Data]


def load_data(config: Config, load: Load | None = None) -> Data:
    """Load, split and encode the data of this run; `load(dataset, seed, split)` is by default `nettrain.data.load`."""
    split = config.split.of_folds(config.folds) if config.folds else config.split
    try:
        loaded = (load or data.load)(config.data, config.seed, split)
    except Mistake as mistake:
        if config.folds:  # nobody has typed the split that stands for them
            mistake.args = (str(mistake).replace("split.folds=", "folds=").replace("split=fold ", "folds "),)
        raise
    return with_members(loaded, config.data, split, config.seed, config.member_count, folds=bool(config.folds))
