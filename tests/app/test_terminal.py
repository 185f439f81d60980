"""What a run says: in a terminal of 80 columns with a bar and colours, elsewhere as plain lines, or nothing at all."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

TRAIN = Path(__file__).parents[2] / "train.py"
ESCAPES = r"\x1b\[[0-9;]*[A-Za-z]"


def in_a_terminal(*arguments):
    """What the program writes into a terminal of 80 columns."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.environ["TERM"] = "xterm"
        os.environ.pop("NO_COLOR", None)
        os.execv(sys.executable, [sys.executable, str(TRAIN), *arguments])
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that it was closed
            break
        written += part
    assert os.waitpid(child, 0)[1] == 0, written.decode()
    return written.decode()


def test_a_terminal_has_a_bar_with_the_loss_and_colours_in_80_columns(here):
    written = in_a_terminal("data=iris", "epochs=400", "figures=never", "hydra.run.dir=run")
    assert "\x1b[32mcompleted\x1b[0m" in written
    lines = re.split(r"[\r\n]+", re.sub(ESCAPES, "", written))
    assert max(len(line) for line in lines if not line.startswith("folder")) <= 80
    bars = [line for line in lines if re.match(r"\s*\d+%\|", line)]
    shown = r"\s*\d+%\|.*\| \d+/400 epochs \[00:\d\d<[\d:]+, val_loss=[\d.e-]+, val_accuracy=[\d.]+\]"
    assert any(re.fullmatch(shown, bar) for bar in bars), bars
    assert not any("%|" in line for line in written.rstrip().splitlines()[-8:])  # it has gone at the end
    assert any(line.startswith("           layers.1  64x64 + 64  4,160") for line in lines)


def test_elsewhere_there_are_neither_bars_nor_colours_and_quiet_says_nothing(here):
    def run(*more):
        command = [sys.executable, str(TRAIN), "data=iris", "epochs=2", "figures=never", *more]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    plain = run("hydra.run.dir=plain")
    assert "completed after 2 epochs" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert plain.stderr == ""
    quiet = run("hydra.run.dir=quiet", "quiet=true")
    assert (quiet.stdout, quiet.stderr) == ("", "")
