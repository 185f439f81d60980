"""The program's first steps: what draws figures is started before torch is imported, and so ready when it is needed."""

import atexit
import gc
import os
import sys
from signal import SIGINT

from nettrain.terminal import keep_streams

gc.set_threshold(100_000, 50, 100)  # imports and configs make many objects and hardly a cycle
atexit.register(gc.freeze)  # nor does the interpreter have to look for any at its end
if "RANK" in os.environ:  # ranks say themselves when they lose each other
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the processor; before torch is loaded

_ONLY_TELLS = {"--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc"}


def main() -> None:
    """Run the command line; ends the process with one of nettrain's exit codes."""
    keep_streams()  # before the process that draws is given pipes
    try:
        if _draws(sys.argv[1:]):
            from nettrain.figures import process

            process.start()
        from nettrain.app import cli
    except KeyboardInterrupt:
        print("nettrain: interrupted before training began", file=sys.stderr)
        sys.exit(128 + SIGINT)
    cli.main()


def _draws(arguments: list[str]) -> bool:
    """Whether figures can be expected of a command line; what its config files say is not known yet."""
    follows = os.environ.get("RANK", "0") != "0"  # one of the processes that torchrun has started
    return (
        not follows
        and "figures=never" not in arguments
        and not _ONLY_TELLS & {text.partition("=")[0] for text in arguments}
    )
