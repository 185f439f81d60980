"""`nettrain.train`: what the command line does, as a function."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from nettrain.app.jobs.folder import discard, hydra_settings, note_missing
from nettrain.app.jobs.job import train_run
from nettrain.config.explain import explain
from nettrain.config.overrides import overrides_of, with_module
from nettrain.config.schema import config_folder, known_keys, register
from nettrain.errors import Mistake
from nettrain.results.run_folder import Run


def train(config: Sequence[str] | Mapping[str, Any] = (), folder: str | Path | None = None) -> Run:
    """Train one run and return it.

    `config` are overrides as on the command line, `["optimizer=adam", "bs=8"]`, or a mapping,
    `{"optimizer": "adam", "bs": 8, "optimizer.lr": 0.01}`, nested or with dots; another run's `config` is one, too.
    `folder` is where the run writes; by default a new folder in `outputs`.

    Raises a `nettrain.errors.Mistake` where the command line would end with a message, and `KeyboardInterrupt`
    after an interrupted run has been saved. A run that diverges is returned; see its `summary["status"]`.
    """
    register()
    overrides = overrides_of(config) if isinstance(config, Mapping) else list(config)
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("train", with_module(overrides), return_hydra_config=True)
        hydra = composed.hydra
        hydra.overrides.task = overrides
        target = Path(folder if folder is not None else hydra.run.dir)
        note_missing(target)
        hydra.runtime.output_dir = str(target.absolute())
        del composed.hydra
        outcome = train_run(composed, target, hydra_settings(hydra))
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, known_keys()) from error
    except Mistake:
        discard(target)
        raise
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"{outcome.folder}: the run was interrupted; its checkpoint is saved.")
    return Run(outcome.folder, trust=True)
