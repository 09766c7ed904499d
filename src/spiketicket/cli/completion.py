"""``spiketicket completion``: what a shell offers at Tab, as a script of that shell.

The scripts hold all words themselves, so that no Python is started at Tab.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from spiketicket.cli.declare import Argument, Command
from spiketicket.machine.output import say_whole


class Shell(StrEnum):
    """Whose script."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@dataclass(frozen=True, kw_only=True)
class Words:
    """What may follow a command: words, with what each is, and values of its options.

    An option without values takes any, such as a file; one that is a flag takes none.
    """

    first: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    files: bool = False
    """Whether files may follow too."""


_NO_FILES = ("data check", "data get", "zoo path", "zoo eval", "zoo pull", "recipe explain")
"""Commands whose argument is a name."""
_ROOT = {"--version": "Print the version", "--help": "Show this message and exit"}


def completion(
    shell: Annotated[Shell, Argument(help="Whose script.")],
) -> None:
    """Print a script for your shell that completes commands, options and names at Tab.

    bash: put it into ~/.local/share/bash-completion/completions/spiketicket. zsh: into a folder of
    fpath, as _spiketicket. fish: into ~/.config/fish/completions/spiketicket.fish.
    """
    write = {Shell.bash: _bash, Shell.zsh: _zsh, Shell.fish: _fish}[shell]
    say_whole("\n".join(write(words())))


def words() -> dict[str, Words]:
    """Command, ``data check``, or "" for the program itself -> what may follow it."""
    from spiketicket.cli.application import Application

    names, first, found = _names(), dict[str, str](), dict[str, Words]()
    for name, made in Application().commands.items():
        first[name] = _summary(made.help)
        if isinstance(made, Command):
            found[name] = _of(name, made, names)
            continue
        found[name] = Words(first={n: _summary(part.help) for n, part in made.commands.items()})
        found |= {f"{name} {n}": _of(f"{name} {n}", p, names) for n, p in made.commands.items()}
    return {"": Words(first=first, options=_ROOT, flags=frozenset(_ROOT)), **found}


def _of(name: str, command: Command, names: Mapping[str, Mapping[str, str]]) -> Words:
    options, values, flags = {"--help": "Show this message and exit"}, {}, {"--help"}
    first, files = dict(names.get(name, {})), False
    for parameter in command.params:
        if not parameter.opts:
            first |= dict.fromkeys(parameter.choices, "")
            files = files or not (parameter.choices or name in _NO_FILES)
        for option in parameter.opts:
            options[option] = _summary(parameter.told.help)
            if parameter.choices:
                values[option] = list(parameter.choices)
            if parameter.is_flag:
                flags.add(option)
    return Words(first=first, options=options, values=values, flags=frozenset(flags), files=files)


def _summary(text: str) -> str:
    """The first sentence, without its full stop."""
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def _names() -> dict[str, Mapping[str, str]]:
    """Names that are an argument of a command, beside files."""
    from spiketicket.recipe import registry
    from spiketicket.recipe.named import packaged_recipes
    from spiketicket.ticket.zoo import list_tickets

    recipes = dict.fromkeys(packaged_recipes(), "recipe")
    tickets = {ticket.name: "ticket" for ticket in list_tickets()}
    data = dict.fromkeys(registry.names("data"), "dataset")
    return {
        **dict.fromkeys(("find", "train", "sweep", "compare"), recipes),
        **dict.fromkeys(
            ("run", "show", "eval", "measure", "verify", "bench", "pack", "quantise"), tickets
        ),
        "export": tickets,
        **{f"zoo {name}": tickets for name in ("path", "eval")},
        **{f"data {name}": data for name in ("check", "get")},
    }


