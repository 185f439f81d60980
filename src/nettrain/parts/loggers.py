"""Loggers that nettrain brings: MLflow and Weights & Biases, whose libraries are imported when a run uses them.

Each run, also each row of a stack, is a tracked run of its own; one that goes on continues the same.
"""

import math
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nettrain.errors import ConfigError, first_line
from nettrain.parts.callbacks import Logger, RunView
from nettrain.registry import option

_SHARE = 0.1  # of the time that sending may take
_ENDS = {"completed": "FINISHED", "interrupted": "KILLED"}  # in MLflow's words; everything else is FAILED
_parents: dict[tuple[str | None, str, Path], str] = {}  # MLflow's runs for sweeps, by store, experiment and folder


@dataclass
class MLflow(Logger):
    """A tracked run of MLflow's for each run, nested in one for its sweep."""

    name: str = "mlflow"
    tracking_uri: str | None = option(
        None,
        "server or store, such as http://127.0.0.1:5000 or sqlite:///runs.db; null: MLFLOW_TRACKING_URI, or MLflow's "
        "own default, mlflow.db in the working directory",
        "launch",
    )
    experiment: str = option("nettrain", "name of the experiment in which the runs lie", "launch")

    extra: ClassVar[str] = "mlflow"

    def __post_init__(self) -> None:
        self._run_id: str | None = None
        self._parent: str | None = None
        self._client: Any = None
        self._waiting: list[dict[str, float]] = []  # numbers of epochs that are not sent yet
        self._sent, self._due = -1, 0.0  # the last epoch that is there, and when to send again

    @property
    def destination(self) -> str | None:
        return self.tracking_uri

    def start(self, run: RunView) -> None:
        with self._explained():
            self._client = _mlflow_client(self.tracking_uri)
            if self._run_id is not None:
                self._client.update_run(self._run_id, status="RUNNING")
                there = self._client.get_metric_history(self._run_id, "epoch")
                self._sent = max((metric.value for metric in there), default=-1)
                return
            experiment, tags = self._experiment(), {"nettrain.folder": str(run.folder)}
            title = run.folder.name
            if run.sweep is not None:
                self._parent = self._sweep_run(experiment, run.sweep)
                self._client.update_run(self._parent, status="RUNNING")
                tags["mlflow.parentRunId"] = self._parent
                title = " ".join([f"{run.number}:", *run.overrides])
            made = self._client.create_run(experiment, tags=tags, run_name=title[:250])
            self._run_id = made.info.run_id
            self._log_parameters(run.hparams)

    def epoch(self, run: RunView) -> None:
        if run.epoch > self._sent:
            self._waiting.append(dict(run.numbers))
        if time.monotonic() >= self._due:
            self._send()

    def save(self, run: RunView) -> None:
        self._send()

    def end(self, run: RunView) -> None:
        self._send()
        with self._explained():
            results = {k: v for k, v in run.summary.items() if k.startswith(("test_", "best_")) and k != "best_epoch"}
            self._log_numbers(
                [({**results, "best_epoch": run.summary.get("best_epoch")}, int(run.numbers.get("step", 0)))]
            )
            self._client.set_tag(self._run_id, "nettrain.status", run.status)
            if run.reason:
                self._client.set_tag(self._run_id, "nettrain.reason", run.reason)
            self._client.set_terminated(self._run_id, _ENDS.get(run.status, "FAILED"))
            if self._parent:  # the last row to end has the last word
                self._client.set_terminated(self._parent, "FINISHED")

    def state_dict(self) -> dict[str, Any]:
        return {"run_id": self._run_id, "parent": self._parent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("run_id", "parent"):
            if state.get(name) is not None and not re.fullmatch(r"\w{1,64}", str(state[name])):
                raise ConfigError(f"logger.mlflow: the checkpoint's {name} is not one of MLflow's.")
        self._run_id, self._parent = state["run_id"], state["parent"]

    def _send(self) -> None:
        """Send what waits, and wait so long that sending takes but a share of the time."""
        if self._waiting:
            began = time.monotonic()
            with self._explained():
                self._log_numbers([(numbers, int(numbers["step"])) for numbers in self._waiting])
            self._waiting, took = [], time.monotonic() - began
            self._due = time.monotonic() + took / _SHARE

    def _log_numbers(self, rows: list[tuple[Mapping[str, Any], int]]) -> None:
        """Numbers and their steps; what is not finite is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(re.sub(r"[^\w./ :-]", "_", name, flags=re.ASCII), float(value), now, step)
            for numbers, step in rows
            for name, value in numbers.items()
            if value is not None and math.isfinite(value)
        ]
        for i in range(0, len(metrics), 1000):  # at most so many in a call
            self._client.log_batch(self._run_id, metrics=metrics[i : i + 1000])

    def _log_parameters(self, hparams: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(re.sub(r"[^\w./ :-]", "_", key, flags=re.ASCII), str(v)[:6000]) for key, v in hparams.items()]
        for i in range(0, len(params), 100):
            self._client.log_batch(self._run_id, params=params[i : i + 100])

    def _experiment(self) -> str:
        """The experiment's number; several processes may want to make it at once."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self.experiment))
            except MlflowException:
                found = self._client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _sweep_run(self, experiment: str, sweep: Path) -> str:
        """The tracked run of a sweep's folder; of several that processes have made at once the first one."""
        key = (self.tracking_uri, experiment, sweep)
        if key not in _parents:
            tag = "nettrain.sweep"
            quoted = str(sweep).replace("'", "\\'")

            def there() -> list[str]:
                found = self._client.search_runs(
                    [experiment], f"tags.`{tag}` = '{quoted}'", order_by=["start_time ASC"]
                )
                first = sorted((run.info.start_time, run.info.run_id) for run in found)
                return [run_id for _, run_id in first]

            if not there():
                made = self._client.create_run(experiment, tags={tag: str(sweep)}, run_name=sweep.name)
                if there()[0] != made.info.run_id:
                    self._client.delete_run(made.info.run_id)
            _parents[key] = there()[0]
        return _parents[key]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Within it MLflow's own errors are a sentence."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            where = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "MLflow's default store"
            raise ConfigError(f"logger.mlflow.tracking_uri={where}: {first_line(error)[:500]}.") from error


def _mlflow_client(tracking_uri: str | None) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # of a server that is not there; 7 take minutes
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri)


