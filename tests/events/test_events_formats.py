"""Each format: what an encoder of its description writes is read back, event for event."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events import Events, known_suffixes, read_events, read_spans

CAMERAS = ["evt2", "evt21", "evt21_legacy", "evt3"]
FAST = ["bin5", "dat", "aedat2", "aedat3", "npy_tonic", "npy_fields", "npz", *CAMERAS]
SENSOR = (128, 128)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 20), st.integers(0, 4_000_000)),
        st.integers(0, 127),
        st.integers(0, 127),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=60,
)


def rows(events: Events) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in events.data]


def read(folder: Path, name: str, content: bytes, **options: Any) -> Events:
    (folder / name).write_bytes(content)
    return read_events(folder / name, **options)


def in_time(steps: list[tuple[int, int, int, int]], first: int) -> list[tuple[int, ...]]:
    times = first + np.cumsum([step[0] for step in steps])
    return [(int(t), *step[1:]) for t, step in zip(times, steps, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, start=st.integers(0, 8_000_000), high=st.integers(0, 2**33))
def test_round_trip(
    tmp_path: Path, encode: Any, name: str, steps: Any, start: int, high: int
) -> None:
    suffix, encoder = encode.formats[name]
    # The bits above its clock are not in a file.
    wraps = {"bin5": 2**23, "dat": 2**32, "aedat2": 2**31, "evt3": 2**24}
    first = start if name == "bin5" else high % wraps.get(name, 2**34)
    events = in_time(steps, first - min(first, steps[0][0]))
    if len(events) > 1 and events[0][0] == events[-1][0]:
        with pytest.raises(UserError, match="events have one time"):
            read(tmp_path, f"a{suffix}", encoder(events), sensor=SENSOR)
        return
    got = read(tmp_path, f"a{suffix}", encoder(events), sensor=SENSOR)
    assert rows(got) == events
    assert got.sensor == SENSOR
    one_sided = len(events) > 1 and len({event[3] for event in events}) == 1
    sign = "ON" if events[0][3] else "OFF"
    assert got.notes == ((f"all {len(events)} events are {sign}",) if one_sided else ())


@pytest.mark.parametrize("count", [1, 7, 100])
def test_round_trip_of_aedat4(tmp_path: Path, encode: Any, count: int) -> None:
    events = [(10**15 + 3 * i, i % 128, 7 * i % 128, i % 2) for i in range(count)]
    got = read(tmp_path, "a.aedat4", encode.aedat4(events))
    assert rows(got) == events
    assert (got.sensor, got.notes) == (SENSOR, ())


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_more_than_one_block(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    events = [(1000 * i, i % 128, i // 128 % 128, i % 2) for i in range(40_000)]
    assert rows(read(tmp_path, f"a{suffix}", encoder(events), sensor=SENSOR)) == events


@pytest.mark.parametrize("name", ["bin5", "npy_tonic", "npz"])
def test_a_file_that_names_no_sensor(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    got = read(tmp_path, f"a{suffix}", encoder([(1, 3, 0, 1), (2, 0, 6, 0)]))
    assert got.sensor == (4, 7)
    assert got.notes == ("the file names no sensor: 4x7 is of its largest addresses",)


@pytest.mark.parametrize("name", ["dat", "aedat2", "aedat3", "aedat4"])
def test_another_sensor_than_the_files(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    with pytest.raises(UserError, match=rf"a{suffix}: is of a sensor of 128x128.*got \[346, 260\]"):
        read(tmp_path, f"a{suffix}", encoder([(1, 3, 0, 1)]), sensor=(346, 260))


def test_bin5_marks_move_the_time(tmp_path: Path, encode: Any) -> None:
    mark, late = (5, 0, 240, 0), (6, 0, 240, 0)
    content = encode.bin5([(5, 1, 1, 0), mark, (6, 2, 2, 1), late, late, (7, 3, 3, 1)])
    got = read(tmp_path, "a.bin", content, sensor=(304, 240))
    assert rows(got) == [(5, 1, 1, 0), (6 + 8192, 2, 2, 1), (7 + 3 * 8192, 3, 3, 1)]
    assert "3 marks (row 240)" in got.notes[0]
    assert len(read(tmp_path, "a.bin", content, sensor=(256, 256))) == 6


@pytest.mark.parametrize("version", [None, 0, 1, 2])
@pytest.mark.parametrize("kind", [0, 12])
def test_dat_versions(tmp_path: Path, encode: Any, version: int | None, kind: int) -> None:
    events = [(3, 127, 5, 1), (4, 0, 127, 0)]
    content = encode.dat(events, version, kind)
    assert rows(read(tmp_path, "a.dat", content)) == events
    wide = [(3, 300, 200, 1), (4, 303, 239, 0)]
    content = encode.dat(wide, version, kind, size=False)
    got = read(tmp_path, "a.dat", content)
    assert (rows(got), got.sensor) == (wide, (304, 240))


def test_dat_polarities_of_four_bits(tmp_path: Path, encode: Any) -> None:
    got = read(tmp_path, "a.dat", encode.dat([(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 14)]))
    assert got.p.tolist() == [0, 1, 1]


@pytest.mark.parametrize("chip", ["DVS128", "DAVIS240", "DAVIS346"])
def test_aedat2_chips(tmp_path: Path, encode: Any, chip: str) -> None:
    _, width, height = encode.CHIPS[chip]
    events = [(1, 0, 0, 1), (2, width - 1, 0, 0), (3, 0, height - 1, 1), (4, 17, 71, 0)]
    got = read(tmp_path, "a.aedat", encode.aedat2(events, chip))
    assert (rows(got), got.sensor, got.notes) == (events, (width, height), ())


def test_aedat2_raw_addresses(tmp_path: Path, encode: Any) -> None:
    """Written out from the table: x from the right, y from the bottom, bit 0 clear is ON."""
    body = struct.pack(">IiIi", 5 << 8 | 3 << 1 | 0, 10, 127 << 8 | 127 << 1 | 1, 11)
    got = read(tmp_path, "a.aedat", encode.aedat2_head() + body)
    assert rows(got) == [(10, 124, 122, 1), (11, 0, 0, 0)]


def test_aedat2_leaves_out_what_is_no_event(tmp_path: Path, encode: Any) -> None:
    dvs = [encode.aedat2_word("DAVIS240", event) for event in [(1, 7, 8, 1), (9, 5, 6, 0)]]
    aps, imu = struct.pack(">Ii", 1 << 31 | 77, 3), struct.pack(">Ii", 1 << 31 | 0xC00, 4)
    outer = struct.pack(">Ii", 0x402, 5)
    content = encode.aedat2_head("DAVIS240") + dvs[0] + aps + imu + outer + dvs[1]
    got = read(tmp_path, "a.aedat", content)
    assert rows(got) == [(1, 7, 8, 1), (9, 5, 6, 0)]
    assert got.notes == ("3 external events and samples (APS, IMU) are left out",)
    sync = struct.pack(">Ii", 1 << 15, 3)
    got = read(tmp_path, "b.aedat", encode.aedat2([(1, 7, 8, 1)]) + sync)
    assert (len(got), got.notes[0][:1]) == (1, "1")


def test_aedat2_without_a_chip(tmp_path: Path, encode: Any) -> None:
    events = [(1, 7, 8, 1), (9, 5, 6, 0)]
    body = encode.aedat2(events)[len(encode.aedat2_head()) :]
    got = read(tmp_path, "a.aedat", encode.aedat2_head(None) + body)
    assert rows(got) == events
    assert got.notes == ("the header names no chip: read as DVS of 128x128",)
    body = encode.aedat2(events, "DAVIS346")[len(encode.aedat2_head("DAVIS346")) :]
    with pytest.raises(UserError, match=r"addresses are not a DVS128's. Give the sensor"):
        read(tmp_path, "b.aedat", encode.aedat2_head(None) + body)
    got = read_events(tmp_path / "b.aedat", sensor=(346, 260))
    assert rows(got) == events
    with pytest.raises(UserError, match="names no chip, and the sensor must be one of 128x128"):
        read_events(tmp_path / "b.aedat", sensor=(100, 100))
    with pytest.raises(UserError, match=r"chip whose addresses are not known.*DVS320"):
        read(tmp_path, "c.aedat", encode.aedat2_head(None) + b"# AEChip: ch.DVS320\r\n" + body)


def test_aedat2_whose_first_event_begins_like_the_header(tmp_path: Path, encode: Any) -> None:
    events = [(1, 7, 259 - 0x8D, 1)]
    content = encode.aedat2(events, "DAVIS346")
    assert content[len(encode.aedat2_head("DAVIS346"))] == ord("#")
    assert rows(read(tmp_path, "a.aedat", content)) == events
    events = [(0x0A0A0A0A, 7, 259 - 0x8D, 1)]
    end = b"#End Of ASCII Header\r\n"
    head = encode.aedat2_head("DAVIS346")
    content = head + end + encode.aedat2(events, "DAVIS346")[len(head) :]
    assert rows(read(tmp_path, "a.aedat", content)) == events


def test_aedat2_named_dat_as_jaer_once_did(tmp_path: Path, encode: Any) -> None:
    assert rows(read(tmp_path, "a.dat", encode.aedat2([(1, 2, 3, 1)]))) == [(1, 2, 3, 1)]


def test_aedat2_times_below_zero_and_the_wrap(tmp_path: Path, encode: Any) -> None:
    events = [(-5, 1, 1, 1), (0, 1, 1, 1), (2**31 - 1, 1, 1, 1), (2**31, 1, 1, 1), (2**32, 1, 1, 0)]
    assert rows(read(tmp_path, "a.aedat", encode.aedat2(events))) == events


def test_aedat3_invalid_other_and_unused(tmp_path: Path, encode: Any) -> None:
    content = encode.aedat3_head() + encode.aedat3_other(2, 40, 3)
    content += encode.aedat3_packet([(1, 2, 3, 1), (2, 2, 3, 1), (3, 4, 5, 0)], invalid=[1], room=4)
    content += encode.aedat3_other(0, 8, 0) + encode.aedat3_packet([]) + encode.aedat3_other()
    content += encode.aedat3_packet([(4, 127, 0, 1)])
    got = read(tmp_path, "a.aedat", content)
    assert rows(got) == [(1, 2, 3, 1), (3, 4, 5, 0), (4, 127, 0, 1)]
    assert got.notes == ("1 events that the camera marked invalid are left out",)


def test_aedat3_one_large_packet(tmp_path: Path, encode: Any) -> None:
    events = [(i, i % 128, i // 128 % 128, i % 2) for i in range(40_000)]
    assert rows(read(tmp_path, "a.aedat", encode.aedat3(events, packet=40_000))) == events


def test_aedat3_versions_and_headers(tmp_path: Path, encode: Any) -> None:
    whole = encode.aedat3([(1, 2, 3, 1)])
    with pytest.raises(UserError, match=r"must be AEDAT 3.1 \(got '#!AER-DAT3.0'\)"):
        read(tmp_path, "a.aedat", whole.replace(b"3.1", b"3.0"))
    with pytest.raises(UserError, match="has no line #!END-HEADER"):
        read(tmp_path, "a.aedat", whole.replace(b"#!END-HEADER\r\n", b""))
    davis = encode.aedat3_head(b"DAVIS240C") + encode.aedat3_packet([(1, 239, 179, 1)])
    assert read(tmp_path, "a.aedat", davis).sensor == (240, 180)


def test_aedat4_takes_the_first_of_several_streams(tmp_path: Path, encode: Any) -> None:
    got = read(tmp_path, "a.aedat", encode.aedat4([(1, 2, 3, 1)], streams=2))
    assert rows(got) == [(1, 2, 3, 1)]
    assert got.notes == ("only the first of 2 streams of events is read",)


def test_aedat4_without_the_package(
    tmp_path: Path, encode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiketicket.events.apart.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the Python package aedat.*spiketicket\[events\]"):
        read(tmp_path, "a.aedat4", encode.aedat4([(1, 2, 3, 1)]))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i4", "<u2"])
def test_npy_types_and_orders(tmp_path: Path, order: Any, dtype: str) -> None:
    file = io.BytesIO()
    np.save(file, np.array([[1, 2, 0, 3], [4, 5, 1, 6]], dtype, order=order))
    got = read(tmp_path, "a.npy", file.getvalue())
    assert rows(got) == [(3000, 1, 2, 0), (6000, 4, 5, 1)]


def test_polarities_of_minus_one(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 2, -1, 3.25], [4, 5, 1, 6]]))
    assert rows(read_events(tmp_path / "a.npy")) == [(3250, 1, 2, 0), (6000, 4, 5, 1)]


def test_npz_not_packed(tmp_path: Path, encode: Any) -> None:
    assert rows(read(tmp_path, "a.npz", encode.npz([(1, 2, 3, 1)], packed=False))) == [(1, 2, 3, 1)]


@pytest.mark.parametrize("name", FAST)
def test_late_events_are_put_in_order(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    events = [(10, 1, 1, 1), (12, 2, 2, 0), (11, 3, 3, 1), (12, 4, 4, 1), (9, 5, 5, 0)]
    got = read(tmp_path, f"a{suffix}", encoder(events), sensor=SENSOR)
    assert rows(got) == sorted(events, key=lambda event: event[0])
    assert got.notes == ("2 events came late, by up to 3 us: all are put in order of time",)


@pytest.mark.parametrize("name", FAST)
def test_spans(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    events = [(10 * i + 3 * (i % 2), i % 128, 1, i % 2) for i in range(1000)]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoder(events))
    spans = [(0, 10), (500, 2003), (1000, 1001), (9_000, 10**9), (10**9, 10**9 + 1)]
    got = read_spans(path, spans, sensor=SENSOR)
    for span, part in zip(spans, got, strict=True):
        assert rows(part) == [event for event in events if span[0] <= event[0] < span[1]]
        assert part.sensor == SENSOR
    assert rows(read_spans(path, [(20, 41)], sensor=SENSOR)[0]) == [*events[2:4], (40, 4, 1, 0)]
    with pytest.raises(UserError, match=r"must end behind its start \(got \[5, 5\]\)"):
        read_spans(path, [(5, 5)])
    assert read_spans(path, []) == []


def test_suffixes() -> None:
    names = "aedat aedat4 bin dat db3 es h5 hdf5 mcap npy npz raw"
    assert known_suffixes() == tuple(f".{name}" for name in names.split())
