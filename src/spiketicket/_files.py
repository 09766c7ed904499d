"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; renamed over it when the block ends without an error.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    with explained(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        scratch = Path(name)
        try:
            yield scratch
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's refusals about ``path`` into errors a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "Free some space and run the same command again: it goes on where it was"
            raise UserError("the disk is full", where=str(path), remedy=remedy) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            remedy = "Choose another folder with --runs, or change its permissions"
            what = f"cannot be written: {error.strerror}"
            raise UserError(what, where=str(path), remedy=remedy) from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically; the same value gives the same bytes."""
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any | None:
    """What :func:`write_json` wrote, or None where there is no file.

    Raises:
        UserError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        remedy = "Delete the file to compute it again"
        raise UserError(f"is damaged: {error}", where=str(path), remedy=remedy) from error
