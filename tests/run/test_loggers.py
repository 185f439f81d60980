"""MLflow and W&B: one tracked run for each run, with what it was and what it reached; runs that go on continue it."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request

import pytest

import nettrain

QUIET = ["data=iris", "quiet=true", "figures=never", "tensorboard=false"]


@pytest.fixture(scope="module")
def mlflow():
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    return pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def server(mlflow, tmp_path_factory):
    """The address of a real server of MLflow's on this machine."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen([*command, "--workers", "1"], cwd=folder, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1)
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.2)
    yield address
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


@pytest.fixture(params=["store", pytest.param("server", marks=pytest.mark.slow)])
def tracking(request, mlflow, tmp_path):
    """Keys for a store or a server, and a client for it."""
    uri = request.getfixturevalue("server") if request.param == "server" else f"sqlite:///{tmp_path}/runs.db"
    experiment = tmp_path.name
    keys = ["logger=[mlflow]", f"logger.mlflow.tracking_uri={uri}", f"logger.mlflow.experiment={experiment}"]
    return keys, mlflow.MlflowClient(uri), experiment


def tracked(client, experiment):
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id], order_by=["start_time ASC"])


def history(client, run, name):
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))


def test_a_run_in_mlflow(command, tmp_path, tracking):
    keys, client, experiment = tracking
    ended = command(*QUIET, *keys, "optimizer.lr=0.01", "epochs=3", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    (run,) = tracked(client, experiment)
    table = nettrain.Run(tmp_path / "run").metrics
    for name in ("train_loss", "val_accuracy", "lr", "gradient_norm/layers.0", "epoch"):
        assert history(client, run, name) == list(zip(table["step"], table[name], strict=True))
    assert run.data.params["optimizer"] == "adam"
    assert float(run.data.params["optimizer.lr"]) == 0.01
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert run.data.metrics["test_accuracy"] == summary["test_accuracy"]
    assert run.data.metrics["best_epoch"] == summary["best_epoch"]
    assert (run.info.status, run.data.tags["nettrain.status"]) == ("FINISHED", "completed")
    assert run.data.tags["nettrain.folder"] == "run" or run.data.tags["nettrain.folder"].endswith("/run")


@pytest.mark.parametrize("launcher", ["stacked", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_is_the_parent_of_its_runs(command, tmp_path, tracking, launcher):
    keys, client, experiment = tracking
    sweep = ["seed=1,2", "optimizer=adam,sgd", "epochs=2", f"hydra/launcher={launcher}"]
    ended = command("-m", *QUIET, *keys, *sweep, f"hydra.sweep.dir={tmp_path}/sweep")
    assert ended.code == 0, ended.err
    runs = tracked(client, experiment)
    (parent,) = [run for run in runs if "nettrain.sweep" in run.data.tags]
    rows = [run for run in runs if run is not parent]
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in rows} == {parent.info.run_id}
    found = sorted((run.data.params["seed"], run.data.params["optimizer"]) for run in rows)
    assert found == [("1", "adam"), ("1", "sgd"), ("2", "adam"), ("2", "sgd")]
    losses = nettrain.Sweep(tmp_path / "sweep").results["train_loss"].tolist()
    assert sorted(run.data.metrics["train_loss"] for run in rows) == sorted(losses)


def test_a_run_that_goes_on_is_the_same_tracked_run(command, tmp_path, tracking):
    """Also where more had been sent than was saved."""
    keys, client, experiment = tracking
    assert command(*QUIET, *keys, "epochs=2", "hydra.run.dir=run").code == 0
    (run,) = tracked(client, experiment)
    from mlflow.entities import Metric

    for name, value in (("epoch", 3), ("train_loss", 0.5)):
        client.log_batch(run.info.run_id, metrics=[Metric(name, value, 0, 12)])
    ended = command("resume=run", "epochs=5")
    assert (ended.code, "logger.mlflow sends its numbers to" in ended.err) == (2, True)
    assert command("resume=run", "epochs=5", "trust=true").code == 0
    (again,) = tracked(client, experiment)
    assert again.info.run_id == run.info.run_id
    table = nettrain.Run(tmp_path / "run").metrics
    sent = history(client, again, "train_loss")
    assert [step for step, _ in sent] == table["step"].tolist()
    assert sent[3:] == list(zip(table["step"], table["train_loss"], strict=True))[3:]
    assert again.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["optimizer=sgd", "optimizer.lr=1e30"], "FAILED"),
        (["callbacks.x._target_=nowhere_else.Failing"], "FAILED"),
    ],
)
def test_how_a_run_ended(command, tmp_path, monkeypatch, mlflow, arguments, status):
    (tmp_path / "nowhere_else.py").write_text(
        "import nettrain\nclass Failing(nettrain.Callback):\n    def epoch(self, run): 1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    keys = ["logger=[mlflow]", f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/runs.db"]
    assert command(*QUIET, *keys, *arguments, "epochs=2").code != 0
    (run,) = tracked(mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db"), "nettrain")
    assert run.info.status == status


def test_a_server_that_is_not_there(command, tmp_path, mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = command(*QUIET, "logger=[mlflow]", "logger.mlflow.tracking_uri=http://127.0.0.1:9", "hydra.run.dir=run")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("nettrain: logger.mlflow.tracking_uri=http://127.0.0.1:9: ")


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    return pytest.importorskip("wandb")


def entries(content):
    """The serialised records in W&B's file: a log as LevelDB's, in blocks of 32 KiB, behind 7 bytes of its own."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def records(folder):
    """What W&B has written of the runs in a folder, by their ids: how they began, their rows, how they ended."""
    from wandb.proto import wandb_internal_pb2

    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in entries(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            run = found.setdefault(path.stem, {"rows": []})
            if record.HasField("run"):
                run["run"] = record.run
            elif record.HasField("history"):
                row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                run["rows"].append(row)
            elif record.HasField("exit"):
                run["exit"] = record.exit.exit_code
    return found


@pytest.mark.slow
def test_runs_in_wandb_s_offline_mode(command, tmp_path, wandb):
    ended = command("-m", *QUIET, "logger=[wandb]", "seed=1,2", "epochs=2", "hydra.sweep.dir=out/sweep")
    assert ended.code == 0, ended.err
    for number in (0, 1):
        folder = tmp_path / "out" / "sweep" / str(number)
        ((name, tracked_run),) = records(folder).items()
        assert tracked_run["run"].run_group == "out/sweep"
        assert tracked_run["exit"] == 0
        config = {item.key: json.loads(item.value_json) for item in tracked_run["run"].config.update}
        assert (config["seed"], config["optimizer"]) == (number + 1, "adam")
        table = nettrain.Run(folder).metrics
        assert [row["_step"] for row in tracked_run["rows"]] == table["step"].tolist()
        assert [row["val_loss"] for row in tracked_run["rows"]] == table["val_loss"].tolist()
    assert command(f"resume={folder}", "epochs=4").code == 0
    assert set(records(folder)) == {name}
    assert len(list(folder.glob("wandb/offline-run-*"))) == 2  # of one run, which `wandb sync` joins


@pytest.mark.parametrize("logger", ["mlflow", "wandb"])
def test_a_missing_package_is_said_before_training(tmp_path, logger):
    """A folder of that name, such as W&B's own, is not the package; where that is installed, it is hidden."""
    (tmp_path / logger).mkdir()
    code = (
        f"import sys; from importlib.util import find_spec; found = find_spec({logger!r})\n"
        f"if found and found.origin: sys.modules[{logger!r}] = None\n"
        "from nettrain.app.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *QUIET, f"logger=[{logger}]"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"nettrain: logger.{logger}: it requires {logger}; pip install 'nettrain[{logger}]'.\n"


def test_loggers_may_change_when_a_run_goes_on(command, tmp_path, mlflow):
    store = f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/runs.db"
    assert command(*QUIET, "epochs=1", "hydra.run.dir=run").code == 0
    assert command("resume=run", "logger=[mlflow]", store, "epochs=2").code == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    (run,) = tracked(client, "nettrain")
    assert [step for step, _ in history(client, run, "epoch")] == [8]
    assert command("resume=run", "logger=[]", "epochs=3", "trust=true").code == 0
    assert command("resume=run", "logger=[mlflow]", store, "epochs=4").code == 0
    (run,) = tracked(client, "nettrain")
    assert [step for step, _ in history(client, run, "epoch")] == [8, 16]
