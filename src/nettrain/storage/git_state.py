"""The git commit of a folder, and whether files differ from it, found without anything that its repository names.

A repository may have come from somebody else, and its config can name programs for nearly all that git does: a monitor
of files, filters, hooks. So files are compared in the name of an empty repository, which borrows its objects.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

SECONDS = 2  # that git may take


@cache
def git_state(folder: str) -> dict[str, Any]:
    """`git_commit` and `git_changed` of the repository that the folder lies in; both None where there is none."""
    try:
        # Nothing is run for a question like this one.
        found = _git("-C", folder, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir", "HEAD")
        top, own, common, commit = found.splitlines()
        return {"git_commit": commit, "git_changed": _is_changed(top, Path(own), Path(folder, common), commit)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {"git_commit": None, "git_changed": None}


def _is_changed(top: str, own: Path, common: Path, commit: str) -> bool:
    """Whether files in `top` differ from the commit, going by a repository's own files and those of all its trees."""
    with tempfile.TemporaryDirectory() as place:
        empty = Path(place)
        (empty / "HEAD").write_text(commit + "\n")
        (empty / "refs").mkdir()
        (empty / "objects" / "info").mkdir(parents=True)
        (empty / "objects" / "info" / "alternates").write_text(f"{(common / 'objects').resolve()}\n")
        if (own / "index").exists():
            shutil.copy2(
                own / "index", empty / "index"
            )  # with its time, by which git knows what it has to look at again
        options = ["--porcelain", "--untracked-files=no", "--ignore-submodules=all"]
        return bool(_git(f"--git-dir={empty}", f"--work-tree={top}", "status", *options).strip())


def _git(*words: str) -> str:
    nobody = dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull) if "status" in words else {}
    finished = subprocess.run(
        ["git", "--no-optional-locks", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
        env={**os.environ, **nobody},
    )
    return finished.stdout
