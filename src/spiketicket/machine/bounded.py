"""Reading what a stranger may have written: regular files only, and never more than there is room.

A file is opened without waiting (a named pipe would wait for its other end) and must be a regular
one. JSON is bounded before it is built: depth, number of items, digits of a number. Memory has one
budget, stated in one place (:func:`max_memory`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NoReturn

from spiketicket.errors import UserError, argument

MAX_DEPTH: Final = 64
MAX_ITEMS: Final = 1 << 20
"""Python needs about 100 bytes per item, a file as few as 2."""
MAX_NUMBER: Final = 32
"""Characters of a number: float64 needs 24, uint64 needs 20."""
MAX_JSON_BYTES: Final = 64 << 20
MEMORY_VARIABLE: Final = "SPIKETICKET_MAX_MEMORY"
DEFAULT_MEMORY: Final = "4GiB"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# A string that never ends is a token too, or it would be looked for again from each quote in it.
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[{])|([\]}])', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_memory(text: str, where: str = MEMORY_VARIABLE) -> int:
    """Bytes of ``4GiB``, ``500M`` or ``123456``; K, M, G, T are powers of 1024.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"\s*(\d{1,15})\s*([KMGT]?)(?:iB|B)?\s*", text, re.IGNORECASE)
    size = int(match[1]) * _UNITS[match[2].upper()] if match else 0
    if size < 1:
        remedy = f"Give a size such as 500MiB or {DEFAULT_MEMORY}"
        raise UserError("is not a size of memory", where=where, value=text, remedy=remedy)
    return size


def max_memory() -> int:
    """Bytes that reading one file may take: SPIKETICKET_MAX_MEMORY, 4 GiB unless that is set.

    The command line sets the variable, so that worker processes keep to it.

    Raises:
        UserError: the variable holds no size.
    """
    return parse_memory(os.environ.get(MEMORY_VARIABLE) or DEFAULT_MEMORY, MEMORY_VARIABLE)


def need_memory(needed: int, what: str, where: str, remedy: str = "") -> None:
    """Whether ``needed`` bytes may be used, for ``what`` (its events, its frames, ...).

    Raises:
        UserError: that is more than :func:`max_memory`.
    """
    most = max_memory()
    if needed > most:
        raise UserError(
            f"{what} need {needed} bytes of memory, and {most} may be used",
            where=where,
            remedy=". ".join(filter(None, (remedy, f"{MEMORY_VARIABLE} allows more"))),
        )


def set_max_memory(text: str) -> str:
    """Let reading one file take ``text``, here and in the processes started; "" changes nothing.

    Raises:
        UserError: it is no size.
    """
    if text:
        os.environ[MEMORY_VARIABLE] = str(parse_memory(text, argument(MEMORY_VARIABLE)))
    return text


def open_regular(path: str | os.PathLike[str]) -> tuple[BufferedReader, int]:
    """An open file and its size in bytes; the caller closes it.

    Raises:
        UserError: a folder, a named pipe, a device, or no path at all.
        OSError: it cannot be opened.
    """
    place = os.fspath(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not stat.S_ISREG(Path(place).stat().st_mode):
            raise UserError("is not a file", where=place)
        descriptor = os.open(place, flags)
    except UserError:
        raise
    except ValueError as error:  # a zero byte in the name
        raise UserError("is not a path", value=place) from error
    try:
        status = os.fstat(descriptor)
        # Once more: it may have been exchanged meanwhile.
        if not stat.S_ISREG(status.st_mode):
            raise UserError("is not a file", where=place)
        return os.fdopen(descriptor, "rb"), status.st_size
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """The content of a regular file of at most ``max_bytes``.

    Raises:
        UserError: it is larger, or no regular file.
        OSError: it cannot be read.
    """
    file, size = open_regular(path)
    with file:
        # One byte more than allowed, for a file that grows meanwhile.
        content = file.read(min(size, max_bytes) + 1)
    if size > max_bytes or len(content) > max_bytes:
        raise UserError(f"is larger than {max_bytes} bytes", where=os.fspath(path), value=size)
    return content


def parse_json(text: str, *, constants: bool = False) -> Any:
    """The value of a JSON text of bounded depth, items and digits; no key may come twice.

    ``constants`` is whether NaN and infinity may be in it, as Python writes them.

    Raises:
        ValueError: it is not JSON, or is beyond a bound; the text says which.
    """
    items = text.count("[") + text.count("{") + text.count(",")
    if items > MAX_ITEMS:
        raise ValueError(f"holds more than {MAX_ITEMS} items")
    depth = 0
    for token in _TOKENS.finditer(text):
        if token[1]:
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"is nested more than {MAX_DEPTH} deep")
        elif token[2]:
            depth -= 1
    value = json.loads(
        text,
        parse_constant=float if constants else _refuse_constant,
        parse_int=_whole,
        parse_float=_fraction,
        object_pairs_hook=_table,
    )
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def _whole(digits: str) -> int:
    return int(_bounded(digits))


def _fraction(digits: str) -> float:
    value = float(_bounded(digits))
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large a number")
    return value


def _bounded(digits: str) -> str:
    if len(digits) > MAX_NUMBER:
        raise ValueError(f"a number has {len(digits)} characters, more than {MAX_NUMBER}")
    return digits


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key comes twice")
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
