"""The Python interface: train a run, and read back what runs and sweeps have left."""

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
from nettrain.app.arguments import read_arguments, refuse
from nettrain.app.cli import Task
from nettrain.app.jobs.folder import discard, hydra_settings, missing
from nettrain.app.jobs.resume import with_resumed_parts
from nettrain.app.jobs.run import train_run
from nettrain.app.sweep.beside import sweep_beside
from nettrain.config.compose import compose_beside, composing_sweeps
from nettrain.config.explain import explain
from nettrain.config.overrides import overrides_of, with_module
from nettrain.config.received import require_harmless
from nettrain.config.recipes import with_recipe
from nettrain.config.schema import register
from nettrain.errors import CheckpointError, ConfigError, Mistake
from nettrain.parts.callbacks import Callback
from nettrain.preparation.prepare import NOTHING, HandedOver
from nettrain.report import html
from nettrain.report.pictures import Picture
from nettrain.report.run_figures import find, run_pictures
from nettrain.report.sweep_figures import heat_map, sweep_pictures
from nettrain.report.sweep_sections import sweep_sections
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
    """A sweep's folder: its runs as tables, figures and `Run`s; `handed` is what it was given in Python."""

    def __init__(self, folder: str | Path, trust: bool = False, handed: HandedOver = NOTHING) -> None:
        super().__init__(folder, trust)
        self._handed = handed

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that have ended, by number."""
        return [self._run(run.folder) for run in self.comparison.runs if run.folder is not None]

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
        return self._run(best.folder)

    def _run(self, folder: Path) -> Run:
        return Run(folder, self.trust, module=self._handed.module, head=self._handed.head)

    @property
    def figures(self) -> list[str]:
        """The names of all figures that can be drawn."""
        return [picture.name for picture in self._pictures]

    def plot(self, name: str = "curves") -> "Figure":
        """The figure of this name, one of `figures`."""
        return find(self._pictures, name).draw()

    def heat_map(self, x: str, y: str) -> "Figure":
        """The best setting at each pair of values of any two keys, such as `optimizer.lr` and `bs`: its mean result.

        `ConfigError` for a key that no run has.
        """
        for key in (x, y):
            known = union(run.overrides for run in self.comparison.runs)
            if key not in known:
                raise ConfigError(f"{key}: no run of the sweep sets it; choose from {', '.join(known)}.")
        return figures.heat_map(*heat_map(self.comparison, x, y))

    @cached_property
    def _pictures(self) -> list[Picture]:
        return sweep_pictures(self.comparison)

    def _repr_html_(self) -> str:
        return html.fragment(sweep_sections(self.comparison))


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
    head: Any = None,
    callbacks: Sequence[Callback] = (),
    config_dir: str | Path | None = None,
    **others: Any,
) -> Run:
    """Train one run and return it: what the command line does, as a function.

    `config` are overrides as on the command line, `"optimizer=adam bs=8"` or `["optimizer=adam", "bs=8"]`, or a
    mapping, nested or with dots, `{"optimizer": "adam", "bs": 8, "optimizer.lr": 0.01}`, such as another run's
    `config`. `config_dir` is a folder of your own configs, and of a parts.py.
    `folder` is where the run writes; by default a new folder in `outputs`.
    `data` is what is learnt, in the place of a data set's name: a DataFrame of pandas or polars or a data set of
    Hugging Face's, of which `data.target` names the target; arrays or tensors `(x, y)` of shapes (n, *shape) and (n,),
    or (n, m) for m targets, of which x may be a dictionary of such arrays, or a `torch.utils.data.Dataset` of such
    samples; or a dictionary of these with the splits train, val and test.
    `model` is a module that gives (n, outputs) for x, a tensor or a dictionary; a copy of it is trained, `Run.model`.
    `head` is a `nettrain.parts.heads.Head`, or a loss of outputs and targets such as `torch.nn.HuberLoss()` (see
    `nettrain.parts.heads.Loss`).
    `callbacks` are objects of classes derived from `Callback`; they themselves are called, no copies.

    Raises a `nettrain.errors.Mistake` where the command line would end with a message, and `KeyboardInterrupt`
    after an interrupted run has been saved. A run that diverges is returned; see its `summary["status"]`.
    Calls in several threads train one after another. A program's own Hydra, and what it has set in torch, are left as
    they are.
    """
    register()
    refuse("nettrain.train", others)
    overrides, handed = read_arguments(config, data, model, head, config_dir, callbacks)
    try:
        composed = compose_beside("train", with_module(with_resumed_parts(with_recipe(overrides))))
        hydra = composed.hydra
        hydra.overrides.task = overrides
        target = Path(folder if folder is not None else hydra.run.dir)
        made = missing(target)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, "nettrain.sweep") from None  # Hydra's traceback is long and says nothing more
    try:
        hydra.runtime.output_dir = str(target.absolute())
        del composed.hydra
        outcome = train_run(composed, target, hydra_settings(hydra), handed)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from None  # Hydra's traceback is long and says nothing more
    except Mistake:
        discard(target, made)
        raise
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"{outcome.folder}: the run was interrupted; its checkpoint is saved.")
    loaded = getattr(handed.load, "loaded", None)
    return Run(outcome.folder, trust=True, loaded=loaded, module=model, head=handed.head)


@_one_at_a_time()
def sweep(
    config: str | Sequence[str] | Mapping[str, Any] = (),
    folder: str | Path | None = None,
    *,
    data: Any = None,
    model: nn.Module | None = None,
    head: Any = None,
    callbacks: Sequence[Callback] = (),
    config_dir: str | Path | None = None,
    **others: Any,
) -> Sweep:
    """Train a sweep and return it: what `nettrain -m` does, as a function; its runs train together as rows of a stack.

    `config` are overrides as after `-m`, `"optimizer=sgd,adam seed=range(5)"` or a list of them, or a mapping, in which
    such a text stands for several values: `{"optimizer": "sgd,adam", "optimizer.lr": "0.1,0.01", "epochs": 5}`.
    `folder` is the sweep's; one that holds an earlier sweep gets what is missing there. All other arguments are those
    of `train`, and shared by the runs; but of each of the `callbacks` every run has a copy of its own.

    A run that fails says so, has its failure in its folder, and does not end the sweep: `results` has its status. Where
    all have failed, the `nettrain.errors.Mistake` of the first one is raised, and likewise one for what cannot be
    composed; `KeyboardInterrupt` after a signal, with the runs in progress saved. What else `train` says of threads,
    Hydra and torch holds here, too; the program's logging stays as it is unless `hydra/job_logging` asks for a log.
    """
    register()
    refuse("nettrain.sweep", others)
    overrides, handed = read_arguments(config, data, model, head, config_dir, callbacks, sweeping=True)
    if folder is not None:
        overrides += overrides_of({"hydra.sweep.dir": str(folder)})
    with composing_sweeps():
        require_harmless(overrides)
    written = sweep_beside(with_module(with_resumed_parts(overrides)), Task(handed))
    return Sweep(written, trust=True, handed=handed)
