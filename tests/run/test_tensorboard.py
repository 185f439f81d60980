"""The event files, read back as TensorBoard reads them; and once in a real browser from a real server."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import nettrain
from nettrain.training.logging.crc32c import masked_crc32c


def read(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def hparams(accumulator, which):
    tag = f"_hparams_/session_{which}_info"
    content = accumulator.SummaryMetadata(tag).plugin_data.content
    return getattr(HParamsPluginData.FromString(content), f"session_{which}_info")


def test_every_column_of_the_metrics_is_a_curve(here):
    run = nettrain.train(["data=breast_cancer", "epochs=4", "quiet=true"])
    events = read(run.folder)
    curves = {
        "loss/train": "train_loss",
        "loss/val": "val_loss",
        "accuracy/val": "val_accuracy",
        "auroc/val": "val_auroc",
        "optimizer/lr": "lr",
        "optimizer/gradient_norm": "gradient_norm",
        "optimizer/update_to_weight": "update_to_weight",
        "optimizer/gradient_evaluations": "gradient_evaluations",
    }
    assert set(curves) <= set(events.Tags()["scalars"])
    for tag, column in curves.items():
        points = events.Scalars(tag)
        assert [point.step for point in points] == run.metrics["step"].tolist()
        assert [point.value for point in points] == pytest.approx(run.metrics[column].tolist(), rel=1e-6)
    (test,) = events.Scalars("accuracy/test")
    assert test.value == pytest.approx(run.summary["test_accuracy"])


def test_the_config_is_a_page_of_text(here):
    run = nettrain.train(["data=iris", "epochs=1", "bs=7", "quiet=true"])
    (page,) = read(run.folder).Tensors("config/text_summary")
    assert "bs: 7" in page.tensor_proto.string_val[0].decode()


def test_hparams_say_what_each_run_was_and_how_it_ended(here):
    run = nettrain.train(["data=iris", "epochs=1", "optimizer=momentum", "quiet=true"])
    events = read(run.folder)
    start = hparams(events, "start").hparams
    assert start["optimizer"].string_value == "momentum"
    assert start["optimizer.momentum"].number_value == 0.9
    assert start["optimizer.nesterov"].bool_value is False
    assert start["bs"].number_value == 32
    assert hparams(events, "end").status == 1  # success
    assert not any("experiment" in tag for tag in events.Tags()["tensors"])


def test_a_diverged_run_is_a_failure_in_the_hparams(here):
    run = nettrain.train(["data=iris", "epochs=3", "optimizer=sgd", "optimizer.lr=1e30", "quiet=true"])
    assert hparams(read(run.folder), "end").status == 2


def test_no_events_when_switched_off(here):
    run = nettrain.train(["data=iris", "epochs=1", "tensorboard=false", "quiet=true"])
    assert not list(run.folder.glob("events*"))


@pytest.fixture
def two_runs(here):
    for optimizer in ("momentum", "adam"):
        options = ["data=iris", "epochs=5", "quiet=true", "figures=always", "watch.histograms_every=1"]
        nettrain.train([*options, f"optimizer={optimizer}"], folder=here / optimizer)
    return here


@pytest.fixture
def server(two_runs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("tensorboard")
    process = subprocess.Popen(
        [program, "--logdir", two_runs, "--port", str(port), "--load_fast=false", "--reload_interval=1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/"
    assert _wait(lambda: len(_answer(address + "data/runs")) == 2)
    yield address
    process.terminate()
    process.wait()


@pytest.mark.slow
def test_a_browser_shows_the_curves_and_all_columns_of_the_hparams(browser, server):
    cards = "return document.querySelectorAll('card-view').length"
    browser.get(server + "#timeseries")
    assert _wait(lambda: browser.execute_script(cards) >= 6)
    for name in ("loss", "accuracy", "optimizer", "momentum", "adam"):
        assert name in browser.execute_script("return document.body.innerText")
    shown = ("optimizer.beta1", "optimizer.momentum", "optimizer.lr", "bs", "accuracy/test")
    assert _shows(browser, server, "hparams", shown)


@pytest.mark.slow
def test_a_browser_shows_the_charts_of_every_tab(browser, server):
    assert _shows(browser, server, "images", ("figures/confusion", "figures/loss_surface"))
    assert _wait(lambda: browser.execute_script(_DEEP + "return all('img').some(i => i.naturalWidth > 500)"))
    icons = browser.execute_script(_LINES)  # there are no other lines among images
    charts = {
        "scalars": ("accuracy/train", "accuracy/val", "momentum", "adam"),
        "custom_scalars": ("training and validation", "layers", "gradient_norm", "loss"),
        "histograms": ("weights/layers.0.weight", "gradients/layers.2.bias"),
    }
    for tab, words in charts.items():
        assert _shows(browser, server, tab, words), tab
        assert _wait(lambda: browser.execute_script(_LINES) >= icons + 8), tab
    assert _shows(browser, server, "graphs", ("layers.0", "relu", "layers.2"))
    assert _wait(lambda: browser.execute_script(_DEEP + "return all('g.node').length") >= 7)


_DEEP = """
    const inner = node => node.shadowRoot ? roots(node.shadowRoot) : [];
    const roots = node => [node, ...[...node.querySelectorAll('*')].flatMap(inner)];
    const all = selector => roots(document).flatMap(root => [...root.querySelectorAll(selector)]);
    const walk = node => (node.shadowRoot ? walk(node.shadowRoot) : '') +
        [...node.childNodes].map(n => n.nodeType == 3 ? n.data : n.nodeType == 1 ? walk(n) : '').join(' ');
"""  # some tabs keep what they show in shadow roots
_LINES = _DEEP + "return all('path').filter(p => (p.getAttribute('d') || '').split('L').length >= 5).length"


def _shows(browser, server, tab, words):
    """Whether the page of a tab comes to show all the words."""
    browser.get("about:blank")
    browser.get(f"{server}#{tab}")
    text = _DEEP + "return walk(document.body)"
    return _wait(lambda: all(word in browser.execute_script(text) for word in words))


def _answer(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return json.load(response)
    except OSError:
        return []


def _wait(condition, seconds=60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.5)
    return False


@pytest.mark.parametrize("size", [8, 100, 1023, 1024, 1025, 1027, 1028, 2050, 5000])
def test_the_checksum_is_tensorboard_s(size):
    data = np.random.default_rng(size).integers(256, size=(3, size), dtype=np.uint8)
    assert masked_crc32c(data).tolist() == [pywrap_tensorflow.masked_crc32c(row.tobytes()) for row in data]