def _cases(found: Mapping[str, Words]) -> Iterator[str]:
    """Of bash and zsh: ``offered`` by the command in ``place`` and the word before, and ``files``,
    which is empty where none may stand. zsh has arrays of its own named words and path.
    """
    yield '  case "$place" in'
    for path, each in found.items():
        yield f"    {shlex.quote(path)})"
        if each.values or each.options:
            yield '      case "$prev" in'
            for option, values in each.values.items():
                yield f"        {option}) offered={shlex.quote(' '.join(values))}; return ;;"
            taking = [o for o in each.options if o not in each.values and o not in each.flags]
            if taking:
                yield f"        {'|'.join(taking)}) files=1; return ;;"
            yield "      esac"
        yield f"      files={'1' * each.files}"
        yield f"      offered={shlex.quote(' '.join([*each.first, *each.options]))} ;;"
    yield "  esac"


def _paths(found: Mapping[str, Words]) -> str:
    """Commands, each quoted, as a pattern of ``case``."""
    return "|".join(shlex.quote(path) for path in found if path)


def _place(found: Mapping[str, Words], given: str) -> Iterator[str]:
    """Of bash and zsh: the command among the words ``given``, into ``place``."""
    yield "  local place='' offered='' files='' next i"
    yield f"  for i in {given}; do"
    yield '    next="${place:+$place }$i"'
    yield f'    case "$next" in {_paths(found)}) place="$next" ;; esac'
    yield "  done"
    yield "  _spiketicket_words"


def _bash(found: Mapping[str, Words]) -> Iterator[str]:
    yield "# bash completion of spiketicket"
    yield "_spiketicket_words() {"
    yield from _cases(found)
    yield "}"
    yield "_spiketicket() {"
    yield '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"'
    yield from _place(found, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"')
    yield '  COMPREPLY=($(compgen -W "$offered" -- "$cur"))'
    yield '  if [ -n "$files" ]; then'
    yield "    compopt -o filenames 2> /dev/null"
    yield "    local IFS=$'\\n'"
    yield '    COMPREPLY+=($(compgen -f -- "$cur"))'
    yield "  fi"
    yield "}"
    yield "complete -F _spiketicket spiketicket"


def _zsh(found: Mapping[str, Words]) -> Iterator[str]:
    yield "#compdef spiketicket"
    yield "_spiketicket_words() {"
    yield from _cases(found)
    yield "}"
    yield "_spiketicket() {"
    yield '  local prev="${words[CURRENT-1]}"'
    yield from _place(found, '"${(@)words[2,CURRENT-1]}"')
    yield "  compadd -- ${=offered}"
    yield '  if [ -n "$files" ]; then _files; fi'
    yield "}"
    yield 'if [ "$funcstack[1]" = _spiketicket ]; then _spiketicket "$@"'
    yield "else compdef _spiketicket spiketicket; fi"


def _fish(found: Mapping[str, Words]) -> Iterator[str]:
    yield "# fish completion of spiketicket"
    yield "complete -c spiketicket -n __fish_use_subcommand -f"
    for path, each in found.items():
        first, _, second = path.partition(" ")
        seen = f"__fish_seen_subcommand_from {first}" if first else "__fish_use_subcommand"
        below = [p.partition(" ")[2] for p in found if p.startswith(f"{path} ")]
        if second:
            seen += f"; and __fish_seen_subcommand_from {second}"
        elif first and below:
            seen += f"; and not __fish_seen_subcommand_from {' '.join(below)}"
        start = f"complete -c spiketicket -n {shlex.quote(seen)}"
        for word, what in each.first.items():
            files = "" if each.files else " -f"
            yield f"{start}{files} -a {word} -d {_fish_text(what)}"
        for option, what in each.options.items():
            name = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            if option in each.values:
                # a description would stand beside every value
                yield f"{start} {name} -x -a {_fish_text(' '.join(each.values[option]))}"
                continue
            takes = "" if option in each.flags else " -r"
            yield f"{start} {name}{takes} -d {_fish_text(what)}"


def _fish_text(text: str) -> str:
    """Quoted as fish reads it, where a backslash is one inside single quotes too."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
