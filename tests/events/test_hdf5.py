"""HDF5 as DSEC, M3ED and Prophesee lay events out; written by h5py, which is no code of src."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.events import Events, iter_chunks, read_events

pytestmark = pytest.mark.slow

EVENTS = [(1000 + 7 * i, i % 128, 5 * i % 128, i % 2) for i in range(400)]


def columns() -> dict[str, Any]:
    kinds = {"t": np.uint32, "x": np.uint16, "y": np.uint16, "p": np.uint8}
    values = dict(zip("txyp", zip(*EVENTS, strict=True), strict=True))
    return {name: np.array(values[name], kind) for name, kind in kinds.items()}


def put(file: Any, group: str, **how: Any) -> None:
    for name, column in columns().items():
        file.create_dataset(f"{group}/{name}", data=column, **how)


def rows(events: Events, offset: int = 0) -> list[tuple[int, ...]]:
    return [(int(t) - offset, int(x), int(y), int(p)) for t, x, y, p in events.data]


def error(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_events(path, **options)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def test_dsec(path: Path) -> None:
    with h5py.File(path, "w") as file:
        put(file, "events", compression="gzip")
        file["ms_to_idx"] = np.zeros(3, np.uint64)
        file["t_offset"] = np.int64(10**15)
    got = read_events(path)
    assert (rows(got, 10**15), got.sensor, got.notes) == (EVENTS, (640, 480), ())
    assert [row for part in iter_chunks(path) for row in rows(part, 10**15)] == EVENTS


def test_m3ed_has_two_cameras(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for side in ("left", "right"):
            put(file, f"prophesee/{side}")
            file[f"prophesee/{side}/calib/resolution"] = np.array([1280, 720])
    assert "several groups of events: prophesee/left, prophesee/right" in error(path)
    assert "no such group of events; it has prophesee/left, " in error(path, topic="left")
    got = read_events(path, topic="/prophesee/right")
    assert (rows(got), got.sensor) == (EVENTS, (1280, 720))
    assert "is of a sensor of 1280x720" in error(path, topic="prophesee/left", sensor=(9, 9))


def test_a_table_of_fields(path: Path) -> None:
    kind = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
    with h5py.File(path, "w") as file:
        file.attrs["geometry"] = "128x128"
        file["CD/events"] = np.array([(x, y, p, t) for t, x, y, p in EVENTS], kind)
    got = read_events(path)
    assert (rows(got), got.sensor) == (EVENTS, (128, 128))


def test_polarities_of_minus_one(path: Path) -> None:
    with h5py.File(path, "w") as file:
        put(file, "events")
        del file["events/p"]
        file["events/p"] = np.array([2 * p - 1 for *_, p in EVENTS], np.int8)
    assert rows(read_events(path)) == EVENTS


def test_groups_with_faults(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["frames"] = np.zeros((4, 4))
    assert "no group with arrays t, x, y and p" in error(path)
    with h5py.File(path, "w") as file:
        put(file, "a")
        del file["a/t"]
        file["a/t"] = np.zeros(400)
    assert "a: t is float64 [400] and no array of whole numbers" in error(path)
    with h5py.File(path, "w") as file:
        put(file, "a")
        del file["a/t"]
        file["a/t"] = np.arange(3)
    assert "differ in length" in error(path)


def test_nothing_of_other_files_is_read(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        put(file, "events")
    (tmp_path / "bytes").write_bytes(bytes(1600))
    with h5py.File(path, "w") as file:
        file["events"] = h5py.ExternalLink("other.h5", "events")
    assert "no group with arrays" in error(path)
    with h5py.File(path, "w") as file:
        put(file, "events")
        del file["events/t"]
        file["events/t"] = h5py.ExternalLink("other.h5", "events/t")
    assert "no group with arrays" in error(path)
    with h5py.File(path, "w") as file:
        put(file, "events")
        del file["events/t"]
        layout = h5py.VirtualLayout((400,), "u4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "events/t", (400,))
        file["events"].create_virtual_dataset("t", layout)
    assert "events: t lies in other files" in error(path)
    with h5py.File(path, "w") as file:
        put(file, "events")
        del file["events/t"]
        file["events"].create_dataset(
            "t", (400,), "u4", external=[(str(tmp_path / "bytes"), 0, 1600)]
        )
    assert "events: t lies in other files" in error(path)


def test_a_filter_that_is_not_there(path: Path) -> None:
    with h5py.File(path, "w") as file:
        put(file, "events")
        del file["events/t"]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((100,))
        # Optional, so that it can be made without the filter: 32999 is nobody's.
        plan.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((400,))
        h5py.h5d.create(file["events"].id, b"t", h5py.h5t.STD_U32LE, space, plan)
    message = error(path)
    assert "events: t is packed with" in message
    assert "pip install hdf5plugin" in message


def test_a_file_that_is_damaged(path: Path) -> None:
    with h5py.File(path, "w") as file:
        put(file, "events", chunks=(50,), compression="gzip")
    content = path.read_bytes()
    path.write_bytes(content[:600])
    assert "cannot be read as HDF5" in error(path)
    broken = bytearray(content)
    at = content.rindex(b"\x78\x5e") if b"\x78\x5e" in content else content.rindex(b"\x78")
    broken[at : at + 20] = b"\xff" * 20
    path.write_bytes(broken)
    try:
        got = read_events(path)
    except UserError as caught:
        assert str(path) in str(caught)
    else:
        assert "cut off or damaged" in " ".join(got.notes)
