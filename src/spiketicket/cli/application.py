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
from spiketicket.cli.examples import EXAMPLES
from spiketicket.cli.guard import EXPECTED, SOME_FAILED, said, told_notes
from spiketicket.cli.wording import speak_of
from spiketicket.machine.output import fail, say, tell

GROUPS = {
    "First steps": {
        "init": ("init", "init"),
        "find": ("find", "find"),
        "show": ("show", "show"),
        "report": ("report", "report"),
        "recipe": ("recipe", "app"),
    },
    "Measure and compare": {
        "eval": ("eval", "evaluate"),
        "measure": ("measure", "measure"),
        "verify": ("verify", "verify"),
        "bench": ("bench", "bench"),
        "train": ("train", "train"),
        "sweep": ("sweep", "sweep"),
        "compare": ("compare", "compare"),
        "reproduce": ("reproduce", "reproduce"),
    },
    "Ship": {
        "run": ("application", "run"),
        "export": ("export", "export"),
        "pack": ("pack", "pack"),
        "zoo": ("zoo", "app"),
    },
    "Data": {"data": ("data", "app")},
    "This program": {
        "completion": ("completion", "completion"),
        "version": ("version", "version"),
    },
}
"""Group of the help -> command -> its file, and the function or the group of commands in it."""
COMMANDS = {name: place for group in GROUPS.values() for name, place in group.items()}

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

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of the help."""
        order = list(COMMANDS)
        return sorted(super().list_commands(ctx), key=order.index)

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


def print_help_of_run() -> None:
    """The help of ``run``, whose own parser starts faster, as the other commands have it."""
    from spiketicket.cli.run import as_command

    shown = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    shown.command(
        "run",
        cls=LivingCommand,
        epilog=_example("run"),
        context_settings={"help_option_names": ["-h", "--help"]},
    )(as_command())
    shown(["--help"], prog_name="spiketicket run", standalone_mode=False)


def make_app(commands: Sequence[str] = tuple(COMMANDS)) -> typer.Typer:
    """The command line with some of its commands; only their files are imported."""
    made = typer.Typer(
        name="spiketicket",
        cls=GuardedGroup,
        help="Find a lottery ticket inside a spiking neural network, test if it wins, ship it.",
        no_args_is_help=True,
        epilog=_example("find"),
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    panels = {name: group for group, names in GROUPS.items() for name in names}
    for name in commands:
        file, attribute = COMMANDS[name]
        command = getattr(importlib.import_module(f"spiketicket.cli.{file}"), attribute)
        if isinstance(command, typer.Typer):
            for part in command.registered_commands:
                part.cls = LivingCommand
                below = part.name or getattr(part.callback, "__name__", "")
                part.epilog = _example(f"{name} {below}")
            first = next(text for key, text in EXAMPLES.items() if key.startswith(f"{name} "))
            made.add_typer(
                command, name=name, rich_help_panel=panels[name], epilog=f"Example: {first}"
            )
        else:
            made.command(
                name,
                cls=LivingCommand,
                context_settings=_SETTINGS.get(name),
                rich_help_panel=panels[name],
                epilog=_example(name),
            )(command)
    return made


def _example(command: str) -> str:
    return f"Example: {EXAMPLES[command]}"
