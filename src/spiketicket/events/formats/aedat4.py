"""AEDAT 4 files of DV, read by the package ``aedat``, which is an extra: spiketicket[events].

The first stream of events is read; pictures, motion samples and triggers are not. (0, 0) is top
left. It is read in a process of its own, as a damaged file can make the package end its process;
that costs about half a second per file. Where the file is cut off or damaged, the packets before
that place are read, which a note says; the package does not tell how many bytes are left out.

Source: "AEDAT 4.0", docs.inivation.com; github.com/neuromorphicsystems/aedat.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events.apart import Apart
from spiketicket.events.formats._header import agreed_sensor
from spiketicket.events.reading import Recording
from spiketicket.events.stores import Columns
from spiketicket.events.types import EVENT

TITLE: Final = "AEDAT 4"
SUFFIXES: Final = (".aedat4", ".aedat")
MAGIC: Final = b"#!AER-DAT4"


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Open a file.

    Raises:
        UserError: the package ``aedat`` is missing, the file has no stream of events or cannot be
            opened, or it is of another sensor than ``sensor``.
    """
    file = Apart("aedat4", TITLE, path, {})
    with file.checked() as streams:
        known = [stream for stream in streams.values() if stream["type"] == "events"]
        if not known:
            raise UserError("has no stream of events", where=str(path))
        stated = (int(known[0]["width"]), int(known[0]["height"]))
        size = agreed_sensor(stated, sensor, path)
    if len(known) > 1:
        file.notes.append(f"only the first of {len(known)} streams of events is read")
    return Recording(sensor=size, most=0, blocks=_blocks(file), notes=file.notes)


def _blocks(file: Apart) -> Iterator[Columns]:
    for part in file.parts:
        events = np.frombuffer(part, EVENT)
        if events["t"].min() < 0:
            file.damaged("a time is below 0")
            return
        yield Columns(events["t"], events["x"], events["y"], events["p"])
