"""A run's folder, read back: its config, its numbers and its model."""

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from nettrain.config.build import build_activation, callback_nodes, choose_head, load_config
from nettrain.config.model import build_model
from nettrain.config.own_parts import load_parts, saved_sources
from nettrain.config.reach import reaching
from nettrain.config.run_data import load_data
from nettrain.config.schema import Config
from nettrain.data import Data, Encoder
from nettrain.data.members import validates
from nettrain.data.target_scale import TargetScale
from nettrain.errors import CheckpointError, ConfigError, DataError
from nettrain.objective import Objective
from nettrain.parts.callbacks import Logger
from nettrain.parts.heads import Head
from nettrain.parts.heads.independent import for_targets
from nettrain.parts.mixture import Mixture, out_of_bag
from nettrain.parts.models.base import Activation
from nettrain.parts.named_metrics import is_of_library, target_of
from nettrain.random import seeded
from nettrain.registry import values_of
from nettrain.results.metrics_table import read_columns, read_table
from nettrain.results.saved_config import read_config
from nettrain.results.summary import read_summary
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.targets import foreign, targets
from nettrain.training.checkpoint_schema import USABLE, require_checkpoint
from nettrain.training.device import usual_torch
from nettrain.vector import constants, flatten


class SavedRun:
    """A run that has been trained, in `folder`, with the weights of its best epoch.

    Nothing that the folder holds is executed, with one exception: a model that is neither nettrain's own nor a class of
    `torch.nn` is imported by the name in the run's config, and only if `trust` is True. `loaded` are the run's data
    where they have been loaded already, `module` and `head` are those that were handed over in Python. Raises
    `CheckpointError` for a folder that holds no run or a damaged one.
    """

    def __init__(
        self,
        folder: str | Path,
        trust: bool = False,
        loaded: Data | None = None,
        module: nn.Module | None = None,
        head: Head | None = None,
    ) -> None:
        self.folder, self.trust, self._loaded, self._module, self._head = Path(folder), trust, loaded, module, head
        if not (self.folder / ".hydra" / "config.yaml").is_file():
            hint = "; nettrain.Sweep reads a sweep" if any(self.folder.glob("*/summary.json")) else ""
            raise CheckpointError(f"{self.folder}: no run is there (it has no .hydra/config.yaml){hint}.")

    @cached_property
    def config(self) -> DictConfig:
        """The composed config."""
        return OmegaConf.create(read_config(self.folder))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json."""
        return read_summary(self.folder)

    @cached_property
    def metrics(self) -> Any:
        """metrics.csv as a pandas table, a row per epoch."""
        return read_table(self.folder)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv as arrays, for which pandas need not be imported."""
        return read_columns(self.folder)

    @cached_property
    def data(self) -> Data:
        """The data that the run was trained on, loaded and split again; `DataError` if they are no longer the same.

        Raises `ConfigError` where a query or a URL of the config says what is loaded, and the run is not trusted.
        """
        if self._loaded is None:
            self.require_trusted_places()
        parts = self._parts
        here = self._loaded
        loaded = load_data(parts, None if here is None else lambda *_: here)
        loaded = loaded.limited(parts.debug.most(parts.bs), parts.debug.share)
        loaded = loaded.scaled_target(self._own_head.standardizes).with_class_weights(self._parts.class_weight)
        if self._loaded is None and self._trained_on not in (None, loaded.digest):
            raise DataError(
                f"{loaded.table.source}: these are not the data that the run in {self.folder} was trained on: they "
                "have changed, or this version of nettrain reads them in another way."
            )
        return loaded

    @cached_property
    def trajectory(self) -> tuple[list[int], Tensor] | None:
        """Epochs (S,) and the weights after them (S, P), where the run has kept them (see `figures`)."""
        points = load_checkpoint(self.folder / "checkpoints" / "last.pt").get("path")
        return (points["epochs"], points["w"]) if points else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    @cached_property
    def encoder(self) -> Encoder:
        """What turns a table into features, as it was fitted on the training split."""
        try:
            return Encoder.from_state(self._checkpoint["encoder"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder}: this version of nettrain cannot read the checkpoint's encoder."
            ) from error

    @cached_property
    def head(self) -> Head:
        """The output head."""
        return for_targets(choose_head(self._own_head, self.encoder), self.encoder.targets)

    @property
    def _own_head(self) -> Any:
        if self._head is None:
            self._require_trusted("head")
        return self._head or self._parts.head

    @cached_property
    @usual_torch()
    def model(self) -> nn.Module:
        """The module with the weights of the best epoch; it gives logits (n, outputs) of x as it was trained with.

        Of a run with several members it is a `Mixture`: the logits are those of all of them together.
        """
        self._require_trusted("model")
        numbers = self._member_numbers
        with seeded(self._parts.seed):  # its first weights are drawn, and of no use
            modules = [build_model(self._parts, self.encoder, self.head, self._module) for _ in numbers or [0]]
        model = Mixture(modules, self.head) if numbers else modules[0]
        try:
            model.load_state_dict(self._checkpoint["model"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{self.folder}: the checkpoint does not fit the model of the config.") from error
        return model.eval()

    @property
    def activation(self) -> Activation:
        """The activation, a function of a tensor."""
        return build_activation(self._parts.activation)

    @cached_property
    @usual_torch()
    def first_weights(self) -> Tensor:
        """The weights (P,) before the first update, drawn again from the run's seed; of a run without members."""
        self._require_trusted("model")
        with seeded(self._parts.seed):
            return flatten(build_model(self._parts, self.encoder, self.head, self._module)).to(self._parts.dtype)

    @cached_property
    def part_sources(self) -> list[str]:
        """The modules and files with parts of the user's own that the run needs: its copies of files, if it has any."""
        listed = self.config.get("parts") or []
        if not isinstance(listed, list | ListConfig) or not all(isinstance(source, str) for source in listed):
            raise CheckpointError(f"{self.folder}: damaged: the parts in its config are no list of texts.")
        return saved_sources(self.folder / ".hydra", list(listed))

    def require_trust(self) -> None:
        """Raise `ConfigError` if the run needs code of somebody else's, and it is not trusted.

        The model's, the head's, the optimizer's, the schedule's, that of metrics, or that of callbacks; a logger that
        sends elsewhere needs trust, too. Parts of the user's own are imported.
        """
        for group in ("model", "head", "optimizer", "schedule"):
            self._require_trusted(group)
        for key, node in callback_nodes(self._parts).items():
            if not self.trust and (named := list(targets(node))):
                raise self._distrust(f"{key} runs {named[0]}")
            if not self.trust and isinstance(node, Logger) and node.destination:
                raise self._distrust(f"{key} sends its numbers to {node.destination}", "a place that its config names")
        for asked in self._parts.metrics:
            if not (self.trust or is_of_library(asked)):
                raise self._distrust(f"it measures {target_of(asked)}")

    def _require_trusted(self, group: str) -> None:
        """Raise `ConfigError` where a part is built of code of somebody else's, which is not trusted."""
        part = getattr(self._parts, group)
        named = foreign(values_of(part)) if getattr(part, "takes_any_key", False) else []
        if named and not self.trust:
            raise self._distrust(f"its {group} is {named[0]}")

    def require_trusted_places(self, typed: Collection[str] = ()) -> None:
        """Raise `ConfigError` if its data come by a query or from a URL, and neither is trusted; `typed` keys are."""
        for key, what in reaching(OmegaConf.to_container(self.config)).items():  # type: ignore[arg-type]
            if not (self.trust or key in typed):
                raise ConfigError(
                    f"{self.folder}: {what}; type it again, {key}=..., or, if you trust the folder's origin, use "
                    "trust=true on the command line, Run(folder, trust=True) in Python."
                )

    def _distrust(self, what: str, why: str = "code that belongs neither to nettrain nor to torch") -> ConfigError:
        return ConfigError(
            f"{self.folder}: {what}, {why}; if you trust the folder's "
            "origin, use trust=true on the command line, Run(folder, trust=True) in Python."
        )

    @cached_property
    def objective(self) -> Objective:
        """The head's loss of the model, as a function of its weights."""
        objective = Objective(self.model, self.head, buffers=constants(self.model), inputs=self.encoder.inputs)
        objective.target = TargetScale.of([self.encoder])
        return objective

    def logits(self, features: Any, w: Tensor | None = None) -> Tensor:
        """The logits (n, outputs) of samples as in `data.x`, with the weights w (P,) or those of the best epoch.

        They are those of the model divided by the `temperature`, or within the target's range.
        """
        w = flatten(self.model) if w is None else w
        return self.final(self.objective.logits_of_samples(w, features, self.encoder.inputs))

    def final(self, z: Tensor) -> Tensor:
        """The logits (n, outputs) of the model, divided by the temperature, or within the target's range."""
        return self.objective.within_range(z / self.temperature).to(z.dtype)

    @cached_property
    def temperature(self) -> float:
        """By which the logits of a run that was calibrated are divided; 1 for any other."""
        return float(self.summary.get("temperature", 1.0)) if (self.folder / "summary.json").is_file() else 1.0

    def member_logits(self, features: Any) -> Tensor:
        """The logits (K, n, outputs) of every member of the run, or of the one model that it has, at temperature 1."""
        modules = self.model.members if isinstance(self.model, Mixture) else [self.model]
        objectives = [replace(self.objective, model=module, buffers=constants(module)) for module in modules]
        z = [o.logits_of_samples(flatten(o.model), features, self.encoder.inputs) for o in objectives]
        return torch.stack(z)

    def logits_of(self, split: str) -> Tensor:
        """The logits (n, outputs) of the rows of a split, as of rows that the model has not seen.

        Where members of the run have trained on rows on which others were validated, these alone predict them.
        """
        rows = self.data.splits[split]
        if split != "val" or not self._member_numbers:
            return self.logits(self.data.rows(rows))
        bag = torch.as_tensor(validates(self.data, rows)[self._member_numbers])
        return self.final(out_of_bag(self.head, self.member_logits(self.data.rows(rows)), bag))

    @cached_property
    def _member_numbers(self) -> list[int]:
        """Which members of the run have weights in its checkpoint; none for a run of a single model."""
        count = self._parts.member_count
        if count == 1:
            return []
        members = self._checkpoint.get("members")
        if isinstance(members, list) and members and isinstance(members[0], dict):  # of a last.pt
            return list(range(len(members)))
        if not (isinstance(members, list) and members and all(type(i) is int and 0 <= i < count for i in members)):
            raise CheckpointError(f"{self.folder}: damaged: its checkpoint does not say which members it holds.")
        return members

    @cached_property
    def _parts(self) -> Config:
        if self.part_sources and not self.trust:
            raise self._distrust(f"it needs {', '.join(self.part_sources)}")
        load_parts(self.part_sources)
        try:
            return load_config(OmegaConf.to_container(self.config))  # type: ignore[arg-type]
        except (OmegaConfBaseException, AttributeError) as error:
            why = str(error).splitlines()[0]
            raise CheckpointError(f"{self.folder}: this version of nettrain cannot read its config: {why}") from error

    @property
    def _trained_on(self) -> str | None:
        """The fingerprint of the data that the run was trained on; None for one without a checkpoint."""
        paths = [self.folder / "checkpoints" / name for name in ("best.pt", "last.pt")]
        return next((_usable(path)["data"] for path in paths if path.exists()), None)

    @cached_property
    def _checkpoint(self) -> dict[str, Any]:
        folder = self.folder / "checkpoints"
        if (folder / "best.pt").exists():
            return _usable(folder / "best.pt")
        last = _usable(folder / "last.pt")
        if not all(tensor.isfinite().all() for tensor in last["model"].values()):
            raise CheckpointError(f"{self.folder}: the run diverged in its first epoch and has no usable weights.")
        return last


def _usable(path: Path) -> dict[str, Any]:
    """A checkpoint with what a prediction needs."""
    checkpoint = load_checkpoint(path)
    require_checkpoint(checkpoint, path, USABLE)
    return checkpoint
