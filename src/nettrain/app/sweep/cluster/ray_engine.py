"""Workers by Ray: tasks on the nodes of a cluster, which may or may not see the sweep's folder."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nettrain.app.sweep.cluster.engine import Handle, Lost
from nettrain.app.sweep.cluster.task import Result, versions
from nettrain.errors import ConfigError

ANSWER = 14.0  # seconds in which a cluster has to answer
REACHED = 3.0  # seconds in which its port has to
RESOURCES = {"cores": "CPU", "gpus": "GPU", "memory": "memory"}


class Desk:
    """An actor that keeps what workers report until the sweep's own process asks for it."""

    def __init__(self) -> None:
        self.news: dict[int, Any] = {}

    def put(self, number: int, news: Any) -> None:
        if isinstance(news, dict) and isinstance(before := self.news.get(number), dict):
            news = before | news
        if isinstance(news, dict) or not isinstance(self.news.get(number), dict):
            self.news[number] = news

    def take(self) -> dict[int, Any]:
        news, self.news = self.news, {}
        return news


class DeskReport:
    """Tells the desk how far a stack is."""

    def __init__(self, desk: Any, number: int) -> None:
        self.desk, self.number = desk, number

    def __call__(self, news: Any) -> None:
        self.desk.put.remote(self.number, news)


