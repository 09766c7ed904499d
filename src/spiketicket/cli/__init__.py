"""The ``spiketicket`` command: one file a command, and no PyTorch until a command needs it."""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> None:
    """Run the command line; ends the process with 0, 2 for bad input, or 130 after Ctrl-C."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    # who starts a classifier for one picture should wait neither for the other commands nor for
    # the library that builds their command lines
    if first == "run":
        sys.exit(_run())
    from spiketicket.cli._app import COMMANDS, make_app

    make_app((first,) if first in COMMANDS else tuple(COMMANDS))()


def _run() -> int:
    from spiketicket.cli.run import main as run

    try:
        code = run(sys.argv[2:])
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read has gone; Python would complain once more when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def __getattr__(name: str) -> Any:
    """``app``: the whole command line."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spiketicket.cli._app import make_app

    return make_app()
