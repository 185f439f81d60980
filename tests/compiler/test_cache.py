"""Programs in the cache: only whole ones that are out of reach of others are loaded, and the rest is built again."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nettrain.compiler import library as building
from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.library import BuildError, library
from nettrain.compiler.processor import KERNELS
from nettrain.compiler.source import function

SEVEN = KERNELS + 'extern "C" int64_t seven() { return 7; }'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of programs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "_said", set())
    return tmp_path / "cache" / "nettrain"


@pytest.fixture
def said():
    return []


@pytest.fixture
def built(cache):
    """The path of a program in the cache, which this process has not loaded."""
    subprocess.run(
        [sys.executable, "-c", f"from nettrain.compiler.library import *; library({SEVEN!r}, lambda: False, print)"],
        umask=0o002,  # whatever the user's is
        check=True,
    )
    (path,) = cache.glob("*.so")
    return path


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "a hole": lambda content: content[:4096] + bytes(4096) + content[8192:],
    "a bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_program_is_built_again(built, damage, said):
    whole = built.read_bytes()
    built.write_bytes(DAMAGES[damage](whole))
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    (path,) = built.parent.glob("*.so")
    assert path.read_bytes() == whole
    assert said == []


def test_a_program_is_kept_out_of_reach_of_others(built):
    assert built.stat().st_mode & 0o77 == 0
    assert built.parent.stat().st_mode & 0o77 == 0


def test_a_program_that_others_can_write_is_built_again(built, said):
    built.chmod(0o722)
    evil = built.read_bytes()
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert said == [f"{built}: others can write it, so that it is not loaded but built anew."]
    assert built.stat().st_mode & 0o77 == 0
    assert built.read_bytes() == evil


def test_a_program_that_is_a_link_is_built_again(built, said, tmp_path):
    built.rename(tmp_path / "elsewhere.so")
    built.symlink_to(tmp_path / "elsewhere.so")
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert "it is not a file" in said[0]
    assert not built.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["program", "folder"])
def test_what_another_user_owns_is_not_loaded(built, said, what):
    os.chown(built if what == "program" else built.parent, 12345, 12345)
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert "it belongs to another user" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_folder_above_whose_owner_can_rename_is_not_used(built, said, mode):
    above = built.parent.parent
    above.chmod(mode)
    os.chown(above, 12345, 12345)
    assert library(SEVEN, lambda: True, said.append) is None
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert f"{built.parent}: {above} belongs to another user" in said[0]


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_can_write_is_not_used(built, said, mode):
    built.parent.chmod(mode)
    assert library(SEVEN, lambda: True, said.append) is None  # it had to be built
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert len(said) == 1
    assert f"{built.parent}: others can write it" in said[0]
    assert "built for this run alone" in said[0]
    assert list(built.parent.iterdir()) == [built]


def test_a_folder_above_in_which_others_can_rename_is_not_used(built, said):
    built.parent.parent.chmod(0o777)
    assert library(SEVEN, lambda: True, said.append) is None
    built.parent.parent.chmod(0o1777)  # as /tmp: there only owners rename
    assert library(SEVEN, lambda: True, said.append).seven() == 7


@pytest.mark.parametrize("place", ["/proc/nettrain", "/dev/null/home", "/sys/home"])
def test_without_a_cache_programs_are_built_for_one_run(place, monkeypatch, said):
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert len(said) == 1
    assert place in said[0]


def test_a_full_disk_under_the_cache_is_said_in_words(cache, monkeypatch, said):
    write = Path.write_text

    def full(path, *arguments):
        if cache in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # of a write, which names no file
        return write(path, *arguments)

    monkeypatch.setattr(Path, "write_text", full)
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert said == ["compiled programs cannot be kept (No space left on device), and are built for this run alone."]


def test_a_temporary_folder_is_not_needed(cache, monkeypatch, said):
    monkeypatch.setenv("TMPDIR", "/proc")  # where nothing can be written
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert said == []


def test_where_nothing_can_be_written_it_is_said(monkeypatch, said):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nettrain")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(OSError, match="/nowhere"):
        library(SEVEN, lambda: False, said.append)


def test_what_killed_compilations_have_left_is_removed(cache, said):
    cache.mkdir(parents=True, mode=0o700)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    for name in (f"building-{int(ended.stdout)}-x", f"building-{os.getppid()}-y", "mine"):
        (cache / name).mkdir()
        (cache / name / "program.cpp").touch()
    assert library(SEVEN, lambda: False, said.append).seven() == 7
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {f"building-{os.getppid()}-y", "mine"}


def test_a_program_with_a_mistake_is_not_kept(cache, said):
    with pytest.raises(BuildError, match="error:"):
        library("this is no C++", lambda: False, said.append)
    assert list(cache.iterdir()) == []


def test_what_would_take_long_to_build_is_not_begun():
    def many(x):
        for _ in range(1000):
            x.sin_()

    with pytest.raises(CannotCompile, match="more than 700 operations"):
        function("many", many, {"x": torch.zeros(3)})