class Ray:
    """A cluster of Ray's."""

    name = "ray"
    limit = float("inf")
    sends_tables = True

    def __init__(self, address: str | None, workers: int | None, cores: int, gpus: float, memory: float | None) -> None:
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self.place = "this machine's own Ray" if self.address == "local" else f"the cluster at {self.address}"
        self.key = "hydra.launcher.address" if address else "RAY_ADDRESS"
        self.cores, self.gpus = cores, gpus
        self._connect()
        try:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            room = self._room(nodes, memory)
            self.workers = workers or sum(room)
            # Without memory= a stack may take half of what a node has for each of its workers.
            free = [node.get("memory", 0) / 2 / fitting for node, fitting in zip(nodes, room, strict=True) if fitting]
            self.memory = memory if memory is not None else min(free) / 2**30
            self.desk = ray.remote(Desk).options(num_cpus=0, max_restarts=-1).remote()
        except BaseException:
            ray.shutdown()
            raise
        self.asked = {"num_cpus": cores, "num_gpus": gpus, "memory": None if memory is None else int(memory * 2**30)}
        self.task = ray.remote(_remote_function())

    def _connect(self) -> None:
        if self.address == "local":
            try:
                ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            except Exception as error:  # Ray has no class for it
                raise ConfigError(
                    f"hydra.launcher.cluster=ray: Ray does not start on this machine ({_first(error)})."
                ) from error
            return
        if self.address != "auto":
            self._reach()
        failures: list[BaseException] = []

        def connect() -> None:
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
            except BaseException as error:
                failures.append(error)

        connecting = threading.Thread(target=connect, daemon=True)
        with _silent():
            connecting.start()
            connecting.join(ANSWER)
        if connecting.is_alive():
            token = "" if os.environ.get("RAY_AUTH_MODE") else "; one that asks for a token needs RAY_AUTH_MODE=token"
            raise self._no_answer(f"no answer within {ANSWER:.0f} s{token}")
        if failures:
            if isinstance(failures[0], Exception):
                raise self._no_answer(str(failures[0]).strip().splitlines()[0].rstrip(".")) from failures[0]
            raise failures[0]

    def _reach(self) -> None:
        """Raise `ConfigError` unless somebody listens at the address."""
        place = self.address.removeprefix("ray://")
        host, _, port = place.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"{self.key}={self.address}: an address of Ray's is host:port, such as 10.0.0.1:6379.")
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACHED).close()
        except OSError as error:
            raise self._no_answer(error.strerror or str(error)) from error

    def _no_answer(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self.key}={self.address}: there is no cluster of Ray's that answers ({why}); start one with 'ray start "
            "--head', or leave the address out to use this machine alone."
        )

    def _room(self, nodes: Sequence[dict[str, float]], memory: float | None) -> list[int]:
        """How many workers each node has room for. Raises `ConfigError` where none has for one."""
        wanted = {"cores": self.cores, "gpus": self.gpus, "memory": (memory or 0) * 2**30}
        for key, amount in wanted.items():
            largest = max((node.get(RESOURCES[key], 0) for node in nodes), default=0)
            if amount > largest:
                unit = 2**30 if key == "memory" else 1
                what = "GiB of memory" if key == "memory" else key
                raise ConfigError(
                    f"hydra.launcher.{key}={amount / unit:g}: no node of {self.place} has so many "
                    f"{what}; the largest has {largest / unit:.3g}."
                )
        room = [
            int(min(node.get(RESOURCES[key], 0) / amount for key, amount in wanted.items() if amount)) for node in nodes
        ]
        if not any(room):
            both = ", ".join(f"{key}={amount:g}" for key, amount in wanted.items() if amount)
            raise ConfigError(f"hydra.launcher: no node of {self.place} has all of {both}.")
        return room

    def share(self, content: bytes) -> Any:
        return ray.put(content)

    def send(self, task: bytes, shared: Any, number: int, avoided: Sequence[str]) -> Handle:
        strategy: Any = "SPREAD"
        if avoided:
            others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in avoided]
            fitting = [node for node in others if node["Resources"].get("CPU", 0) >= self.cores]
            if fitting:
                strategy = NodeAffinitySchedulingStrategy(fitting[number % len(fitting)]["NodeID"], soft=True)
        task_of_ray = self.task.options(max_retries=0, scheduling_strategy=strategy, **self.asked)
        return task_of_ray.remote(versions(), task, shared, DeskReport(self.desk, number))

    def ended(self, handles: Sequence[Handle], seconds: float) -> list[Handle]:
        ready, _ = ray.wait(list(handles), num_returns=len(handles), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(handles), num_returns=1, timeout=seconds)
        return list(ready)

    def result(self, handle: Handle) -> Result:
        from ray import exceptions

        try:
            result = ray.get(handle)
        except exceptions.TaskCancelledError:
            return Result(interrupted=True)
        except exceptions.RayTaskError as error:
            raise error.cause or error from error
        except (exceptions.NodeDiedError, exceptions.ObjectLostError, exceptions.TaskUnschedulableError) as error:
            raise Lost(_first(error), True) from error
        except exceptions.RayError as error:
            # Of a worker that died with its node Ray only says that it has died.
            raise Lost(_first(error), "node" in str(error).lower() and "memory" not in str(error).lower()) from error
        if isinstance(result, tuple):  # there is no nettrain that could say more
            node, sentence = result
            raise ConfigError(f"hydra.launcher.cluster=ray: the worker on {node} {sentence}; install it there.")
        done: Result = result
        return done

    def news(self) -> dict[int, Any]:
        from ray import exceptions

        with contextlib.suppress(exceptions.RayError):  # it begins anew where its node has died
            news: dict[int, Any] = ray.get(self.desk.take.remote(), timeout=10)
            return news
        return {}

    def cancel(self, handle: Handle) -> None:
        ray.cancel(handle)

    def close(self) -> None:
        ray.shutdown()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Within it nothing is printed to stderr: Ray says every second that there is no answer."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _remote_function() -> Callable[..., Any]:
    """What a worker is sent as code, because it may have no nettrain, or another one."""

    def train_stack(expected: dict[str, str], task: bytes, shared: bytes, report: Any) -> Any:
        import importlib.metadata
        import socket

        import ray

        for name in ("nettrain", "torch"):
            try:
                there = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return socket.gethostname(), f"has no {name}"
            if there != expected[name]:
                return socket.gethostname(), f"has {name} {there}, and the sweep {expected[name]}"
        from nettrain.app.sweep.cluster.worker import train_task

        result = train_task(expected, task, shared, report, None)
        result.place = ray.get_runtime_context().get_node_id()
        return result

    train_stack.__module__ = "__main__"  # so that it travels by value
    return train_stack


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0].partition(". ")[0] if lines else type(error).__name__).rstrip(".")
