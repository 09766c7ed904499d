"""The C libraries that were built when the package was installed, and the levels of processors.

A library that is loaded runs, so it is taken from the package's own folder only. Where the
installation found no C compiler there is none, and the callers do the same work in Python, slower.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from spiketicket.errors import UserError

LEVELS: Final = ("generic", "avx2", "avx512")
"""Levels of a processor, the slowest first: what its whole family has, 256 and 512-bit vectors."""
REMEDY: Final = (
    "Install a C compiler, then spiketicket again, by `pip install --force-reinstall --no-deps"
    " --no-cache-dir`"
)

_ENDINGS = (".so", ".dylib", ".dll")
_SETS = {"avx2": "AVX2", "avx512": "AVX-512"}
_GENERIC = {"x86_64": "SSE2", "amd64": "SSE2", "aarch64": "NEON", "arm64": "NEON"}
_Signatures = Mapping[str, tuple[Any, list[Any]]]


def load(package: str, name: str, signatures: _Signatures, path: Path | None = None) -> ctypes.CDLL:
    """The library ``name`` of a package, its functions with their result and argument types.

    ``path`` names another file.

    Raises:
        UserError: it is not there, or not what it should be.
    """
    path = path or _installed(package, name)
    try:
        _require_whole(path)
        library = ctypes.CDLL(str(path))
        for function, (result, arguments) in signatures.items():
            found = getattr(library, function)
            found.restype, found.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        what = f"is not the C library {name}: {error}"
        raise UserError(what, where=str(path), remedy=REMEDY) from error
    return library


def _require_whole(path: Path) -> None:
    """Refuse an ELF file that was cut off: what is mapped beyond its end kills the process.

    Raises:
        OSError: so, or it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(64)
        size = file.seek(0, os.SEEK_END)
    if len(header) < 64 or not header.startswith(b"\x7fELF\x02\x01"):
        return  # of another kind, or so short that loading it fails with words
    # of the ELF-64 header: the table of sections, which lies at the end, and its entries
    start, entry, count = struct.unpack_from("<Q10xHH", header, 40)
    whole = start + entry * count
    if size < whole:
        raise OSError(f"is cut off: {size} of {whole} bytes")


def levels_in(mask: int) -> tuple[str, ...]:
    """The levels of a bit mask, the slowest first."""
    return tuple(name for i, name in enumerate(LEVELS) if mask >> i & 1)


def choose_level(level: str | None, variable: str, have: tuple[str, ...]) -> str:
    """The level that was asked for, else that of the environment, else the best there is.

    Raises:
        UserError: there is no such level here.
    """
    where = "level"
    if level is None:
        level, where = os.environ.get(variable) or None, variable
    if level is None:
        return have[-1]
    if level not in LEVELS:
        raise UserError(f"must be one of {', '.join(LEVELS)}", where=where, value=level)
    if level not in have:
        what = "this processor or this build of the library lacks the level"
        raise UserError(what, where=where, value=level, remedy=f"It runs {', '.join(have)}")
    return level


def state(have: tuple[str, ...], variable: str) -> str:
    """The C that runs here, with its instruction set in the words of the processor's maker."""
    try:
        level = choose_level(None, variable, have)
    except UserError as error:
        return f"C, but {error}"
    machine = platform.machine()
    base = _GENERIC.get(machine.lower(), f"the base set of {machine}")
    return f"C with {_SETS.get(level, base)}"


def _installed(package: str, name: str) -> Path:
    # an editable installation has the sources in one folder and what was built in another
    folders = [Path(folder) for folder in importlib.import_module(package).__path__]
    for folder in folders:
        for ending in _ENDINGS:
            path = folder / f"{'' if ending == '.dll' else 'lib'}{name}{ending}"
            if path.is_file():
                return path
    what = f"the C library {name} was not built when spiketicket was installed"
    raise UserError(what, remedy=REMEDY)
