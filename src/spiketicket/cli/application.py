"""Builds the command line of the commands' files, with typer."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from spiketicket._version import __version__
from spiketicket.cli.alive import alive
from spiketicket.cli.guard import EXPECTED, SOME_FAILED, said, told_notes
from spiketicket.cli.wording import speak_of
from spiketicket.machine.output import fail, say, tell

# command -> its file, and the function or the group of commands in it
COMMANDS = {
    "init": ("init", "init"),
    "find": ("find", "find"),
    "train": ("train", "train"),
    "sweep": ("sweep", "sweep"),
    "compare": ("compare", "compare"),
    "reproduce": ("reproduce", "reproduce"),
    "run": ("application", "run"),
    "eval": ("eval", "evaluate"),
    "measure": ("measure", "measure"),
    "bench": ("bench", "bench"),
    "show": ("show", "show"),
    "verify": ("verify", "verify"),
    "pack": ("pack", "pack"),
    "export": ("export", "export"),
    "report": ("report", "report"),
    "recipe": ("recipe", "app"),
    "data": ("data", "app"),
    "zoo": ("zoo", "app"),
    "version": ("version", "version"),
}

# it reads its own arguments
_SETTINGS = {
    "run": {
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": list[str](),
    },
}


_MISUSE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class LivingCommand(TyperCommand):
    """A command that says now and then that it is at work, unless it was asked for silence."""

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, **extra)
        # the paragraphs of its docstring, each in one line: a terminal has another width
        self.help = re.sub(r"(?<!\n)\n(?!\n)", " ", self.help or "")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read its part of the command line."""
        speak_of({option for each in self.params for option in each.opts})
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Do what it does."""
        silent = ctx.params.get("quiet") or ctx.params.get("as_json")
        with alive(ctx.command_path.partition(" ")[2], silent=bool(silent)):
            return super().invoke(ctx)


class GuardedGroup(TyperGroup):
    """The root of the commands, which turns expected errors into lines and exit codes."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Read the command line and do what it asks; mistakes in it are lines, as others are."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except _MISUSE as error:
            code = _misused(error)
        except typer.Abort:
            tell("stopped")
            code = SOME_FAILED
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            with told_notes():
                return super().invoke(ctx)
        except EXPECTED as error:
            code = said(error)
            if code is None:
                raise
            raise typer.Exit(code) from None


def _misused(error: Any) -> int:
    """Say what is wrong with a command line."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ != "NoArgsIsHelpError":  # then the help was printed
        # a list of choices comes in lines
        message = re.sub(r"\s*\n\s*", " ", error.format_message()).removesuffix(".")
        if context is not None:
            tell(" ".join(context.get_usage().split()))
            message += f". See {context.command_path} --help"
        fail(message)
    return int(error.exit_code)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"spiketicket {__version__}")
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
        help="Find a lottery ticket inside a spiking neural network, test if it wins, ship it.",
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
            for part in command.registered_commands:
                part.cls = LivingCommand
            made.add_typer(command, name=name)
        else:
            made.command(name, cls=LivingCommand, context_settings=_SETTINGS.get(name))(command)
    return made