@dataclass
class WandB(Logger):
    """A tracked run of Weights & Biases' for each run; those of a sweep are a group."""

    name: str = "wandb"
    project: str = option("nettrain", "name of the project in which the runs lie", "launch")
    entity: str | None = option(None, "user or team that the project belongs to; null: your own default", "launch")
    mode: str | None = option(
        None,
        "online, or offline: written into the run's folder, for `wandb sync`; null: as WANDB_MODE says, or online",
        "launch",
        choices=("online", "offline"),
    )

    extra: ClassVar[str] = "wandb"

    def __post_init__(self) -> None:
        self._run_id: str | None = None
        self._run: Any = None

    def start(self, run: RunView) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._run_id = self._run_id or secrets.token_hex(8)
        sweep = run.sweep
        try:
            self._run = wandb.init(
                project=self.project,
                entity=self.entity,
                mode=self.mode,
                id=self._run_id,
                resume="allow",
                reinit="create_new",
                name=" ".join([f"{run.number}:", *run.overrides])[:128] if sweep else run.folder.name,
                group=f"{sweep.parent.name}/{sweep.name}"[-128:] if sweep else None,
                config=dict(run.hparams),
                dir=run.folder,
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.Error as error:
            raise ConfigError(f"logger=[wandb]: {first_line(error)}; mode=offline needs no account.") from error

    def epoch(self, run: RunView) -> None:
        step = int(run.numbers["step"])
        if step >= self._run.step:  # what is there already was sent before the run was stopped
            self._run.log({name: value for name, value in run.numbers.items() if not math.isnan(value)}, step=step)

    def end(self, run: RunView) -> None:
        results = {name: value for name, value in run.summary.items() if not name.startswith(("train_", "val_"))}
        self._run.summary.update({**results, "status": run.status})
        self._run.finish(exit_code=0 if run.status == "completed" else 1)

    def state_dict(self) -> dict[str, Any]:
        return {"run_id": self._run_id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not re.fullmatch(r"\w{1,64}", str(state.get("run_id"))):
            raise ConfigError("logger.wandb: the checkpoint's run_id is not one of W&B's.")
        self._run_id = state["run_id"]
