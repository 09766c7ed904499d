"""The command line: which commands there are, and what happens when one is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, NoReturn

from spiketicket._version import __version__
from spiketicket.cli.declare import Command, Exit, Group, Stopped
from spiketicket.cli.guard import BAD_INPUT, EXPECTED, SOME_FAILED, said, told_notes
from spiketicket.cli.helping import help_of_command, help_of_group, help_of_groups
from spiketicket.cli.parse import HELP, HelpWanted, MisuseError, parse, usage
from spiketicket.cli.wording import speak_of
from spiketicket.errors import did_you_mean
from spiketicket.machine.alive import alive
from spiketicket.machine.output import fail, say, say_whole, tell

PROGRAM: Final = "spiketicket"


class Listed(NamedTuple):
    """A command's file, the function or the group of commands in it, and examples."""

    file: str
    attribute: str
    examples: tuple[str, ...] = ()


GROUPS: Final[Mapping[str, Mapping[str, Listed]]] = {
    "First steps": {
        "init": Listed("init", "init", ("spiketicket init --images photos -o photos.toml",)),
        "find": Listed("find", "find", ("spiketicket find digits-binw --seeds 5 --workers 2",)),
        "show": Listed("show", "show", ("spiketicket show my.ticket",)),
        "run": Listed("run", "run", ("spiketicket run my.ticket picture.png --top 3",)),
        "live": Listed(
            "live", "live", ("spiketicket live nmnist1k-vgg 60004.bin --window-ms 300",)
        ),
        "report": Listed("report", "report", ("spiketicket report runs/*",)),
        "recipe": Listed("recipe", "app"),
    },
    "Measure and compare": {
        "verify": Listed("verify", "verify", ("spiketicket verify my.ticket --root ~/data",)),
        "eval": Listed("eval", "evaluate", ("spiketicket eval my.ticket --root ~/data",)),
        "measure": Listed("measure", "measure", ("spiketicket measure my.ticket --images all",)),
        "bench": Listed("bench", "bench", ("spiketicket bench my.ticket --batch 1,32",)),
        "exit": Listed("exit", "early_exit", ("spiketicket exit my.ticket -o early.ticket",)),
        "train": Listed("train", "train", ("spiketicket train digits-binw",)),
        "sweep": Listed(
            "sweep", "sweep", ("spiketicket sweep digits-binw --axis ticket.density=0.1,0.5",)
        ),
        "compare": Listed(
            "compare", "compare", ("spiketicket compare digits-binw --methods imp,snip",)
        ),
        "reproduce": Listed("reproduce", "reproduce", ("spiketicket reproduce --list",)),
    },
    "Ship": {
        "quantise": Listed(
            "quantise", "quantise", ("spiketicket quantise my.ticket -o int8.ticket",)
        ),
        "pack": Listed("pack", "pack", ("spiketicket pack my.ticket -o small.ticket",)),
        "export": Listed("export", "export", ("spiketicket export my.ticket --to c -o out",)),
        "zoo": Listed("zoo", "app"),
    },
    "Data and installation": {
        "data": Listed("data", "app"),
        "view": Listed("view", "view", ("spiketicket view recording.raw -o recording.gif",)),
        "completion": Listed("completion", "completion", ("spiketicket completion bash",)),
        "version": Listed("version", "version", ("spiketicket version --verbose",)),
    },
}
COMMANDS: Final = {name: each for group in GROUPS.values() for name, each in group.items()}
_HELP: Final = "Find a lottery ticket inside a spiking neural network, test if it wins, ship it."
_VERSION: Final = ("--version", "Print the version.")


class Application:
    """The whole command line; only the file of the command that is called is imported."""

    def __init__(self) -> None:
        self._loaded: dict[str, Command | Group] = {}

    @property
    def commands(self) -> dict[str, Command | Group]:
        """Every command and group of commands, by name."""
        return {name: self.command(name) for name in COMMANDS}

    def command(self, name: str) -> Command | Group:
        """A command or a group of commands, from its file."""
        if name not in self._loaded:
            listed = COMMANDS[name]
            module = importlib.import_module(f"spiketicket.cli.{listed.file}")
            made = getattr(module, listed.attribute)
            if not isinstance(made, Group):
                made = Command(name, made, listed.examples)
            self._loaded[name] = made
        return self._loaded[name]

    def run(self, arguments: Sequence[str]) -> int:
        """Do what the arguments ask for; the exit code. Errors of users are lines."""
        try:
            with told_notes():
                self._run(arguments)
        except Exit as end:
            return end.code
        except Stopped:
            tell("stopped")
            return SOME_FAILED
        except EXPECTED as error:
            code = said(error)
            if code is None:
                raise
            return code
        return 0

    def _run(self, arguments: Sequence[str]) -> None:
        if not arguments:
            _misused(PROGRAM, self._help(), "")
        first, *rest = arguments
        if first == _VERSION[0]:
            say(f"{PROGRAM} {__version__}")
        elif first in HELP:
            say_whole(self._help())
        elif first not in COMMANDS:
            self._unknown(PROGRAM, first, COMMANDS)
        else:
            _called(f"{PROGRAM} {first}", self.command(first), rest)

    def _help(self) -> str:
        groups = {title: map(self.command, names) for title, names in GROUPS.items()}
        names = {id(self.command(name)): name for name in COMMANDS}
        return help_of_groups(PROGRAM, _HELP, groups, names=names, more=[_VERSION])

    @staticmethod
    def _unknown(path: str, name: str, known: Mapping[str, object]) -> NoReturn:
        what = "no such option" if name.startswith("-") else "no such command"
        error = MisuseError(what, where=name, remedy=did_you_mean(name, known, "Commands"))
        _misused(path, f"Usage: {path} [OPTIONS] COMMAND ...", str(error))


def _called(path: str, command: Command | Group, arguments: Sequence[str]) -> None:
    if isinstance(command, Command):
        _do(path, command, arguments)
    elif not arguments:
        _misused(path, help_of_group(path, command), "")
    elif arguments[0] in HELP:
        say_whole(help_of_group(path, command))
    elif arguments[0] not in command.commands:
        Application._unknown(path, arguments[0], command.commands)
    else:
        name, *rest = arguments
        _do(f"{path} {name}", command.commands[name], rest)


def _do(path: str, command: Command, arguments: Sequence[str]) -> None:
    speak_of({option for each in command.params for option in each.opts})
    try:
        given = parse(command, arguments)
    except HelpWanted:
        say_whole(help_of_command(path, command))
        return
    except MisuseError as error:
        _misused(path, usage(path, command), str(error))
    silent = bool(given.get("quiet") or given.get("as_json"))
    with alive(path.partition(" ")[2], silent=silent):
        command.function(**given)


def _misused(path: str, shown: str, problem: str) -> NoReturn:
    """End with what is wrong with a command line; without a problem ``shown`` says it all."""
    for line in shown.split("\n"):
        tell(line)
    if problem:
        end = "" if problem.endswith("?") else "."
        fail(f"{problem}{end} See {path} --help")
    raise Exit(BAD_INPUT)
