"""Workers by submitit: jobs of SLURM, or processes of this machine. They see the sweep's folder."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from nettrain.app.sweep import workers as processes
from nettrain.app.sweep.cluster.engine import Handle, Lost
from nettrain.app.sweep.cluster.task import Result, versions
from nettrain.app.sweep.cluster.worker import train_task
from nettrain.errors import ConfigError
from nettrain.optimizers.solvers import free_memory
from nettrain.storage.atomic import replace_file

YEAR = 60 * 24 * 365  # minutes
CHECK = 5.0  # seconds between two questions of whether SLURM's jobs are still there
GONE = 30.0  # seconds without a result after which a job is lost that SLURM does not know any more
FREE = 16  # jobs of SLURM into which a sweep is cut, unless workers= says how many
NOT_ITS_FAULT = ("NODE_FAIL", "PREEMPTED", "TIMEOUT", "CANCELLED", "REVOKED", "REQUEUED", "BOOT_FAIL")


class FileReport:
    """Writes into a file how far a stack is."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, epochs: Any) -> None:
        with contextlib.suppress(OSError):  # it is only told
            self.path.write_text(str(epochs))


class _Submitit(ABC):
    """What both of submitit's executors have in common."""

    name: str
    sends_tables = False
    of_process: tuple[int, float] | None = None

    def __init__(self, folder: Path, workers: int, cores: int, memory: float | None) -> None:
        self.folder, self.workers = folder / ".submitit", workers
        self.cores, self.memory = cores, memory
        self.reports: dict[str, tuple[int, Path]] = {}  # of those that train, by their jobs
        self.exit = contextlib.ExitStack()
        self.exit.enter_context(processes.safe_path())
        self.folder.mkdir(parents=True, exist_ok=True)

    def share(self, content: bytes) -> Any:
        path = self.folder / f"shared-{secrets.token_hex(8)}.pkl"
        replace_file(path, content)
        return path.absolute()

    def send(self, task: bytes, shared: Any, number: int, avoided: Sequence[str]) -> Handle:
        report = self.folder.absolute() / f"{number}.epochs"
        report.unlink(missing_ok=True)
        job = self._executor().submit(train_task, versions(), task, shared, FileReport(report), self.of_process)
        self.reports[job.job_id] = number, report
        return job

    @abstractmethod
    def _executor(self) -> Any:
        """What submitit sends a task with."""

    def _done(self, job: Any) -> bool:
        return bool(job.done())

    def ended(self, handles: Sequence[Handle], seconds: float) -> list[Handle]:
        until = time.monotonic() + seconds
        while True:
            ended = [job for job in handles if self._done(job)]
            if ended or time.monotonic() >= until:
                return ended
            time.sleep(0.1)

    def result(self, handle: Handle) -> Result:
        _, report = self.reports.pop(handle.job_id)
        report.unlink(missing_ok=True)
        result = self._result(handle)
        # One day its number may be that of another process, which would seem to have this result.
        shutil.rmtree(handle.paths.folder, ignore_errors=True)
        return result

    def _result(self, handle: Handle) -> Result:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            result: Result = handle.result()
            return result
        except FailedJobError as error:
            if "No module named" in str(error):
                last = next(line for line in reversed(str(error).splitlines()) if "No module named" in line)
                raise ConfigError(
                    f"hydra.launcher.cluster={self.name}: a worker cannot run nettrain ({last.strip()}); install it "
                    "there."
                ) from error
            raise
        except UncompletedJobError as error:
            raise Lost(f"{self._what(handle)}: {self._state(handle)}", self._blameless(handle)) from error

    def _what(self, handle: Handle) -> str:
        return f"job {handle.job_id}"

    def _state(self, handle: Handle) -> str:
        return str(handle.state)

    def _blameless(self, handle: Handle) -> bool:
        return False

    def news(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for number, path in self.reports.values():
            with contextlib.suppress(OSError, ValueError):
                found[number] = int(path.read_text())
        return found

    def cancel(self, handle: Handle) -> None:
        handle.cancel(check=False)

    def close(self) -> None:
        self.exit.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Local(_Submitit):
    """Processes of this machine."""

    name = "local"

    def __init__(self, folder: Path, workers: int | None, cores: int, gpus: float, memory: float | None) -> None:
        devices, processors = torch.cuda.device_count(), os.cpu_count() or 1
        total = psutil.virtual_memory().total / 2**30
        for key, asked, there in [
            ("cores", cores, processors),
            ("gpus", gpus, devices),
            ("memory", memory or 0, total),
        ]:
            if asked > there:
                raise _too_much("local", key, asked, there)
        per_gpu = int(1 / gpus) if 0 < gpus <= 1 else 1
        most = min(processors // cores, int(devices / gpus) if gpus else processors)
        count = workers or max(1, most)
        free = free_memory(torch.device("cpu")) / count
        if gpus:
            free = min(free_memory(torch.device("cuda", i)) for i in range(devices)) / per_gpu
        super().__init__(folder, count, cores, memory if memory is not None else free / 2**31)
        self.limit: float = count
        self.gpus, self.per_gpu = gpus, per_gpu
        self.places: dict[str, int] = {}  # of those that train, by the numbers of their processes
        self.of_process = (os.getpid(), psutil.Process().create_time())

    def _executor(self) -> Any:
        import submitit

        executor = submitit.LocalExecutor(folder=self.folder / "%j")
        devices: list[int] = []
        if self.gpus:
            place = next(i for i in range(self.workers) if i not in self.places.values())
            whole = max(1, int(self.gpus))
            devices = [place * whole + k for k in range(whole)] if self.gpus >= 1 else [place // self.per_gpu]
        executor.update_parameters(timeout_min=YEAR, gpus_per_node=len(devices), visible_gpus=devices)
        return executor

    def send(self, task: bytes, shared: Any, number: int, avoided: Sequence[str]) -> Handle:
        job = super().send(task, shared, number, avoided)
        self.places[job.job_id] = next(i for i in range(self.workers + 1) if i not in self.places.values())
        return job

    def _result(self, handle: Handle) -> Result:
        self.places.pop(handle.job_id, None)
        if not handle.paths.result_pickle.exists():  # submitit would wait for a slow file system
            raise Lost(f"process {handle.job_id} has ended without a result", False)
        return super()._result(handle)

    def cancel(self, handle: Handle) -> None:
        with contextlib.suppress(ProcessLookupError):  # submitit's own signal leaves it a second
            os.kill(int(handle.job_id), signal.SIGTERM)


class Slurm(_Submitit):
    """Jobs of SLURM, which has a queue of its own."""

    name = "slurm"
    limit = float("inf")

    def __init__(
        self,
        folder: Path,
        workers: int | None,
        cores: int,
        gpus: float,
        memory: float | None,
        options: dict[str, Any],
    ) -> None:
        for command in ("sbatch", "srun"):
            if shutil.which(command) is None:
                raise ConfigError(
                    f"hydra.launcher.cluster=slurm: there is no command {command} on this machine; start the sweep "
                    "where SLURM's commands are, or use hydra.launcher.cluster=local."
                )
        if gpus != int(gpus):
            raise ConfigError(
                f"hydra.launcher.gpus={gpus}: SLURM gives a job whole GPUs; use a whole number, or "
                "hydra.launcher.cluster=ray, which shares them."
            )
        share = (
            memory if memory is not None else free_memory(torch.device("cpu")) / 2**31 * cores / (os.cpu_count() or 1)
        )
        super().__init__(folder, workers or FREE, cores, share)
        self.parameters: dict[str, Any] = {"job_name": "nettrain", "cpus_per_task": cores, "time": 24 * 60}
        if memory is not None:
            self.parameters["mem"] = f"{int(memory * 1024)}MB"
        if gpus:
            self.parameters["gpus_per_node"] = int(gpus)
        self.parameters |= options
        self.executor: Any = None
        self.checked: dict[str, float] = {}
        self._end_earlier()

    def _end_earlier(self) -> None:
        """Have the jobs end that a sweep in this folder has left, whose own process was killed."""
        jobs = [path.name.partition("_")[0] for path in self.folder.glob("*/*_submitted.pkl")]
        for job in jobs:
            if not list(self.folder.glob(f"{job}/*_result.pkl")):
                subprocess.run(["scancel", job], capture_output=True, check=False)

    def _executor(self) -> Any:
        import submitit

        if self.executor is None:
            self.executor = submitit.SlurmExecutor(folder=self.folder / "%j")
            try:
                self.executor.update_parameters(**self.parameters)
            except ValueError as error:
                known = str(error).splitlines()[0]
                raise ConfigError(f"hydra.launcher.slurm: {known} (the names are those of submitit).") from error
        return self.executor

    def send(self, task: bytes, shared: Any, number: int, avoided: Sequence[str]) -> Handle:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            return super().send(task, shared, number, avoided)
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError, OSError) as error:
            lines = [line for line in str(getattr(error, "stderr", None) or error).splitlines() if line.strip()]
            why = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
            raise ConfigError(f"hydra.launcher.cluster=slurm: SLURM takes no such job: {why.strip()}") from error

    def _done(self, job: Any) -> bool:
        now = time.monotonic()
        if job.paths.result_pickle.exists():
            return True
        if now - self.checked.setdefault(job.job_id, now) < CHECK:
            return False
        self.checked[job.job_id] = now
        return bool(job.done(force_check=True)) or self._is_unknown(job)

    def _is_unknown(self, job: Any) -> bool:
        """Whether neither SLURM's accounting nor its queue knows a job any more."""
        if job.state != "UNKNOWN" or shutil.which("squeue") is None:
            return False
        asked = subprocess.run(
            ["squeue", "-h", "-j", job.job_id, "-o", "%T"], capture_output=True, text=True, check=False
        )
        return not asked.stdout.strip()

    def result(self, handle: Handle) -> Result:
        result = super().result(handle)
        if result.interrupted:  # SLURM may start it once more by itself
            handle.cancel(check=False)
        return result

    def _blameless(self, handle: Handle) -> bool:
        return self._state(handle).upper().startswith(NOT_ITS_FAULT)


def _too_much(cluster: str, key: str, asked: float, there: float) -> ConfigError:
    what = "GiB" if key == "memory" else key
    return ConfigError(
        f"hydra.launcher.{key}={asked:g}: no worker of hydra.launcher.cluster={cluster} has so many {what}; the "
        f"largest has {there:.3g}."
    )
