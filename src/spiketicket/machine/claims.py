"""One process a folder, and how a process learns that another one has taken its place.

A claim is a lock of the file system: it ends with the process, however it ends. A host that died
takes its locks along only where the file system knows of its death, so a sweep over many hosts
does not rely on them: its driver alone decides who works, and gives every attempt a token of its
own (:class:`Fence`). No two clocks are ever compared.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket.errors import SpikeTicketError, UserError, argument
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.files import (
    explained,
    read_json,
    refuse_link,
    remove_temporaries,
    write_json,
)

_HOLDER = ".claimed-by"
Guard = Callable[[], None]
"""Called before every write of a run; raises :class:`SupersededError` where it must not be made."""


class InUseError(UserError):
    """Another process holds the folder."""


class SupersededError(SpikeTicketError):
    """This process was given up, and another one does its work: it must not write any more."""


@dataclass(frozen=True)
class Fence:
    """Whether this attempt is still the one that counts: ``path`` holds the newest token.

    The driver of a sweep writes the file before it hands a task out, and nobody else does. A
    worker that was taken for lost and still runs finds another token, or none, and stops. Between
    the look and the write there is a gap; what may be written in it is a checkpoint or a result
    of the same recipe and seed, whole, as every file is.
    """

    path: Path
    token: str

    def __call__(self) -> None:
        """Raise :class:`SupersededError` unless the token is this attempt's."""
        try:
            found = read_regular(self.path).decode()
        except (FileNotFoundError, UnicodeDecodeError):
            found = ""
        if found != self.token:
            raise SupersededError(f"{self.path.name}: another attempt has taken over")


def unguarded() -> None:
    """The guard of a process that nobody replaces."""


@contextlib.contextmanager
def claimed(
    folder: Path, part: str = "", *, wait_s: float = 0.0, sweep: str = "", deep: bool = True
) -> Iterator[None]:
    """Hold a folder for this process; the claim ends with the process, however it ends.

    Args:
        folder: made where it is not there.
        part: a folder inside it that is meant instead, by name; others may hold the rest.
        wait_s: how long to wait for another holder.
        sweep: the sweep on whose behalf this is. A holder of the same sweep was given up by its
            driver, and is kept from writing by its fence: the folder is taken without the lock.
        deep: whether the claim covers the folders inside it.

    Raises:
        InUseError: another process works in it.
        UserError: it cannot be written.
    """
    import filelock

    suffix, held = (f"-{part}", folder / part) if part else ("", folder)
    lock = filelock.FileLock(folder / f".claim{suffix}", timeout=wait_s)
    holder = folder / f"{_HOLDER}{suffix}"
    refuse_link(Path(lock.lock_file), *([held] if part else ()))
    with explained(held):
        held.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            told = read_json(holder)
            other = told if isinstance(told, dict) else {}
            if not sweep or other.get("sweep") != sweep:
                raise _in_use(held, other, lock.lock_file) from error
    owner = {"pid": os.getpid(), "host": socket.gethostname()} | ({"sweep": sweep} if sweep else {})
    try:
        if lock.is_locked:
            with explained(held):
                # who claims a part writes its name beside it, before it holds anything here
                remove_temporaries(held, deep=deep, but=_HOLDER)
        write_json(holder, owner)
        yield
    finally:
        with contextlib.suppress(OSError, UserError):
            if read_json(holder) == owner:
                holder.unlink(missing_ok=True)
        lock.release()


def holder_of(folder: Path) -> Any:
    """What the process that has claimed a folder says of itself; None where none has.

    Raises:
        UserError: it cannot be read.
    """
    return read_json(folder / _HOLDER)


def _in_use(folder: Path, owner: dict[str, Any], lock: str) -> InUseError:
    who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
    remedy = (
        f"Wait for it or stop it, or use another {argument('runs_dir')}; if its host is gone and"
        f" the file system keeps the lock, delete {lock}"
    )
    return InUseError(f"in use by {who}", where=str(folder), remedy=remedy)
