"""The help of commands: as wide as the terminal, 80 columns where there is none."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from spiketicket.cli.declare import Command, Group, Parameter
from spiketicket.cli.parse import HELP, usage

_WIDEST: Final = 100
_IN_A_PIPE: Final = 80
_LEFT: Final = 24
"""Columns of names, before what they mean; longer ones stand in a line of their own."""
Row = tuple[str, str]


def help_of_command(path: str, command: Command) -> str:
    """What a command does and takes; ``path`` is how it is called."""
    params = command.params
    parts = [_folded(usage(path, command), hanging=7), *_paragraphs(command.help)]
    parts += _section("Arguments", [(p.metavar, _told(p)) for p in params if not p.opts])
    options = [(_names(p), _told(p)) for p in params if p.opts]
    parts += _section("Options", [*options, (", ".join(HELP), "Show this help.")])
    return "\n\n".join([*parts, *_examples([command])])


def _examples(commands: Iterable[Command | Group]) -> list[str]:
    """The examples of the first command that has some."""
    given = (each.examples for each in commands if isinstance(each, Command) and each.examples)
    found = next(given, ())
    return ["\n".join(["Examples:", *(f"  {line}" for line in found)])] if found else []


def help_of_group(path: str, group: Group, *, more: Iterable[Row] = ()) -> str:
    """The commands of a group, and the options before a command's name."""
    return help_of_groups(path, group.help, {"Commands": group.commands.values()}, more=more)


def help_of_groups(
    path: str,
    text: str,
    groups: Mapping[str, Iterable[Command | Group]],
    *,
    names: Mapping[int, str] | None = None,
    more: Iterable[Row] = (),
) -> str:
    """The same with commands under several headings; ``names`` are those of the groups, by id."""
    parts = [f"Usage: {path} [OPTIONS] COMMAND ...", *_paragraphs(text)]
    listed = {title: list(commands) for title, commands in groups.items()}
    for title, commands in listed.items():
        rows = []
        for each in commands:
            name = each.name if isinstance(each, Command) else (names or {})[id(each)]
            rows.append((name, each.help.partition("\n")[0]))
        parts += _section(title, rows)
    parts += _section("Options", [*more, (", ".join(HELP), "Show this help.")])
    return "\n\n".join([*parts, *_examples(each for part in listed.values() for each in part)])


def _names(param: Parameter) -> str:
    ordered = sorted(param.opts, key=lambda name: name.startswith("--"))
    return " ".join([", ".join(ordered), *([param.metavar] if param.metavar else [])])


def _told(param: Parameter) -> str:
    default = param.default
    plain = default is None or default is False or default in ("", ()) or param.many
    if plain or "efault:" in param.told.help:
        return param.told.help
    return f"{param.told.help} Default: {default}."


def _section(title: str, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    left = min(_LEFT, max(len(name) for name, _ in rows) + 2)
    lines = [f"{title}:"]
    for name, text in rows:
        told = textwrap.wrap(text, max(_width() - left - 2, 20), break_on_hyphens=False)
        first = told.pop(0) if told and len(name) + 2 <= left else ""
        lines.append(f"  {name:<{left}}{first}".rstrip())
        lines += [f"  {'':<{left}}{line}" for line in told]
    return ["\n".join(lines)]


def _paragraphs(text: str) -> list[str]:
    return [_folded(part) for part in text.split("\n\n") if part]


def _folded(text: str, hanging: int = 0) -> str:
    return textwrap.fill(
        text,
        _width(),
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _width() -> int:
    if sys.stdout is None or not sys.stdout.isatty():
        return _IN_A_PIPE
    return max(min(shutil.get_terminal_size().columns, _WIDEST), 40)
