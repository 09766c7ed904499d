"""The library speaks of arguments, the command line of its options.

A message names an argument as :func:`spiketicket.errors.argument` writes it. What a command says
is put in the words of that command: ```seeds``` is ``--seeds``, ```network='a:b'``` is
``--network a:b``.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Collection
from typing import Any

from spiketicket.machine import output
from spiketicket.machine.bounded import MEMORY_VARIABLE

_ARGUMENT = re.compile(r"`([A-Za-z_]+)(=[^`]*)?`")
_OPTIONS = {
    "axes": ("--axis",),
    "batches": ("--batch",),
    "densities": ("--density",),
    "folder": ("--output", "--out"),
    "method_options": ("--option",),
    "output": ("--output", "--out"),
    "overrides": ("--set",),
    "path": ("--output", "--out"),
    "root": ("--root", "--set data.root"),
    "runs_dir": ("--runs",),
    "split_at_reset": ("--split-at-reset", "--set data.split_at_reset"),
    "zipped": ("--zip",),
    MEMORY_VARIABLE: ("--max-memory",),
}
"""Of arguments whose option is not their name: the first one that the command has is said."""
_WORDS = {"path": "file", "root": "folder of the data", "runs_dir": "folder"}
"""Of arguments in a command that has no option for them."""


def speak_of(options: Collection[str]) -> None:
    """From here on, what is written to people names arguments as these options of a command."""
    output.put_in_words(lambda text: worded(text, options))


def worded(text: str, options: Collection[str]) -> str:
    """``text`` with the arguments in it as the command line says them that has ``options``."""
    if "`" not in text:
        return text
    return _ARGUMENT.sub(lambda found: _said(found[0], found[1], found[2], options), text)


def _said(whole: str, name: str, given: str | None, options: Collection[str]) -> str:
    for option in _OPTIONS.get(name, (f"--{name.replace('_', '-')}",)):
        if option.partition(" ")[0] in options:
            return option if given is None else _with_value(option, given[1:])
    return _WORDS.get(name, whole) if given is None else whole


def _with_value(option: str, given: str) -> str:
    """``given`` is as Python writes it; a truth value is that of a flag."""
    try:
        value: Any = ast.literal_eval(given)
    except (ValueError, SyntaxError):
        return f"{option} {given}"
    joint = "=" if " " in option else " "
    if isinstance(value, dict):
        return " ".join(f"{option} {shlex.quote(f'{k}={_toml(v)}')}" for k, v in value.items())
    return option if value is True else f"{option}{joint}{shlex.quote(str(value))}"


def _toml(value: Any) -> str:
    import tomli_w

    return tomli_w.dumps({"v": value}).strip().removeprefix("v = ") if value is not None else "null"
