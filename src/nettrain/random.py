"""Randomness as pure functions: of (seed, epoch) for the order of batches, of (seed, step) for noise.

No generator has a state that a checkpoint would have to hold, and no run's stream depends on another's.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ORDER, _NOISE, _SPLIT, _MEMBER = 1, 2, 3, 4  # one stream each
_LOW32 = 0xFFFFFFFF


def mix(*words: int | np.ndarray) -> np.ndarray:
    """A 64-bit hash of integers, element by element (the finaliser of splitmix64; Steele et al., 2014)."""
    state: Any = np.uint64(0)
    with np.errstate(over="ignore"):
        for word in words:
            state = (state ^ np.asarray(word).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state)


def permutation(seed: int, epoch: int, n: int, *part: int) -> Tensor:
    """The order, (n,), in which epoch `epoch` of the run with this seed visits its n training samples.

    `part` is the number of a part of the epoch that has an order of its own.
    """
    generator = torch.Generator().manual_seed(int(mix(_ORDER, seed, epoch, *part) >> np.uint64(1)))
    return torch.randperm(n, generator=generator)


def noise_keys(seed: int, steps: np.ndarray) -> np.ndarray:
    """A key below 2^32 for the noise of every step, int64 of the shape of `steps`."""
    return (mix(_NOISE, seed, steps) & np.uint64(_LOW32)).astype(np.int64)


def member_seed(seed: int, member: int) -> int:
    """The seed of a member of the run with this seed: the run's own for member 0, for others one below 2^32."""
    return int(mix(_MEMBER, seed, member) & np.uint64(_LOW32)) if member else seed


def uniform(seed: int, rows: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each row of a table, by its number: float64 of the shape of `rows`."""
    return np.asarray((mix(_SPLIT, seed, rows) >> np.uint64(11)) * 2.0**-53)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's CPU generator starts from `seed`; afterwards it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Noise:
    """The noise of one step: `key` and the dropout `rate` are numbers, or (K, 1, 1) for K runs, the rates in float64.

    `first` is the number of the first sample, where the samples are a part of the batch. `keys` are those of K runs on
    the host. Where this process has some samples only of a batch of `whole`, `samples` (n,) are their numbers in it, of
    which the first one is then number `first`.
    """

    key: int | Tensor
    rate: float | Tensor
    first: int = 0
    keys: Sequence[int] = ()
    samples: Tensor | None = None
    whole: int = 0

    @property
    def seeds(self) -> list[int]:
        """What torch's generators start from, for a module that draws noise of its own, in each run."""
        return [key + self.first for key in (self.keys or [int(self.key)])]

    def dropout(self, x: Tensor, layer: int) -> Tensor:
        """Zero each element of x, (..., n, d), with probability `rate`, and divide the others by 1 - rate.

        Element i of layer l is kept where a 32-bit hash of (key, l, i) is at least rate * 2^32.
        """
        n, d = x.shape[-2:]
        if self.samples is None:
            index = torch.arange(self.first * d, (self.first + n) * d, dtype=torch.int64, device=x.device).view(n, d)
        else:
            index = self.samples[self.first : self.first + n, None] * d + torch.arange(d, device=x.device)
        number = _hash32(((index * 0x9E3779B9) & _LOW32) ^ ((self.key + layer * 0x85EBCA6B) & _LOW32))
        if isinstance(self.rate, Tensor):
            least, kept = (self.rate * 2.0**32).long(), (1 - self.rate).to(x.dtype)
            return x * (number >= least.to(x.device)) / kept.to(x.device)
        return x * (number >= int(self.rate * 2.0**32)) / (1 - self.rate)


def _hash32(h: Tensor) -> Tensor:
    """A mixing of 32-bit integers held in int64 (the constants of Ettinger's lowbias32)."""
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & _LOW32
    h = ((h ^ (h >> 15)) * 0x846CA68B) & _LOW32
    return h ^ (h >> 16)
