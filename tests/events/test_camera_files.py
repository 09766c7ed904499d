"""Files of cameras: Prophesee RAW and Event Stream."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any

import camera_files as files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events import Events, iter_chunks, read_events

LIVE = Path(os.environ.get("SPIKETICKET_LIVE_DATA") or "no data")
QUIET = [HealthCheck.function_scoped_fixture]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 300),
        st.sets(st.integers(0, 127), min_size=1, max_size=50),
        st.integers(0, 127),
        st.integers(0, 1),
    ),
    min_size=2,
    max_size=20,
)


def rows(events: Events) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in events.data]


def read(folder: Path, name: str, content: bytes, **options: Any) -> Events:
    (folder / name).write_bytes(content)
    return read_events(folder / name, **options)


def error(folder: Path, name: str, content: bytes, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, name, content, **options)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(files.FORMATS))
@settings(deadline=None, max_examples=20, suppress_health_check=QUIET)
@given(given_rows=ROWS)
def test_rows_of_events_at_one_time(tmp_path: Path, name: str, given_rows: Any) -> None:
    """Vectors of EVT 2.1 and 3.0 hold several events of a row."""
    t, events = 5, [(1, 1, 1, 0), (2, 1, 1, 1)]
    for step, columns, y, p in given_rows:
        t += step
        events += [(t, x, y, p) for x in sorted(columns)]
    suffix, encode = files.FORMATS[name]
    got = read(tmp_path, f"a{suffix}", encode(events))
    assert (rows(got), got.sensor, got.notes) == (events, (128, 128), ())


def test_evt2_words_written_out_from_the_table(tmp_path: Path) -> None:
    words = [0x8000_0001, 0x1 << 28 | 5 << 22 | 100 << 11 | 17, 0xA000_0001, 0x0 << 28 | 63 << 22]
    content = files.raw_head("2.0") + struct.pack("<4I", *words)
    assert rows(read(tmp_path, "a.raw", content)) == [(69, 100, 17, 1), (127, 0, 0, 0)]


def test_evt3_words_written_out_from_the_table(tmp_path: Path) -> None:
    words = [
        0x8001,
        0x6002,
        0x0007,
        0x2800 | 9,
        0x3000 | 20,
        0x4801,
        0x5081,
        0x4001,
        0x7001,
        0xA001,
    ]
    content = files.raw_head("3.0") + struct.pack("<10H", *words)
    at = 4098
    content += struct.pack("<3H", 0x6003, 0x2000 | 1, 0x6004)
    assert rows(read(tmp_path, "a.raw", content)) == [
        *((at, x, 7, p) for x, p in [(9, 1), (20, 0), (31, 0), (32, 0), (39, 0), (40, 0)]),
        (at + 1, 1, 7, 0),
    ]


def test_evt21_word_written_out_from_the_table(tmp_path: Path) -> None:
    words = [0x8 << 60 | 2 << 32, 0x1 << 60 | 3 << 54 | 64 << 43 | 9 << 32 | 0x8000_0001]
    words.append(0x0 << 60 | 4 << 54 | 0 << 43 | 1 << 32 | 2)
    got = read(tmp_path, "a.raw", files.raw_head("2.1") + struct.pack("<3Q", *words))
    assert rows(got) == [(131, 64, 9, 1), (131, 95, 9, 1), (132, 1, 1, 0)]


@pytest.mark.parametrize("told", ["", "% endianness legacy\n"])
def test_the_order_of_halves_is_told_by_the_words_where_the_header_does_not(
    tmp_path: Path, told: str
) -> None:
    events = [(100 * i, 7 * i % 128, i % 128, i % 2) for i in range(50)]
    body = files.evt21_legacy(events).partition(b"% end\n")[2]
    content = files.raw_head("2.1", f"% geometry 128x128\n{told}") + body
    assert rows(read(tmp_path, "a.raw", content)) == events


@pytest.mark.parametrize(
    ("name", "bits"), [("evt3", 24), ("evt2", 34), ("evt21", 34), ("evt21_legacy", 34)]
)
def test_a_clock_that_wraps_is_followed(tmp_path: Path, name: str, bits: int) -> None:
    events = [((1 << bits) - 4_000_000 + 1_000_000 * i, i, i, i % 2) for i in range(8)]
    assert rows(read(tmp_path, "a.raw", files.FORMATS[name][1](events))) == events


@pytest.mark.parametrize("name", ["evt2", "evt21", "evt3"])
def test_events_ahead_of_the_first_time_are_left_out(tmp_path: Path, name: str) -> None:
    events = [(70, 1, 2, 1), (70, 3, 4, 0), (4200, 5, 6, 1), (9999, 7, 8, 0)]
    content = files.FORMATS[name][1](events)
    body = content.index(b"% end\n") + 6
    skip = {"evt2": 4, "evt21": 8, "evt3": 4}[name]
    got = read(tmp_path, "a.raw", content[:body] + content[body + skip :])
    assert rows(got) == events[2:]
    assert got.notes == ("2 events ahead of the first time are left out",)


def test_sensors_that_only_a_plugin_names(tmp_path: Path) -> None:
    body = files.evt2([(1, 639, 479, 1), (2, 0, 0, 0)]).partition(b"% end\n")[2]
    plugin = "% plugin_name hal_plugin_gen3_fx3\n"
    got = read(tmp_path, "a.raw", files.raw_head("2.0", plugin) + body)
    assert got.sensor == (640, 480)
    assert got.notes == ("the header tells no size: 640x480 is that of a gen3 sensor",)
    assert read_events(tmp_path / "a.raw", sensor=(640, 480)).notes == ()
    with pytest.raises(UserError, match="is of a sensor of 640x480"):
        read_events(tmp_path / "a.raw", sensor=(700, 500))
    got = read(tmp_path, "b.raw", files.raw_head("2.0", "") + body)
    assert got.sensor == (640, 480)
    assert "names no sensor" in got.notes[0]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"% date 2020\n% end\n", "tells no encoding"),
        (b"% evt 4.0\n", "encoding that is not read.*got '4.0'"),
        (b"% format HISTO3D;height=4;width=4\n", "got 'HISTO3D'"),
        (b"% evt 3.0\n% geometry 12by13\n", "geometry is no width and height.*12by13"),
        (b"% evt 3.0\n% geometry 99999x1\n", "sensor's width must be a whole number from 1"),
        (b"% evt 3.0\n% geometry 0x10\n", "sensor's width must be a whole number from 1"),
        (b"% evt 3.0\n% geometry 12x13\n% format EVT3;width=9;height=9\n", "two sizes"),
        (b"% evt 2.1\n% endianness big\n", "order of bytes.*got 'big'"),
        (b"% evt 3.0\n% end\n", "holds no event"),
    ],
)
def test_headers_with_faults(tmp_path: Path, head: bytes, message: str) -> None:
    assert re.search(message, error(tmp_path, "a.raw", head))


def test_words_of_another_encoding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = files.raw_head("3.0") + rng.integers(0, 256, 9000, np.uint8).tobytes()
    assert "words are none of its encoding" in error(tmp_path, "a.raw", content)


def test_es_overflows_and_measurements(tmp_path: Path) -> None:
    head = b"Event Stream\2\0\0\2" + struct.pack("<HH", 10, 10)
    body = b"\xff\xfd" + bytes([5 << 2 | 2]) + struct.pack("<HH", 3, 0)
    body += bytes([1 << 2 | 1]) + struct.pack("<HH", 3, 0) + b"\xfc\xfe"
    body += bytes([1 << 2]) + struct.pack("<HH", 0, 9) + b"\x01\x02"
    got = read(tmp_path, "a.es", head + body)
    assert rows(got) == [(257, 3, 9, 1), (385, 0, 0, 0)]
    assert got.notes == (
        "2 bytes at the end, less than one event, are left out",
        "1 measurements of brightness are left out",
    )


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"Event Stream\1\0\0\1", "must be of version 2"),
        (b"Event Stream\2\0\0\0" + bytes(40), "type 0, generic"),
        (b"Event Stream\2\0\0\4" + bytes(40), "type 4, colour"),
        (b"Event Stream\2\0\0\1\x08", "ends in its header"),
        (b"Event Stream", "ends in its header"),
        (b"Event Strean\2\0\0\1\x08", "is not Event Stream"),
        (b"Event Stream\2\0\0\1" + bytes(10), "width must be a whole number from 1"),
    ],
)
def test_es_headers_with_faults(tmp_path: Path, head: bytes, message: str) -> None:
    assert message in error(tmp_path, "a.es", head)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evt3", "es", "npz"])
def test_chunks_are_the_recording(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    events = [(7 * i, i % 128, i // 128 % 128, i % 2) for i in range(40_000)]
    (tmp_path / f"a{suffix}").write_bytes(encoder(events))
    chunks = iter_chunks(tmp_path / f"a{suffix}", sensor=(128, 128))
    assert chunks.sensor == (128, 128)
    parts = list(chunks)
    assert len(parts) > 1
    assert [row for part in parts for row in rows(part)] == events
    assert chunks.notes == ()


def test_chunks_with_late_events_and_resets(tmp_path: Path, encode: Any) -> None:
    late = [(t, t % 128, 1, 1) for t in (0, 9000, 100, 20_000, 10_001, 9_999, 30_000)]
    path = tmp_path / "a.dat"
    path.write_bytes(encode.dat(late))
    chunks = iter_chunks(path)
    assert [int(t) for part in chunks for t in part.t] == [0, 100, 9000, 10_001, 20_000, 30_000]
    assert chunks.notes == ("1 events that come late by more than 10000 us are left out",)
    first = [(50_000 + 100 * i, i % 128, 1, i % 2) for i in range(300)]
    second = [(100 * i, i % 128, 2, i % 2) for i in range(200)]
    path.write_bytes(encode.dat(first + second))
    chunks = iter_chunks(path)
    parts = list(chunks)
    assert [row for part in parts for row in rows(part)] == first + second
    assert chunks.notes == ("the clock is reset 1 times",)


def test_chunks_of_no_sensor_and_of_another(tmp_path: Path, encode: Any) -> None:
    events = [(i, i % 34, 33 - i % 34, i % 2) for i in range(100)]
    (tmp_path / "a.bin").write_bytes(encode.bin5(events))
    chunks = iter_chunks(tmp_path / "a.bin")
    assert chunks.sensor == (34, 34)
    assert [row for part in chunks for row in rows(part)] == events
    assert "names no sensor" in chunks.notes[0]
    with pytest.raises(UserError, match="events lie outside the sensor of 20x20"):
        list(iter_chunks(tmp_path / "a.bin", sensor=(20, 20)))
    (tmp_path / "b.es").write_bytes(files.es([]))
    with pytest.raises(UserError, match="holds no event"):
        list(iter_chunks(tmp_path / "b.es"))


def test_a_topic_is_for_files_that_have_some(tmp_path: Path) -> None:
    message = error(tmp_path, "a.es", files.es([(1, 2, 3, 1)]), topic="/events")
    assert "`topic`: is for bags and HDF5 files" in message


def test_a_real_recording() -> None:
    path = LIVE / "evt2.raw"
    if not path.exists():
        pytest.skip("SPIKETICKET_LIVE_DATA has no evt2.raw")
    events = read_events(path)
    assert (len(events), events.sensor, events.duration_us) == (521_252, (640, 480), 95_871)
    assert events.data[0].tolist() == (913_716_224, 35, 443, 1)
    assert np.array_equal(np.concatenate([part.data for part in iter_chunks(path)]), events.data)
