"""The command `nettrain-play`."""

import os
import sys
import webbrowser
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from nettrain.errors import ConfigError, Mistake
from nettrain.terminal import say, tell

PORT = 8642
FOLDER = Path("outputs") / "play"

_ABOUT = """Opens a page in the browser on which small networks are seen while they train:
boundaries, curves, hidden units, gradients, several optimizers in a race, 64
seeds at once. It trains as `nettrain` does, and shows the command line that
gives the same numbers. It is served to this machine alone.

[overrides] are settings to begin with, as on the command line, such as
  nettrain-play data=spirals optimizer=momentum optimizer.lr=0.1
  nettrain-play data=csv data.path=flowers.csv data.target=species"""


def main() -> None:
    """Serve the page until Ctrl-C; a mistake ends the process with nettrain's exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the processor; before torch is loaded
    parser = ArgumentParser(
        prog="nettrain-play",
        usage="%(prog)s [--port N] [--no-browser] [overrides]",
        description=_ABOUT,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"port on 127.0.0.1, 0 for any free one (default {PORT})"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    parser.add_argument("overrides", nargs="*", help="settings to begin with")
    settings = parser.parse_args()
    try:
        serve(settings.port, settings.overrides, not settings.no_browser)
    except Mistake as mistake:
        tell(mistake)
        sys.exit(mistake.exit_code)
    except KeyboardInterrupt:
        say("")


def serve(port: int, overrides: Sequence[str], opens: bool) -> None:
    """Serve the page; the overrides are what it begins with. Raises a `Mistake` where it cannot."""
    from nettrain.play.server import HOST, Answers, PlayServer
    from nettrain.play.session import Setting
    from nettrain.play.tables import Tables

    if not 0 <= port < 2**16:
        raise ConfigError(f"--port {port}: a port is a number between 0 and {2**16 - 1}.")
    files = [Path(text.partition("=")[2]) for text in overrides if text.startswith("data.path=")]
    answers = Answers(Tables(FOLDER), files)
    Setting([list(overrides)]).check(answers.readable)
    with PlayServer(port, answers) as server:
        address = f"http://{HOST}:{server.server_port}/{start_of(overrides)}"
        say(f"nettrain-play is at {address} (Ctrl-C ends it)")
        if opens:
            webbrowser.open(address)
        server.serve_forever()


def start_of(overrides: Sequence[str]) -> str:
    """The part of the page's address that holds its settings."""
    pairs = (override.partition("=") for override in overrides)
    text = "&".join(f"{quote(key)}={quote(value, safe='[],.:/')}" for key, _, value in pairs)
    return f"#{text}" if text else ""
