"""The ``spiketicket`` command: one file a command, and no PyTorch until a command needs it."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Run the command line; ends the process with 0, 2 for bad input, or 130 after Ctrl-C."""
    from spiketicket.machine import output
    from spiketicket.machine.apart import apart

    output.prepare()
    try:
        with apart():
            code = _do(sys.argv[1:])
    except BrokenPipeError:
        code = 1  # whoever read has gone
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except OSError as error:  # of standard output, as by --help
        from spiketicket.cli.guard import said

        told = said(error)
        if told is None:
            raise
        code = told
    sys.exit(output.close(code))


def _do(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    # who starts a classifier for one picture should wait neither for the other commands nor for
    # the library that builds their command lines
    if first == "run":
        from spiketicket.cli.run import main as run

        return run(arguments[1:])
    from spiketicket.cli.application import COMMANDS, make_app

    chosen = (first,) if first in COMMANDS else tuple(COMMANDS)
    make_app(chosen)(prog_name="spiketicket")
    return 0


def __getattr__(name: str) -> Any:
    """``app``: the whole command line."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spiketicket.cli.application import make_app

    return make_app()
