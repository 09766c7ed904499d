"""The ``spiketicket`` command: one file a command, and no PyTorch until a command needs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from spiketicket import __version__
from spiketicket.cli._guard import GuardedGroup

# command -> its file, and the function or the group of commands in it
_COMMANDS = {
    "find": ("find", "find"),
    "train": ("train", "train"),
    "sweep": ("sweep", "sweep"),
    "compare": ("compare", "compare"),
    "reproduce": ("reproduce", "reproduce"),
    "run": ("run", "run"),
    "eval": ("eval", "evaluate"),
    "measure": ("measure", "measure"),
    "bench": ("bench", "bench"),
    "show": ("show", "show"),
    "pack": ("pack", "pack"),
    "export": ("export", "export"),
    "report": ("report", "report"),
    "data": ("data", "app"),
    "zoo": ("zoo", "app"),
    "version": ("version", "version"),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"spiketicket {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before the command's name."""


def make_app(commands: Sequence[str] = tuple(_COMMANDS)) -> typer.Typer:
    """The command line with some of its commands; only their files are imported."""
    made = typer.Typer(
        name="spiketicket",
        cls=GuardedGroup,
        help="Find the winning lottery ticket inside a spiking neural network, prove it, ship it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    for name in commands:
        file, attribute = _COMMANDS[name]
        command = getattr(importlib.import_module(f"{__name__}.{file}"), attribute)
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(name)(command)
    return made


def main() -> None:
    """Run the command line; ends the process with 0, 2 for bad input, or 130 after Ctrl-C."""
    # a classifier that is started for one picture should not wait for the other commands
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    make_app((first,) if first in _COMMANDS else tuple(_COMMANDS))()


def __getattr__(name: str) -> Any:
    """``app``: the whole command line."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_app()
