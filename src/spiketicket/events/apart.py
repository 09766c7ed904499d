"""Files whose libraries a damaged one can abort, or have ask for any memory: read in a process of
their own, which costs about half a second per file.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, cast

from spiketicket.errors import UserError
from spiketicket.machine.bounded import MEMORY_VARIABLE, max_memory, parse_json

_FAILED, _NO_MEMORY = 0xFFFF_FFFF, 0xFFFF_FFFE
_DAMAGED: Final = "cut off or damaged, what follows is left out"


class Apart:
    """The parts that a reader of ``workers`` yields: ``told`` first, then ``parts``.

    Where it fails, what it yielded until then is taken, and a note is added to ``notes``.

    Raises:
        UserError: its package is missing, it yields nothing, or it lacks memory.
    """

    def __init__(self, kind: str, title: str, path: Path, asked: dict[str, Any]) -> None:
        package = {"hdf5": "h5py"}.get(kind, kind.rstrip("4"))
        if find_spec(package) is None:
            what = f"is {title}, which needs the Python package {package}"
            remedy = "pip install 'spiketicket[events]'"
            raise UserError(what, where=str(path), remedy=remedy)
        self._title, self._path = title, path
        self.notes: list[str] = []
        self.parts = self._parts(kind, path, asked)
        first = next(self.parts, None)
        if first is None:
            reason = self.notes[0].removeprefix(f"{_DAMAGED}: ")
            raise UserError(f"cannot be read as {title}: {reason}", where=str(path))
        try:
            self.told: Any = parse_json(first.decode())
        except ValueError as error:
            raise UserError(f"cannot be read as {title}: {error}", where=str(path)) from error

    @contextlib.contextmanager
    def checked(self) -> Iterator[Any]:
        """What it told, to be looked at; the process ends at once where that is refused.

        Raises:
            UserError: as inside; other errors of a wrong type or value become one.
        """
        try:
            yield self.told
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            self.parts.close()
            if isinstance(error, UserError):
                raise
            raise UserError(f"cannot be read as {self._title}", where=str(self._path)) from error

    def damaged(self, reason: str) -> None:
        """Note that what follows is left out."""
        self.notes.append(f"{_DAMAGED}: {reason}")

    def _parts(self, kind: str, path: Path, asked: dict[str, Any]) -> Generator[bytes, None, None]:
        module = f"{__package__}._worker"
        command = [sys.executable, "-P", "-m", module, kind, str(path), str(max_memory())]
        # It must find the packages that this process finds.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(
            [*command, json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as process:
            try:
                yield from self._framed(cast("IO[bytes]", process.stdout), path)
            finally:
                process.kill()

    def _framed(self, stream: IO[bytes], path: Path) -> Iterator[bytes]:
        reason = f"the reader ended without a word; {MEMORY_VARIABLE} allows it more memory"
        while len(head := stream.read(4)) == 4:
            length = int.from_bytes(head, "little")
            if length == 0:
                return
            if length == _NO_MEMORY:
                most = max_memory()
                what = f"a packet of it does not fit into the {most} bytes that may be used"
                remedy = f"{MEMORY_VARIABLE} allows more"
                raise UserError(what, where=str(path), remedy=remedy)
            if length == _FAILED:
                reason = stream.read().decode("utf-8", "replace")
                break
            part = stream.read(length)
            if len(part) < length:
                break
            yield part
        self.damaged(reason)
