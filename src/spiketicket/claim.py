"""One process a run folder."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from spiketicket._files import explained, read_json, remove_temporaries, write_json
from spiketicket.errors import UserError


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process; the claim ends with the process, however it ends.

    Raises:
        UserError: another process works in it, or it cannot be written.
    """
    lock = filelock.FileLock(folder / ".claim", timeout=0)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            owner = read_json(folder / ".claimed-by") or {}
            who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
            remedy = "Wait for it or stop it, or use another folder with --runs"
            raise UserError(f"in use by {who}", where=str(folder), remedy=remedy) from error
    try:
        with explained(folder):
            remove_temporaries(folder)
        write_json(folder / ".claimed-by", {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        (folder / ".claimed-by").unlink(missing_ok=True)
        lock.release()
