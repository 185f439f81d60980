"""The ranks that torchrun has started, as a group of torch.distributed."""

import math
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nettrain.errors import ConfigError, Mistake
from nettrain.ranks.meeting import SILENCE, Meeting, RanksError
from nettrain.ranks.ranks import Ranks

BETWEEN = 0.1  # seconds between two meetings in training
KEPT = 100  # words of the leader that stay in the store
LARGE = 2**20  # bytes of such a word that go another way
ON_GPU = timedelta(minutes=10)  # that an exchange between GPUs may take: ranks meet on their processors meanwhile


class Group(Ranks):
    """All ranks: gloo on processors, NCCL between CUDA devices."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.local = int(os.environ.get("LOCAL_RANK", self.rank))
        self.here = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))  # ranks on this machine
        self.meeting = Meeting(self.rank, self.size)
        with self._answering():
            dist.init_process_group(
                "gloo",
                store=self.meeting.store,
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=SILENCE),
            )
        self.folder = self._begun = self.meeting.folder
        self._tensors: Any = None  # the group that exchanges tensors; None: that of all processors
        self._parts: Tensor | None = None  # of all ranks, kept from update to update
        self._trained, self._updates = False, 0
        self._words, self._time = 0, time.monotonic()
        self._met, self._steps, self._next = (0, time.monotonic()), 1, -1  # updates and time at the last meeting

    def begin(self, folder: str | None) -> str | None:
        self._begun = self.first(folder)
        if self.leads:
            self.meeting.folder = folder
        return self._begun

    def device(self, name: str) -> torch.device | None:
        if self.size == 1 or name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return None if self.size == 1 else torch.device("cpu")
        if name not in ("auto", "cuda"):
            raise ConfigError(f"device={name}: each of {self.size} ranks has a device of its own; use cuda, or cpu.")
        count = torch.cuda.device_count()
        if self.here > count:
            raise ConfigError(
                f"device={name}: there are {self.here} ranks and {count} CUDA devices on this machine; use "
                f"--nproc-per-node={max(1, count)}, or device=cpu."
            )
        return torch.device("cuda", self.local)

    def use(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
            self._tensors = dist.new_group(backend="nccl", timeout=ON_GPU)

    def clock(self) -> float:
        return self._time

    def meeting_due(self, updates: int) -> bool:
        self._updates = updates
        return updates >= self._next

    def meet(self, received: int | None) -> int | None:
        self._trained = True
        now, (updates, then) = time.monotonic(), self._met
        there = self._updates
        wished = (there - updates) * BETWEEN / max(1e-9, now - then)
        steps = min(max(1.0, wished), 2.0 * self._steps)
        mine = torch.tensor([now, steps] if self.leads else [-math.inf, 0.0], dtype=torch.float64)
        mine = torch.cat([mine, torch.tensor([float(received or 0)], dtype=torch.float64)])
        with self._answering():
            dist.all_reduce(mine, dist.ReduceOp.MAX)
        self._time, self._steps, latest = mine[0].item(), int(mine[1]), int(mine[2])
        self._met, self._next = (there, now), there + self._steps
        return latest or None

    def first(self, value: Any) -> Any:
        self._words += 1
        key = f"word/{self._words}"
        if self.leads:
            text = pickle.dumps(value)
            large = len(text) > LARGE
            self.meeting.store.set(key, b"" if large else text)
            self.meeting.store.delete_key(f"word/{self._words - KEPT}")
        else:
            text = self.meeting.word(key, 0)
            large = not text
        if not large:
            return value if self.leads else pickle.loads(text)
        values = [value]
        with self._answering():
            dist.broadcast_object_list(values, 0)
        return values[0]

    def all(self, value: Any) -> list[Any]:
        self._words += 1
        self.meeting.store.set(f"word/{self._words}/{self.rank}", pickle.dumps(value))
        limit = SILENCE + time.monotonic() - self.meeting.began  # as long again as it took this one, and a bit
        words = [self.meeting.word(f"word/{self._words}/{rank}", rank, limit) for rank in range(self.size)]
        return [pickle.loads(word) for word in words]

    def sum_(self, tensor: Tensor) -> Tensor:
        with self._answering():
            dist.all_reduce(tensor, group=self._tensors)
        return tensor

    def sum_of_part_(self, padded: Tensor) -> None:
        own = self._own(padded)
        with self._answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer versions of torch have other names
            if self._tensors is not None:
                dist.reduce_scatter_tensor(own, padded, group=self._tensors)
                return
            if self._parts is None or self._parts.shape != padded.shape or self._parts.dtype != padded.dtype:
                self._parts = torch.empty_like(padded)
            dist.all_to_all_single(self._parts, padded)  # of reduce_scatter gloo would send each number twice
        torch.sum(self._parts.view(self.size, -1), 0, out=own)

    def gather_parts_(self, padded: Tensor) -> None:
        with self._answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            dist.all_gather_into_tensor(padded, self._own(padded), group=self._tensors)

    def _own(self, padded: Tensor) -> Tensor:
        return padded.view(self.size, -1)[self.rank]

    def joined(self, tensor: Tensor, dim: int) -> Tensor:
        rows = tensor.movedim(dim, 0).contiguous()
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with self._answering():
            dist.all_gather(counts, torch.tensor([len(rows)]))
            sizes = [int(count) for count in counts]
            padded = rows.new_zeros(max(sizes), *rows.shape[1:])
            padded[: len(rows)] = rows
            parts = [torch.empty_like(padded) for _ in sizes]
            dist.all_gather(parts, padded, group=self._tensors)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).movedim(0, dim)

    @contextmanager
    def underway(self) -> Iterator[None]:
        taken = threading.current_thread() is threading.main_thread() and signal.getsignal(SIGTERM) is signal.SIG_DFL
        if taken:
            signal.signal(SIGTERM, self._terminated)
        try:
            yield
        except RanksError as error:
            error.told = error.told or not self.meeting.tells()
            folder = self._begun
            if folder and any((Path(folder) / "checkpoints").glob("*.pt")):
                error.args = (f"{str(error).rstrip('.')}; go on from the last checkpoint with resume={folder}.",)
            raise
        except Mistake as mistake:
            if not self.leads and self._leader_failed():
                raise RanksError(str(mistake), told=True) from mistake  # which has met with the same
            self.meeting.tells()
            raise
        except Exception:
            self.meeting.tells()
            raise
        finally:
            if taken:
                signal.signal(SIGTERM, signal.SIG_DFL)
                self.meeting.leave()

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        """End before the training or after it: torchrun ends all ranks where one of them is lost."""
        if not self._trained and (gone := self.meeting.gone()):
            raise RanksError(f"{self.meeting.called(gone)} has ended before the training began.")
        raise KeyboardInterrupt

    def _leader_failed(self) -> bool:
        """Whether the leader fails, too, instead of having something to say to the others."""
        began = time.monotonic()
        while not self.meeting.there("failed", 0.1):
            if self.meeting.there(f"word/{self._words + 1}", 0) or time.monotonic() - began > SILENCE:
                return False
        return True

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what torch raises in an exchange into `RanksError`, which names the ranks that are gone."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, Mistake):
                raise
            gone = self.meeting.gone()
            if self.meeting.store.check(["failed"]):
                raise RanksError("another rank has failed.", told=True) from error
            if gone:
                raise RanksError(f"{self.meeting.called(gone)} has ended, or does not answer any more.") from error
            raise RanksError(f"the {self.size} ranks do not reach each other: {str(error).splitlines()[0]}") from error
