"""Reads a command line as a command declares it (:mod:`spiketicket.cli.declare`).

Options stand anywhere, as ``--name value``, ``--name=value``, ``-n value`` or ``-nvalue``; flags of
one letter may be joined; all behind ``--`` are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spiketicket.cli.declare import Argument, Command, Option, Parameter
from spiketicket.errors import UserError, asked, did_you_mean, nearest

HELP = ("-h", "--help")
_SHOWN = 20
"""Options that are listed where one is not known."""


class HelpWanted(Exception):  # noqa: N818 - no error: a wish
    """The command line asks for help."""


class MisuseError(UserError):
    """The command line is not as it must be."""


def parse(command: Command, given: Sequence[str]) -> dict[str, Any]:
    """The arguments of the command's function.

    Raises:
        HelpWanted: -h or --help is there.
        MisuseError: the first mistake.
        UserError: an option's callback refuses its value.
    """
    params = command.params
    options = {name: each for each in params for name in each.opts}
    found: dict[str, list[Any]] = {}
    places: list[str] = []
    rest = iter(given)
    for text in rest:
        if text == "--":
            places += rest
        elif len(text) > 1 and text.startswith("-"):
            for name, value in _option(text, rest, options):
                _add(found, options[name], name, value)
        else:
            places.append(text)
    _place(found, [each for each in params if not each.opts], places)
    return _called(params, found)


def _option(
    text: str, rest: Iterator[str], options: dict[str, Parameter]
) -> Iterator[tuple[str, str | None]]:
    """The options in one word, with their values; a flag has none."""
    name, equals, value = text.partition("=")
    letters = not text.startswith("--") and f"{text[:2]}" in options
    if letters:
        name, value, equals = text[:2], text[2:].removeprefix("="), text[2:3]
    if name in HELP:
        raise HelpWanted
    if name not in options:
        raise MisuseError("no such option", where=name, remedy=_nearest(name, options))
    if not options[name].is_flag:
        taken = value if equals else next(rest, None)
        if taken is None:
            raise MisuseError("needs a value", where=name)
        yield name, taken
        return
    if equals and not letters:
        raise MisuseError("takes no value", where=name, value=value)
    yield name, None
    if letters and value:
        yield from _option(f"-{value}", rest, options)


def _nearest(name: str, options: dict[str, Parameter]) -> str:
    known = sorted([*(option for option in options if option.startswith("--")), "--help"])
    words = {option.removeprefix("--"): option for option in known}  # dashes are alike in all
    near = [words[word] for word in nearest(name.lstrip("-"), words)]
    listed = f"Known: {', '.join(known)}" if len(known) <= _SHOWN else ""
    return " ".join(filter(None, (asked(near), listed)))


def _add(found: dict[str, list[Any]], param: Parameter, name: str, value: str | None) -> None:
    # of a flag that is on by default, --no-name turns it off
    made = not (param.default is True and name.startswith("--no-"))
    if value is not None:
        made = _value(param, value, name)
    if param.many:
        found.setdefault(param.name, []).append(made)
    else:  # the last one counts, so that a wrapper's choice can be changed
        found[param.name] = [made]


def _place(found: dict[str, list[Any]], params: list[Parameter], places: list[str]) -> None:
    """Give the arguments to those that are known by their place."""
    for index, param in enumerate(params):
        after = len(params) - index - 1
        count = len(places) - after if param.many else 1
        taken, places = places[: max(count, 0)], places[max(count, 0) :]
        if taken:
            found[param.name] = [_value(param, text, param.metavar) for text in taken]
        elif param.required:
            raise MisuseError("is missing", where=param.metavar.removesuffix("..."))
    if places:
        raise MisuseError("is one argument too many", where=places[0])


def _called(params: Sequence[Parameter], found: dict[str, list[Any]]) -> dict[str, Any]:
    called = {}
    for param in params:
        if param.name in found:
            values = found[param.name]
            called[param.name] = values if param.many else values[0]
        elif param.required:
            remedy = f"It is one of {', '.join(param.choices)}" if param.choices else ""
            raise MisuseError("is missing", where=param.opts[0], remedy=remedy)
        else:
            called[param.name] = param.default
    for param in params:
        told = param.told
        if isinstance(told, Option) and told.callback is not None:
            told.callback(called[param.name])
    return called


def _value(param: Parameter, text: str, where: str) -> Any:
    if param.choices:
        if text not in param.choices:
            remedy = did_you_mean(text, param.choices)
            raise MisuseError("is none of its values", where=where, value=text, remedy=remedy)
        return param.kind(text) if isinstance(param.kind, type) else text
    if param.kind is str or param.kind is Path:
        if "\0" in text:
            raise MisuseError("holds a NUL character", where=where, value=text)
        read = param.told.read if isinstance(param.told, Argument) else None
        return (read or param.kind)(text)
    return _number(param, text, where)


def _number(param: Parameter, text: str, where: str) -> int | float:
    whole = param.kind is int
    try:
        made: int | float = int(text) if whole else float(text)
    except ValueError:
        made = math.nan
    if not math.isfinite(made) or "_" in text:
        what = f"must be a {'whole ' * whole}number"
        raise MisuseError(what, where=where, value=text)
    least = param.told.least if isinstance(param.told, Option) else None
    if least is not None and made < least:
        raise MisuseError(f"must be >= {least:g}", where=where, value=made)
    return made


def usage(path: str, command: Command) -> str:
    """The line that shows how a command is called."""
    arguments = [param for param in command.params if not param.opts]
    places = [p.metavar if p.required else f"[{p.metavar}]" for p in arguments]
    needed = [f"{p.opts[0]} {p.metavar}" for p in command.params if p.opts and p.required]
    return " ".join([f"Usage: {path}", *needed, "[OPTIONS]", *places])
