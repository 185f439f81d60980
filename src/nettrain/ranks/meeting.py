"""How ranks find each other, and notice that one is gone: by a few words in the store that torchrun has for them.

Each rank shows twice a second that it is there. Whoever waits for another one waits for as long as that one is there;
what is waited for in the middle of an exchange of tensors has a time limit of torch's own.
"""

import atexit
import contextlib
import os
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

from nettrain.errors import Mistake

BEAT = 0.5  # seconds
POLL = 0.02  # seconds, at most, between two looks at the store
SILENCE = 20.0  # seconds after which a rank counts as gone: torchrun takes 30 more to end one that does not answer
JOINING = 50.0  # seconds within which all have to be there


class RanksError(Mistake):
    """Another rank has failed, does not answer, or was started in another way.

    `told` where that one says why.
    """

    def __init__(self, message: str, told: bool = False) -> None:
        super().__init__(message)
        self.told = told


class Meeting:
    """The store, in which this attempt of all ranks has words of its own; `rank` is this one's number of `size`.

    After a restart by torchrun it is another attempt. Raises `RanksError` if not all ranks come.
    """

    def __init__(self, rank: int, size: int) -> None:
        from torch.distributed import PrefixStore, TCPStore

        self.rank, self.size = rank, size
        self.hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and rank == 0
        try:
            store: Any = TCPStore(
                os.environ["MASTER_ADDR"],
                int(os.environ["MASTER_PORT"]),
                is_master=self.hosts,
                timeout=timedelta(seconds=JOINING),
                wait_for_workers=False,
            )
        except (RuntimeError, ValueError) as error:
            place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise RanksError(
                f"MASTER_ADDR, MASTER_PORT: rank {rank} of {size} finds nobody at {place}; start with torchrun."
            ) from error
        self.root, self.began = store, time.monotonic()
        self.store: Any = PrefixStore(self._attempt(), self.root)
        self.heart = PrefixStore(self._name, self.root.clone())  # of the thread: one that waits would hold it up
        self.beats = dict.fromkeys(range(size), (b"", time.monotonic()))  # what each one showed last, and since when
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True, name="nettrain-rank")
        self._heart.start()
        atexit.register(self.close)  # the interpreter must not end it in the middle of a word

    @property
    def folder(self) -> str | None:
        """That of the run, which those know, too, that torchrun starts again."""
        return (self.root.get("folder").decode() or None) if self.root.check(["folder"]) else None

    @folder.setter
    def folder(self, folder: str | None) -> None:
        self.root.set("folder", folder or "")

    def _attempt(self) -> str:
        """The name of this attempt, which the leader gives; what is left of earlier ones may be in the store, too."""
        deadline, token = time.monotonic() + JOINING, uuid.uuid4().hex
        if self.rank == 0:
            self._name = uuid.uuid4().hex
            self.root.set("attempt", self._name)
            for rank in range(1, self.size):
                here = f"{self._name}/here/{rank}"
                if not self.there(here, deadline - time.monotonic(), self.root):
                    raise RanksError(
                        f"rank {rank} of {self.size} has not come within {JOINING:.0f} s; is nettrain started in the "
                        "same way on every node?"
                    )
            for rank in range(1, self.size):
                self.root.set(f"{self._name}/go/{self.root.get(f'{self._name}/here/{rank}').decode()}", "")
            return self._name
        while time.monotonic() < deadline:
            if self.there("attempt", 1.0, self.root):
                self._name = self.root.get("attempt").decode()
                self.root.set(f"{self._name}/here/{self.rank}", token)
                if self.there(f"{self._name}/go/{token}", 1.0, self.root):
                    return self._name
        raise RanksError(f"rank 0 of {self.size} has not come within {JOINING:.0f} s.")

    def there(self, key: str, seconds: float, store: Any = None) -> bool:
        """Whether somebody has said something under this key, within so many seconds."""
        store, deadline, pause = store or self.store, time.monotonic() + seconds, 1e-4
        try:
            while not store.check([key]):  # the store's own way to wait prints warnings
                if time.monotonic() > deadline:
                    return False
                time.sleep(pause)
                pause = min(2 * pause, POLL)
            return True
        except RuntimeError as error:
            raise RanksError(f"rank {self.rank} of {self.size}: the others are gone, and torchrun, too.") from error

    def _beat(self) -> None:
        number = 0
        with contextlib.suppress(RuntimeError):  # the store is gone, and with it the run
            while not self._over.wait(BEAT):
                number += 1
                self.heart.set(f"beat/{self.rank}", str(number))

    def close(self) -> None:
        """Show no longer that this rank is there."""
        self._over.set()
        self._heart.join(2 * BEAT)

    def word(self, key: str, rank: int, limit: float | None = None) -> bytes:
        """What rank `rank` says under this key, once it does, within `limit` seconds if there is a limit.

        Raises `RanksError` if it does not, or fails, or is gone.
        """
        began = time.monotonic()
        while not self.there(key, 1.0):
            self.require(rank)
            if limit is not None and time.monotonic() - began > limit:
                raise RanksError(f"{self.called([rank])} is not ready {limit:.0f} s after rank {self.rank} was.")
        value: bytes = self.store.get(key)
        return value

    def require(self, rank: int) -> None:
        """Raise `RanksError` if any rank has failed, or this one has been silent for long."""
        if self.store.check(["failed"]):
            raise RanksError("another rank has failed.", told=True)
        if rank in self.silent(SILENCE):
            raise RanksError(f"{self.called([rank])} has not answered for {SILENCE:.0f} s.")

    def silent(self, seconds: float) -> list[int]:
        """The ranks that have not shown for so long that they are there, as this one has seen them when it looked."""
        now = time.monotonic()
        for rank, (seen, _) in self.beats.items():
            key = f"beat/{rank}"
            beat = self.store.get(key) if self.store.check([key]) else b""
            if beat != seen:
                self.beats[rank] = beat, now
        return [rank for rank, (_, since) in self.beats.items() if now - since > seconds and rank != self.rank]

    def gone(self) -> list[int]:
        """The ranks that do not show within the next three beats that they are there."""
        self.silent(0)
        time.sleep(3 * BEAT)
        return self.silent(2 * BEAT)

    def called(self, ranks: list[int]) -> str:
        """Ranks in a sentence."""
        numbers = " and ".join(map(str, ranks))
        return f"{'rank' if len(ranks) == 1 else 'ranks'} {numbers} of {self.size}"

    def tells(self) -> bool:
        """Whether this rank is the first to fail, and so the one that says why."""
        try:
            return bool(self.store.add("failed", 1) == 1)
        except RuntimeError:
            return True

    def leave(self) -> None:
        """Say that this rank has no more to say or to hear; the one that has the store waits for the others."""
        with contextlib.suppress(RuntimeError):
            self.store.set(f"left/{self.rank}", "")
            deadline = time.monotonic() + SILENCE
            while self.hosts and time.monotonic() < deadline:
                silent = self.silent(4 * BEAT)
                others = [rank for rank in range(self.size) if rank != self.rank and rank not in silent]
                if all(self.store.check([f"left/{rank}"]) for rank in others):
                    return
                time.sleep(POLL)
