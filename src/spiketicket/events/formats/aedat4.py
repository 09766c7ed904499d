"""AEDAT 4 files of DV, read by the package ``aedat``, which is an extra: spiketicket[events].

The first stream of events is read; pictures, motion samples and triggers are not. (0, 0) is top
left. It is read in a process of its own, as a damaged file can make the package end its process;
that costs about 0.2 s a file. Where the file is cut off or damaged, the packets before that place
are read, which a note says; the package does not tell how many bytes are left out.

Source: "AEDAT 4.0", docs.inivation.com; github.com/neuromorphicsystems/aedat.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events.formats._header import agreed_sensor
from spiketicket.events.reading import Recording
from spiketicket.events.stores import Columns
from spiketicket.events.types import EVENT
from spiketicket.machine.bounded import MEMORY_VARIABLE, max_memory, parse_json

TITLE: Final = "AEDAT 4"
SUFFIXES: Final = (".aedat4", ".aedat")
MAGIC: Final = b"#!AER-DAT4"

_WORKER: Final = Path(__file__).parent.parent / "_aedat4_worker.py"
_FAILED, _NO_MEMORY = 0xFFFF_FFFF, 0xFFFF_FFFE
_DAMAGED: Final = "cut off or damaged, what follows is left out"


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Open a file.

    Raises:
        UserError: the package ``aedat`` is missing, the file has no stream of events or cannot be
            opened, or it is of another sensor than ``sensor``.
    """
    if find_spec("aedat") is None:
        what = "is AEDAT 4, which needs the Python package aedat"
        raise UserError(what, where=str(path), remedy="pip install 'spiketicket[events]'")
    notes: list[str] = []
    parts = _parts(path, notes)
    first = next(parts, None)
    if first is None:
        reason = notes[0].removeprefix(f"{_DAMAGED}: ")
        raise UserError(f"cannot be read as AEDAT 4: {reason}", where=str(path))
    streams: dict[str, dict[str, Any]] = parse_json(first.decode())
    known = [stream for stream in streams.values() if stream["type"] == "events"]
    if not known:
        raise UserError("has no stream of events", where=str(path))
    if len(known) > 1:
        notes.append(f"only the first of {len(known)} streams of events is read")
    stated = (int(known[0]["width"]), int(known[0]["height"]))
    return Recording(
        sensor=agreed_sensor(stated, sensor, path),
        most=0,
        blocks=_blocks(parts, notes),
        notes=notes,
    )


def _blocks(parts: Iterator[bytes], notes: list[str]) -> Iterator[Columns]:
    for part in parts:
        events = np.frombuffer(part, EVENT)
        if events["t"].min() < 0:
            notes.append(f"{_DAMAGED}: a time is below 0")
            return
        yield Columns(events["t"], events["x"], events["y"], events["p"])


def _parts(path: Path, notes: list[str]) -> Iterator[bytes]:
    """What the worker writes, up to the end of the file or to where it failed, with a note."""
    command = [sys.executable, "-P", str(_WORKER), str(path), str(max_memory())]
    # It must find the packages that this process finds.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        try:
            yield from _framed(cast("IO[bytes]", process.stdout), path, notes)
        finally:
            process.kill()


def _framed(stream: IO[bytes], path: Path, notes: list[str]) -> Iterator[bytes]:
    reason = f"the reader ended without a word; {MEMORY_VARIABLE} allows it more memory"
    while len(head := stream.read(4)) == 4:
        length = int.from_bytes(head, "little")
        if length == 0:
            return
        if length == _NO_MEMORY:
            what = f"a packet of it does not fit into the {max_memory()} bytes that may be used"
            remedy = f"{MEMORY_VARIABLE} allows more"
            raise UserError(what, where=str(path), remedy=remedy)
        if length == _FAILED:
            reason = stream.read().decode("utf-8", "replace")
            break
        part = stream.read(length)
        if len(part) < length:
            break
        yield part
    notes.append(f"{_DAMAGED}: {reason}")
