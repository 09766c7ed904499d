"""Names and paths that come from a stranger's file, or that become a part of a file's name.

Nothing that a file says leads out of the folder that the person has named. Symbolic links inside
that folder are followed: only who may write there can have made one.
"""

from __future__ import annotations

import re
from typing import Final

from spiketicket.errors import UserError

MAX_NAME: Final = 200
"""Characters of a file name; most file systems take 255 bytes, and endings are added."""
MAX_PATH: Final = 4096
_SEPARATORS = re.compile(r"[/\\]")


def path_inside(text: str) -> str:
    """``text`` where it is a relative path that stays below where it starts; for a recipe's field.

    Raises:
        ValueError: it is absolute, climbs with ``..``, starts with ``~`` or a drive's letter, or
            holds a control character.
    """
    if len(text) > MAX_PATH or any(ord(c) < 32 for c in text):
        raise ValueError("must be a path without control characters")
    if text.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", text):
        raise ValueError("must be a relative path, below the folder of the data")
    if ".." in _SEPARATORS.split(text):
        raise ValueError("must not leave the folder of the data with ..")
    return text


def path_on_machine(text: str) -> str:
    """``text`` where it can be any path at all; for a recipe's field.

    Raises:
        ValueError: it is too long or holds a zero byte.
    """
    if len(text) > MAX_PATH or "\0" in text:
        raise ValueError(f"must be a path of at most {MAX_PATH} characters")
    return text


def file_name(text: str, where: str = "`name`") -> str:
    """``text`` where it can begin a file's name in the folder that was asked for.

    Raises:
        UserError: it is empty, a path, hidden, too long, or holds a character that some file
            systems refuse.
    """
    bad = any(c in '/\\:*?"<>|' or ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in text)
    if bad or not text.strip(" .") or text.startswith(".") or len(text) > MAX_NAME:
        remedy = "Use letters, digits, - and _; the folder is given by itself"
        raise UserError("must be a plain file name", where=where, value=text, remedy=remedy)
    return text
