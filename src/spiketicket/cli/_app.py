"""Builds the command line of the commands' files, with typer."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from spiketicket import __version__
from spiketicket.cli._guard import EXPECTED, said

# command -> its file, and the function or the group of commands in it
COMMANDS = {
    "find": ("find", "find"),
    "train": ("train", "train"),
    "sweep": ("sweep", "sweep"),
    "compare": ("compare", "compare"),
    "reproduce": ("reproduce", "reproduce"),
    "run": ("_app", "run"),
    "eval": ("eval", "evaluate"),
    "measure": ("measure", "measure"),
    "bench": ("bench", "bench"),
    "show": ("show", "show"),
    "verify": ("verify", "verify"),
    "pack": ("pack", "pack"),
    "export": ("export", "export"),
    "report": ("report", "report"),
    "data": ("data", "app"),
    "zoo": ("zoo", "app"),
    "version": ("version", "version"),
}

# it reads its own arguments
_SETTINGS = {
    "run": {
        "ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": list[str](),
    },
}  # fmt: skip


class GuardedGroup(TyperGroup):
    """The root of the commands, which turns expected errors into lines and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            code = said(error)
            if code is None:
                raise
            raise typer.Exit(code) from None


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


def run(context: typer.Context) -> None:
    """Classify pictures or recordings with a ticket, without PyTorch."""
    from spiketicket.cli.run import main

    raise typer.Exit(main(context.args))


def make_app(commands: Sequence[str] = tuple(COMMANDS)) -> typer.Typer:
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
        file, attribute = COMMANDS[name]
        command = getattr(importlib.import_module(f"spiketicket.cli.{file}"), attribute)
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(name, context_settings=_SETTINGS.get(name))(command)
    return made
