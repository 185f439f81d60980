"""Noise drawn from torch's generators for K runs at once under vmap: each one's own, as if it were alone; and for a
part of a batch: what its samples have in the whole one.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


@contextlib.contextmanager
def row_streams(seeds: Sequence[int], device: torch.device) -> Iterator[None]:
    """Within it, what is drawn under vmap for K runs is drawn for each as after `torch.manual_seed` of its seed.

    `RuntimeError` is raised for a draw that vmap does not make for all runs together.
    """
    with _RowStreams(seeds, device), _Dropout():
        yield


class _RowStreams(TorchDispatchMode):
    """Draws the rows of a tensor (K, ...), for which vmap asks, one by one, each by its run's generator."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        super().__init__()
        self.device = device
        with generator_as_it_was(device):
            self.states = [self._seeded(seed) for seed in seeds]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # so that torch's compiler is not imported

    def _seeded(self, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return generator_state(self.device)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        rows, changed = len(self.states), func._schema.name.endswith("_")
        of_rows = [[_row(value, k, rows) for value in args] for k in range(rows)]
        if all(one is other for one, other in zip(of_rows[0], args, strict=True)):
            raise RuntimeError(f"{func._schema.name} under vmap: its randomness is not that of rows")
        results = []
        with generator_as_it_was(self.device):
            for k, of_row in enumerate(of_rows):
                if changed:  # in memory like that of a run alone, of which the order of the numbers depends
                    of_row[0] = torch.empty_like(of_row[0]).copy_(of_row[0])
                set_generator_state(self.device, self.states[k])
                results.append(func(*of_row, **(kwargs or {})))
                self.states[k] = generator_state(self.device)
        if changed:
            return args[0].copy_(torch.stack(results))
        if isinstance(results[0], tuple):
            return tuple(map(torch.stack, zip(*results, strict=True)))
        return torch.stack(results)


@contextlib.contextmanager
def part_streams(samples: Tensor, whole: int) -> Iterator[None]:
    """Within it, what is drawn for the samples of these numbers (n,) is what is drawn for them in a batch of `whole`.

    A tensor or a shape is taken to be one of samples if its first dimension has their number.
    """
    with _PartStreams(samples, whole):
        yield


class _PartStreams(TorchDispatchMode):
    """Draws for the whole batch, and takes the numbers of the samples that are there."""

    def __init__(self, samples: Tensor, whole: int) -> None:
        super().__init__()
        self.samples, self.whole = samples, whole

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        of_batch = [self._whole(value) for value in args]
        drawn = func(*of_batch, **(kwargs or {}))
        if all(one is other for one, other in zip(of_batch, args, strict=True)):
            return drawn
        if func._schema.name.endswith("_"):
            return args[0].copy_(drawn.index_select(0, self.samples))
        if isinstance(drawn, tuple):
            return tuple(tensor.index_select(0, self.samples) for tensor in drawn)
        return drawn.index_select(0, self.samples)

    def _whole(self, value: Any) -> Any:
        """What a batch's operation would be given in the place of a tensor (n, ...) or of a shape [n, ...]."""
        n = len(self.samples)
        if isinstance(value, Tensor) and value.dim() and len(value) == n:
            order = sorted(range(value.dim()), key=value.stride, reverse=True)  # in memory as that of the batch
            shape = [self.whole if dim == 0 else value.shape[dim] for dim in order]
            batch = value.new_zeros(shape).permute([order.index(dim) for dim in range(value.dim())])
            batch[self.samples] = value
            return batch
        if isinstance(value, list | tuple) and len(value) and value[0] == n:
            return [self.whole, *value[1:]]
        return value


def _row(value: Any, k: int, rows: int) -> Any:
    """What a run alone would be given in the place of a tensor (K, ...) or of a shape [K, ...]."""
    if isinstance(value, Tensor) and value.dim() and len(value) == rows:
        return value[k]
    if isinstance(value, list | tuple) and len(value) and value[0] == rows:
        return list(value[1:])
    return value


def generator_state(device: torch.device) -> Tensor:
    """The state of torch's generator for the device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.random.get_rng_state()


def set_generator_state(device: torch.device, state: Tensor) -> None:
    """Let torch's generator for the device go on from a state."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.random.set_rng_state(state)


@contextlib.contextmanager
def generator_as_it_was(device: torch.device) -> Iterator[None]:
    """Afterwards torch's generators for the CPU and the device are as they were before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


class _Dropout(TorchFunctionMode):
    """Computes dropout as torch does for a run alone: vmap would forget in which order x lies in memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_dropout if func is F.dropout else func)(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p in (0.0, 1.0):
        return F.dropout(input, p, training, inplace)
    factor = torch.empty_like(input).bernoulli_(1 - p).div_(1 - p)
    return input.mul_(factor) if inplace else input * factor
