"""The Python interface: train a run, and read back what runs and sweeps have left."""

import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from nettrain import figures
from nettrain.app.jobs.folder import discard, hydra_settings, missing
from nettrain.app.jobs.job import train_run
from nettrain.app.jobs.resume import with_resumed_parts
from nettrain.config.compose import compose_beside
from nettrain.config.explain import explain
from nettrain.config.overrides import config_options, for_hydra, overrides_of, with_module, with_own_parts
from nettrain.config.schema import register
from nettrain.data import Data, encode
from nettrain.data.in_python import InPython, from_python
from nettrain.data.sources import Frame
from nettrain.data.splitting import Stratified
from nettrain.errors import CheckpointError, ConfigError, Mistake
from nettrain.report import html
from nettrain.report.pictures import Picture
from nettrain.report.run_figures import find, run_pictures
from nettrain.report.sweep_figures import heat_map, sweep_pictures
from nettrain.results.comparison import union
from nettrain.results.run_folder import RunFolder
from nettrain.results.sweep_folder import SweepFolder
from nettrain.training.device import usual_torch
from nettrain.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(RunFolder):
    """A run's folder, which also draws its figures."""

    @property
    def figures(self) -> list[str]:
        """The names of all figures that can be drawn of the run."""
        return [picture.name for picture in self._pictures[0]]

    def plot(self, name: str = "loss") -> "Figure":
        """The figure of this name, one of `figures`."""
        pictures, missing = self._pictures
        return find(pictures, name, missing).draw()

    @cached_property
    def _pictures(self) -> tuple[list[Picture], list[str]]:
        return run_pictures(self)

    def _repr_html_(self) -> str:
        return html.fragment(html.run_sections(self, brief=True))


class Sweep(SweepFolder):
    """A sweep's folder: its runs as tables, figures and `Run`s."""

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that have ended, by number."""
        return [Run(run.folder, self.trust) for run in self.comparison.runs if run.folder is not None]

    @cached_property
    def best(self) -> Run:
        """The run with the lowest monitored loss of its best epoch.

        Raises `ConfigError` where runs were trained on several problems, whose losses cannot be compared, and
        `CheckpointError` where no run has had an epoch.
        """
        problems = self.comparison.problems
        if len(problems) > 1:
            raise ConfigError(
                f"{self.folder}: its runs were trained on {len(problems)} problems ({listed(problems)}), whose losses "
                "cannot be compared; choose from results and runs."
            )
        best = self.comparison.best
        if best is None or best.folder is None:
            raise CheckpointError(f"{self.folder}: none of its runs has a result: all diverged or failed.")
        return Run(best.folder, self.trust)

    @property
    def figures(self) -> list[str]:
        """The names of all figures that can be drawn."""
        return [picture.name for picture in self._pictures]

    def plot(self, name: str = "curves") -> "Figure":
        """The figure of this name, one of `figures`."""
        return find(self._pictures, name).draw()

    def heat_map(self, x: str, y: str) -> "Figure":
        """The median result over any two keys, such as `optimizer.lr` and `bs`; `ConfigError` for one of no run's."""
        for key in (x, y):
            known = union(run.overrides for run in self.comparison.runs)
            if key not in known:
                raise ConfigError(f"{key}: no run of the sweep sets it; choose from {', '.join(known)}.")
        return figures.heat_map(*heat_map(self.comparison, x, y))

    @cached_property
    def _pictures(self) -> list[Picture]:
        return sweep_pictures(self.comparison)

    def _repr_html_(self) -> str:
        return html.fragment([html.leaderboard_section(self.comparison)])


_training = threading.RLock()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Within it no other thread trains: torch's random numbers, threads and types are those of the whole process."""
    with _training, usual_torch():
        yield


