"""HDF5 files with arrays t (microseconds), x, y and p in a group, or a table of these fields.

    DSEC    events/{t, x, y, p}, of 640x480 pixels; t_offset is added to the times
    M3ED    prophesee/{left, right}/{t, x, y, p}, calib/resolution is the sensor's size
    others  any group; an attribute ``geometry`` ("1280x720") of the file is the sensor's size

Read by the package ``h5py``, an extra: spiketicket[events], in a process of its own. Links to
other files are not followed. Arrays that are packed with blosc or zstd, as those of DSEC and M3ED
are, need the package ``hdf5plugin`` too.

Source: dsec.ifi.uzh.ch/data-format, m3ed.io/data_overview.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.events.apart import Apart
from spiketicket.events.formats._groups import Group, choose
from spiketicket.events.formats._header import agreed_sensor
from spiketicket.events.reading import Recording
from spiketicket.events.stores import Columns
from spiketicket.events.types import EVENT

TITLE: Final = "HDF5 (DSEC, M3ED)"
SUFFIXES: Final = (".h5", ".hdf5")
MAGIC: Final = b"\x89HDF\r\n\x1a\n"


def open_topic(path: Path, sensor: tuple[int, int] | None, topic: str | None) -> Recording:
    """Open a file; ``topic`` is the group, of several.

    Raises:
        UserError: the package ``h5py`` is missing, no such group or several, a filter that is not
            there, or another sensor than ``sensor``.
    """
    file = Apart("hdf5", TITLE, path, {"topic": topic})
    with file.checked() as told:
        chosen = choose([_group(each) for each in told], topic, str(path))
        size = agreed_sensor(chosen.sensor, sensor, path)
    return Recording(sensor=size, most=0, blocks=_blocks(file), notes=file.notes)


def _group(told: dict[str, object]) -> Group:
    sensor = told["sensor"]
    size = (int(sensor[0]), int(sensor[1])) if isinstance(sensor, list) else None
    return Group(str(told["name"]), int(str(told["events"])), str(told["fault"]), size)


def _blocks(file: Apart) -> Iterator[Columns]:
    for part in file.parts:
        events = np.frombuffer(part, EVENT)
        yield Columns(events["t"], events["x"], events["y"], events["p"])
