"""The file that the C and C++ library loads: a program and the names of its classes.

Little endian: ``STE1``, the version, the bytes of the names, the bytes of the program; the names in
UTF-8, each ended by a zero byte; zero bytes up to a multiple of 16; the program
(:mod:`spiketicket.engine.program`). ``csrc/library/model.c`` reads it and checks all of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from spiketicket.engine.program import Program
from spiketicket.errors import UserError, plain

MAGIC: Final = b"STE1"
VERSION: Final = 1
SUFFIX: Final = ".ste"
MOST_NAMES: Final = 1 << 24
"""Bytes of all names."""


def model_file(program: Program, classes: Sequence[str]) -> bytes:
    """The file of a program; ``classes`` are the names of its outputs.

    Control characters in names are written as escapes.

    Raises:
        UserError: another number of names, or more than 16 MiB of them.
        ProgramError: the program is larger than 2 GiB.
    """
    if len(classes) != program.classes:
        what = f"must be {program.classes} names, one an output"
        raise UserError(what, where="classes", value=len(classes))
    names = b"".join(plain(name).encode() + b"\0" for name in classes)
    if len(names) > MOST_NAMES:
        what = f"must be at most {MOST_NAMES} bytes of names"
        raise UserError(what, where="classes", value=len(names))
    content = program.to_bytes()
    head = struct.pack("<4s3I", MAGIC, VERSION, len(names), len(content))
    padding = b"\0" * (-(len(head) + len(names)) % 16)
    return head + names + padding + content
