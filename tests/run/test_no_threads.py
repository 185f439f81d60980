"""No thread of tqdm's is started: at the end of a process it may meet what is gone already. Others keep theirs."""

import threading

import pytest
from tqdm import TMonitor, tqdm

import nettrain


@pytest.mark.parametrize("words", [["quiet=true"], ["quiet=false"], ["engine=inductor", "quiet=true", "bs=100"]])
def test_training_starts_no_monitor(here, words):
    before = tqdm.monitor_interval
    nettrain.train(["data=iris", "epochs=2", "tensorboard=false", *words])
    assert not [thread for thread in threading.enumerate() if isinstance(thread, TMonitor)]
    assert tqdm.monitor_interval == before > 0
