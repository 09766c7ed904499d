"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import parse_json, read_regular

_TEMPORARY = ".*.????????????????.tmp"
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "is larger than a file may be here (a limit of the system, see ulimit -f)",
}
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a temporary file beside ``path``, flush it to the disk, then put it in place.

    An OSError names a file.
    """
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a write that fails names no file
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_temporaries(folder: Path, *, deep: bool = True, but: str = "") -> None:
    """Remove what writers that were killed left in a folder nobody else writes to.

    ``deep`` is whether the folders inside it are meant as well; files of which the name begins with
    ``but`` are written by others even so, and their temporaries stay.
    """
    for path in folder.rglob(_TEMPORARY) if deep else folder.glob(_TEMPORARY):
        if not (but and path.name.startswith(f".{but}")):
            path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, name: str = "runs_dir") -> None:
    """Write a file atomically; ``name`` is the argument that chooses another place for it.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    with explained(path, name):
        write_atomic(path, content)


def check_place(path: Path, name: str) -> None:
    """Whether a file can be written at ``path``; makes its folder, changes nothing else.

    Raises:
        UserError: it cannot.
    """
    with explained(path, name):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def refuse_link(*paths: Path) -> None:
    """Refuse symbolic links inside the folder that a person has named for results.

    It may have come from a stranger, and what is written there must not land elsewhere.

    Raises:
        UserError: a path is one.
    """
    for path in paths:
        if path.is_symlink():
            what = "is a symbolic link: what is written there would land elsewhere"
            remedy = f"Delete it, or name the folder that it leads to as {argument('runs_dir')}"
            raise UserError(what, where=str(path), remedy=remedy)


@contextlib.contextmanager
def explained(path: Path, name: str = "runs_dir") -> Iterator[None]:
    """Turn the system's refusals about ``path`` into errors that a user can act on: ``name`` is the
    argument that chooses another place for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            remedy = "Make room and run the same command again: it goes on where it was"
            raise UserError(_FULL[error.errno], where=str(path), remedy=remedy) from error
        if error.errno in _REFUSED:
            remedy = f"Choose another {argument(name)}, or change its permissions"
            what = f"cannot be written: {error.strerror}"
            raise UserError(what, where=str(path), remedy=remedy) from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that there is no space left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically; the same value gives the same bytes."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """The content that :func:`write_json` writes."""
    return f"{json.dumps(value, indent=1, sort_keys=True, allow_nan=False)}\n".encode()


def read_json(path: Path) -> Any | None:
    """What :func:`write_json` wrote, or None where there is no file.

    Raises:
        UserError: the file is no regular one, is not JSON, or is beyond a bound of it.
    """
    try:
        return parse_json(read_regular(path).decode())
    except FileNotFoundError:
        return None
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        remedy = "Delete the file to compute it again"
        raise UserError(f"is damaged: {error}", where=str(path), remedy=remedy) from error