@_one_at_a_time()
def train(
    config: str | Sequence[str] | Mapping[str, Any] = (),
    folder: str | Path | None = None,
    *,
    data: Any = None,
    model: nn.Module | None = None,
    config_dir: str | Path | None = None,
) -> Run:
    """Train one run and return it: what the command line does, as a function.

    `config` are overrides as on the command line, `"optimizer=adam bs=8"` or `["optimizer=adam", "bs=8"]`, or a
    mapping, nested or with dots, `{"optimizer": "adam", "bs": 8, "optimizer.lr": 0.01}`, such as another run's
    `config`. `config_dir` is a folder of your own configs, and of a parts.py.
    `folder` is where the run writes; by default a new folder in `outputs`.
    `data` is what is learnt, in the place of a data set's name: a DataFrame of pandas or polars or a data set of
    Hugging Face's, of which `data.target` names the target; arrays or tensors `(x, y)` of shapes (n, *shape) and (n,),
    of which x may be a dictionary of such arrays, or a `torch.utils.data.Dataset` of such samples; or a dictionary of
    these with the splits train, val and test.
    `model` is a module that gives (n, outputs) for x, a tensor or a dictionary; a copy of it is trained, `Run.model`.

    Raises a `nettrain.errors.Mistake` where the command line would end with a message, and `KeyboardInterrupt`
    after an interrupted run has been saved. A run that diverges is returned; see its `summary["status"]`.
    Calls in several threads train one after another. A program's own Hydra, and what it has set in torch, are left as
    they are.
    """
    register()
    folder_of_configs = [] if config_dir is None else ["--config-dir", str(config_dir)]
    load = _Load(from_python(data)) if data is not None else None
    for chosen in (override for override in _overrides(config) if load and override.startswith("data=")):
        raise ConfigError(f"{chosen}: data were handed over in Python, too; leave out one of the two.")
    typed = [*folder_of_configs, *_overrides(config), *(load.overrides if load else []), *_overrides_of_module(model)]
    _, _, overrides = config_options(for_hydra(with_own_parts(typed)))
    if config_dir is not None:
        overrides.insert(0, f"hydra.searchpath=['file://{Path(config_dir).absolute()}']")
    try:
        composed = compose_beside("train", with_module(with_resumed_parts(overrides)))
        hydra = composed.hydra
        hydra.overrides.task = overrides
        target = Path(folder if folder is not None else hydra.run.dir)
        made = missing(target)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from None  # Hydra's traceback is long and says nothing more
    try:
        hydra.runtime.output_dir = str(target.absolute())
        del composed.hydra
        outcome = train_run(composed, target, hydra_settings(hydra), load, model)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from None  # Hydra's traceback is long and says nothing more
    except Mistake:
        discard(target, made)
        raise
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"{outcome.folder}: the run was interrupted; its checkpoint is saved.")
    return Run(outcome.folder, trust=True, loaded=load.loaded if load else None, module=model)


class _Load:
    """Reads what was handed over in Python, in the place of `nettrain.data.load`, and keeps it as `loaded`."""

    def __init__(self, data: InPython) -> None:
        self.data = data
        self.loaded: Data | None = None

    @property
    def overrides(self) -> list[str]:
        return ["data=frame", *([f"data.target={self.data.target}"] if self.data.target else [])]

    def __call__(self, dataset: Any, seed: int, split: Any) -> Data:
        if not isinstance(dataset, Frame):
            raise ConfigError(f"data={dataset.name}: the run has data of its own; leave out those in Python.")
        if self.data.splits and dataset.drop_missing_target:
            raise ConfigError(
                "data.drop_missing_target=True: the splits that were handed over would lose rows; leave those without "
                "a target out of them."
            )
        if self.data.splits and split != Stratified():
            raise ConfigError(f"split={split.name}: the splits were handed over in Python; leave out split.")
        table = dataset.read(self.data.table(bool(dataset.ids)), split)
        self.loaded = encode(dataset, table, seed, split, self.data.splits)
        return self.loaded


def _overrides_of_module(module: Any) -> list[str]:
    """The overrides that stand for a model of Python's."""
    if module is None:
        return []
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model: found a value of type {type(module).__name__}; it must be a torch.nn.Module.")
    return [f"model._target_={type(module).__module__}.{type(module).__qualname__}"]


def _overrides(config: Any) -> list[str]:
    if isinstance(config, Mapping):
        return overrides_of(config)
    if isinstance(config, str):
        return shlex.split(config)
    if isinstance(config, Sequence) and all(isinstance(override, str) for override in config):
        return list(config)
    raise ConfigError(
        f"config: found a {type(config).__name__}; it must be overrides, such as 'optimizer=adam bs=8', or a mapping."
    )
