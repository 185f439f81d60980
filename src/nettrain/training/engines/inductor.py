"""One large network whose forward and backward passes `torch.compile` has compiled: operations on each number share a
pass over memory, which pays where torch's products take the rest of the time."""

import contextlib
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from nettrain.errors import ConfigError, first_line
from nettrain.inputs import one_of
from nettrain.objective import Objective, Tensors
from nettrain.random import Noise
from nettrain.samples import X


class InductorObjective(Objective):
    """An objective that is asked for gradients alone, those of batches of so many samples by a compiled network.

    A smaller one, which would need a program of its own, is computed as by `Objective`. Raises `ConfigError` at the
    first batch where the network cannot be compiled.
    """

    def __init__(self, objective: Objective, samples: int) -> None:
        super().__init__(**{field.name: getattr(objective, field.name) for field in fields(objective)})
        self.samples = samples
        options: dict[str, Any] = {"fallback_random": True}  # a module's own noise is that of torch's operations
        self._rows = torch.compile(objective.logits_of_rows, dynamic=False, options=options)
        self._module = torch.compile(objective.logits_of_module, dynamic=False, options=options)

    @property
    def by_formulas(self) -> bool:
        return False

    def gradient(self, *arguments: Any, **named: Any) -> tuple[Tensor, Tensor]:
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        try:
            with _without_monitor():
                return super().gradient(*arguments, **named)
        except (TorchDynamoException, InductorError) as error:
            raise ConfigError(
                f"engine=inductor: torch.compile cannot compile this network ({first_line(error)}); use engine=auto."
            ) from error

    def logits_of_rows(self, parameters: Tensors, x: X, noise: Noise | None, training: bool) -> Tensor:
        if len(one_of(x)) != self.samples:
            return super().logits_of_rows(parameters, x, noise, training)
        if noise is not None:  # a number that changes with every update would be a constant of the program
            noise = replace(noise, key=torch.tensor(noise.key))
        z: Tensor = self._rows(parameters, x, noise, training)
        return z

    def logits_of_module(self, parameters: Tensors, buffers: Tensors, x: X) -> Tensor:
        if len(one_of(x)) != self.samples:
            return super().logits_of_module(parameters, buffers, x)
        z: Tensor = self._module(parameters, buffers, x)
        return z


@contextlib.contextmanager
def _without_monitor() -> Iterator[None]:
    """Within it a bar of torch's starts no thread of tqdm's, which at the end of a process may meet what is gone."""
    from tqdm import tqdm

    before, tqdm.monitor_interval = tqdm.monitor_interval, 0
    try:
        yield
    finally:
        tqdm.monitor_interval = before
