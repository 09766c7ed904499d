"""How a command's function tells its part of the command line: annotations, read by this file.

    @app.command()
    def view(
        target: Annotated[str, Argument(help="A recording.")],
        out: Annotated[Path | None, Option("--out", "-o", help="The picture.")] = None,
    ) -> None:
        '''Write a picture of a recording.'''

A value is a text, a path, a whole number, a number, a truth value (a flag), one of a StrEnum or of
a Literal, or a list of them; ``X | None`` has None where it is not given. The standard library is
enough for that, so that who only classifies a picture installs nothing more and waits for nothing.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

_NAMES: Final[Mapping[type, str]] = {str: "TEXT", Path: "PATH", int: "N", float: "X"}


class Exit(Exception):  # noqa: N818 - no error: how a command ends
    """Ends a command with an exit code; what there is to say was said."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


class Stopped(Exception):  # noqa: N818 - no error: the user's wish
    """The user said no."""


class Argument:
    """A value by its place; a list takes all that are there. ``read`` makes it of a text."""

    def __init__(
        self,
        *,
        help: str,  # noqa: A002 - as elsewhere
        metavar: str = "",
        read: Callable[[str], Any] | None = None,
    ) -> None:
        self.help, self.metavar, self.read = help, metavar, read


class Option:
    """A value by name, which is the parameter's where none is given.

    A flag whose default is True has a ``--no-name`` that makes it False. ``callback`` is called
    with the value before the command is.
    """

    def __init__(
        self,
        *names: str,
        help: str,  # noqa: A002 - as elsewhere
        metavar: str = "",
        min: float | None = None,  # noqa: A002 - as elsewhere
        callback: Callable[[Any], object] | None = None,
    ) -> None:
        self.names, self.help, self.metavar = names, help, metavar
        self.least, self.callback = min, callback


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a command's function."""

    name: str
    told: Argument | Option
    kind: Any
    """The type of one value."""
    many: bool
    default: Any
    required: bool

    @property
    def opts(self) -> tuple[str, ...]:
        """Its names on the command line; none where its place says which it is."""
        if not isinstance(self.told, Option):
            return ()
        names = self.told.names or (f"--{self.name.replace('_', '-')}",)
        turned = self.is_flag and self.default is True
        return (*names, f"--no-{names[0].removeprefix('--')}") if turned else names

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self.kind is bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that it may be, where they are few."""
        if isinstance(self.kind, type) and issubclass(self.kind, enum.StrEnum):
            return tuple(self.kind)
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is Literal else ()

    @property
    def metavar(self) -> str:
        """What stands for its value in the help."""
        if self.told.metavar or self.is_flag:
            return self.told.metavar
        if isinstance(self.told, Argument):
            return f"{self.name.upper()}{'...' * self.many}"
        return "|".join(self.choices) or _NAMES[self.kind]


@dataclass(frozen=True)
class Command:
    """A function that is a command, and how it is called."""

    name: str
    function: Callable[..., None]
    examples: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """Its docstring, each paragraph in one line: a terminal has another width."""
        return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(self.function) or "")

    @property
    def params(self) -> tuple[Parameter, ...]:
        """What it takes, in the order of its function."""
        signature = inspect.signature(self.function, eval_str=True)
        return tuple(_parameter(each) for each in signature.parameters.values())


@dataclass(frozen=True)
class Group:
    """Commands under a common name."""

    help: str
    commands: dict[str, Command] = field(default_factory=dict)

    def command(
        self, name: str = "", *, examples: tuple[str, ...] = ()
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Make a function one of its commands."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            called = name or function.__name__
            self.commands[called] = Command(called, function, examples)
            return function

        return add


def _parameter(given: inspect.Parameter) -> Parameter:
    kind, *notes = typing.get_args(given.annotation)
    told = next(note for note in notes if isinstance(note, Argument | Option))
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    many = typing.get_origin(kind) is list
    required = given.default is inspect.Parameter.empty
    return Parameter(
        name=given.name,
        told=told,
        kind=typing.get_args(kind)[0] if many else kind,
        many=many,
        default=None if required else given.default,
        required=required,
    )
