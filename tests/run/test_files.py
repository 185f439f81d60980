"""Files are whole or not there, and a damaged checkpoint is never read."""

import os

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nettrain.errors import CheckpointError, StorageError
from nettrain.storage.atomic import replace_file
from nettrain.storage.checkpoint_files import load_checkpoint, save_checkpoint
from nettrain.storage.yaml_text import FEW, yaml_text


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"model": {"w": torch.arange(5000.0)}, "epoch": 3})
    return path


def test_a_checkpoint_comes_back(checkpoint):
    content = load_checkpoint(checkpoint)
    assert content["epoch"] == 3
    assert torch.equal(content["model"]["w"], torch.arange(5000.0))
    assert os.listdir(checkpoint.parent) == ["a.pt"]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(checkpoint, share):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"a\.pt: the checkpoint is damaged"):
        load_checkpoint(checkpoint)


def test_a_flipped_bit_is_noticed(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(checkpoint)


def test_a_checkpoint_never_runs_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"format": 3, "model": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


def test_another_format_is_refused(tmp_path):
    torch.save({"format": 99}, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match="format 3"):
        load_checkpoint(tmp_path / "new.pt")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    replace_file(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


_text = st.text(st.characters(codec="utf-8")) | st.text(":'\"#- \n?&*!|>%@,[]{}0e1.nulltrue")
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=5,
)
_large = st.dictionaries(_text, _plain, min_size=FEW + 1, max_size=FEW + 3)


@given(st.dictionaries(_text, _plain | _large, max_size=3))
@settings(deadline=None)
def test_a_config_s_text_means_what_was_written(content):
    for _ in range(2):  # the second time of parts that are known
        assert yaml.safe_load(yaml_text(content)) == content
