"""Files with faults: each is a clear error or a recording that says what is missing in it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events import Events, read_events, read_spans

FAST = ["bin5", "dat", "aedat2", "aedat3", "npy_tonic", "npy_fields", "npz", "evt2"]
FAST += ["evt21", "evt21_legacy", "evt3", "es", "es_atis"]
SENSOR = (128, 128)
EVENTS = [(1000 + 7 * i, i % 128, 5 * i % 128, i % 2) for i in range(40)]


def error(path: Path, content: bytes | None = None, **options: Any) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_events(path, **options)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_damage_is_an_error_or_a_recording(
    tmp_path: Path, encode: Any, name: str, data: st.DataObject
) -> None:
    suffix, encoder = encode.formats[name]
    content = bytearray(encoder(EVENTS))
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content)), "length") :]
    flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), max_size=3)
    for at, bit in data.draw(flips, "flips") if content else []:
        content[at % len(content)] ^= 1 << bit
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        events = read_events(path, sensor=data.draw(st.sampled_from([None, SENSOR]), "sensor"))
    except UserError as caught:
        assert str(path) in str(caught)
    else:
        assert isinstance(events, Events)
        assert len(events) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_any_damage_of_aedat4(tmp_path: Path, encode: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(encode.aedat4(EVENTS))
    for at in rng.integers(0, len(content), 1 + seed % 3):
        content[at] ^= 1 << int(rng.integers(8))
    (tmp_path / "a.aedat4").write_bytes(content)
    try:
        assert len(read_events(tmp_path / "a.aedat4")) > 0
    except UserError as caught:
        assert "a.aedat4: " in str(caught)


def test_aedat4_that_ends_its_reader(tmp_path: Path, encode: Any) -> None:
    """The offset of the events' table points far outside: the package aborts its process."""
    content = encode.aedat4(EVENTS)
    at = content.index(b"EVTS", content.rindex(b"</dv>")) - 4
    broken = content[:at] + b"\xff\xff\xff\x7f" + content[at + 4 :]
    assert "a.aedat4: holds no event (cut off or damaged" in error(tmp_path / "a.aedat4", broken)


def test_aedat4_that_is_cut_off(tmp_path: Path, encode: Any) -> None:
    content = encode.aedat4(EVENTS)
    (tmp_path / "a.aedat4").write_bytes(content[:-100])
    got = read_events(tmp_path / "a.aedat4")
    assert got.data.tolist() == EVENTS[:35]
    assert got.notes[0].startswith("cut off or damaged, what follows is left out: ")
    assert "without a word" not in got.notes[0]
    assert "a.aedat4: cannot be read as AEDAT 4" in error(tmp_path / "a.aedat4", content[:30])


@pytest.mark.parametrize(
    ("name", "record"), [("bin5", 5), ("dat", 8), ("aedat2", 8), ("npy_tonic", 32)]
)
@pytest.mark.parametrize("cut", [1, 4, 5, 8, 9, 33])
def test_a_cut_file_gives_its_whole_events(
    tmp_path: Path, encode: Any, name: str, record: int, cut: int
) -> None:
    suffix, encoder = encode.formats[name]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoder(EVENTS)[:-cut])
    got = read_events(path, sensor=SENSOR)
    assert got.data.tolist() == EVENTS[: 40 - (cut + record - 1) // record]
    rest = -cut % record
    if name == "npy_tonic":
        assert f"of 40 rows are there, {rest} bytes left out" in got.notes[0]
    else:
        told = (f"{rest} bytes at the end, less than one event, are left out",)
        assert got.notes == (told if rest else ())


@pytest.mark.parametrize("cut", [1, 8, 12, 24, 25, 40, 52, 53])
def test_a_cut_aedat3(tmp_path: Path, encode: Any, cut: int) -> None:
    """Two packets of three events, 28 + 24 bytes each."""
    packets = [encode.aedat3_packet(EVENTS[:3]), encode.aedat3_packet(EVENTS[3:6])]
    content = encode.aedat3_head() + b"".join(packets)
    (tmp_path / "a.aedat").write_bytes(content[:-cut])
    got = read_events(tmp_path / "a.aedat")
    whole = {1: 5, 8: 5, 12: 4, 24: 3, 25: 3, 40: 3, 52: 3, 53: 2}[cut]
    assert got.data.tolist() == EVENTS[:whole]
    note = {
        1: "the last packet is cut off, 7 bytes of it are left out",
        8: "the last packet is cut off, 0 bytes of it are left out",
        12: "the last packet is cut off, 4 bytes of it are left out",
        24: "the last packet is cut off, 0 bytes of it are left out",
        25: "27 bytes at the end, which begin no packet, are left out",
        40: "12 bytes at the end, which begin no packet, are left out",
        53: "the last packet is cut off, 7 bytes of it are left out",
    }
    assert got.notes == ((note[cut],) if cut in note else ())


def test_aedat3_with_a_header_that_cannot_be(tmp_path: Path, encode: Any) -> None:
    good = encode.aedat3_head() + encode.aedat3_packet(EVENTS[:3])
    for field, value in ((0, -1), (2, 0), (2, 9), (3, 0), (4, -1), (5, 2), (6, -1), (7, 4)):
        head = [1, 1, 8, 4, 0, 3, 3, 3]
        head[field] = value
        bad = struct.pack("<hhiiiiii", *head) + bytes(24)
        (tmp_path / "a.aedat").write_bytes(good + bad)
        got = read_events(tmp_path / "a.aedat")
        assert got.data.tolist() == EVENTS[:3]
        assert got.notes == ("52 bytes at the end, which begin no packet, are left out",)


@pytest.mark.parametrize("name", ["bin5", "dat", "aedat2", "aedat3", "aedat4"])
def test_a_recording_without_events(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    path = tmp_path / f"a{suffix}"
    expected = "is empty" if name == "bin5" else "holds no event"
    assert f"{path}: {expected}" in error(path, encoder([]))
    assert f"{path}: is empty" in error(path, b"")


def test_less_than_one_event(tmp_path: Path) -> None:
    message = error(tmp_path / "a.bin", b"abc")
    assert "holds no event (3 bytes at the end, less than one event, are left out)" in message


def test_few_events_outside_the_sensor_are_left_out(tmp_path: Path, encode: Any) -> None:
    events = [(i, i % 34, i % 34, i % 2) for i in range(200)]
    outside = [*events[:100], (100, 34, 0, 1), *events[100:]]
    (tmp_path / "a.bin").write_bytes(encode.bin5(outside))
    got = read_events(tmp_path / "a.bin", sensor=(34, 34))
    assert got.data.tolist() == events
    told = "1 of 201 events lie outside the sensor of 34x34 and are left out"
    assert got.notes[-1] == told
    message = error(tmp_path / "a.bin", sensor=(30, 34))
    assert "events lie outside the sensor of 30x34. Give the sensor that it was" in message
    with pytest.raises(UserError, match="outside the sensor of 30x34"):
        read_spans(tmp_path / "a.bin", [(0, 5)], sensor=(30, 34))


def test_a_wrong_name(tmp_path: Path, encode: Any) -> None:
    message = error(tmp_path / "a.bin", encode.aedat3(EVENTS))
    assert "a.bin: is AEDAT 3.1 by its content, which is named .aedat" in message
    assert "Known formats are .aedat or .dat: AEDAT 2.0; .aedat: AEDAT 3.1; " in message
    assert "is numpy archive" in error(tmp_path / "a.npy", encode.npz(EVENTS))
    assert "is AEDAT 2.0 by its content" in error(tmp_path / "a.aedat4", encode.aedat2(EVENTS))
    assert "is not named like a recording" in error(tmp_path / "a.txt", encode.bin5(EVENTS))
    assert "is AEDAT 4 by its content" in error(tmp_path / "a", encode.aedat4(EVENTS))
    message = error(tmp_path / "a.dat", encode.bin5(EVENTS))
    assert "is not AEDAT 2.0 or ATIS and Prophesee .dat, as its name says" in message
    assert "is not AEDAT 2.0 or" in error(tmp_path / "a.aedat", b"#!AER-DAT1.0\r\n" + bytes(60))


def test_a_bin_file_may_begin_with_any_address(tmp_path: Path, encode: Any) -> None:
    for first in (b"% ", b"PK", b"#!"):
        content = encode.bin5([(5, first[0], first[1], 1)])
        (tmp_path / "a.bin").write_bytes(content)
        assert read_events(tmp_path / "a.bin").data.tolist() == [(5, first[0], first[1], 1)]


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "a.bin: cannot be read: No such file" in error(tmp_path / "a.bin")
    (tmp_path / "b.bin").mkdir()
    assert "b.bin: is a folder, and no bag of ROS 2" in error(tmp_path / "b.bin")
    os.mkfifo(tmp_path / "c.bin")
    assert "c.bin: is not a file" in error(tmp_path / "c.bin")
    (tmp_path / "d.bin").write_bytes(b"12345")
    assert "sensor: the sensor's width must be" in error(tmp_path / "d.bin", sensor=(0, 5))


def test_dat_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    assert "must be of version 0, 1 or 2 (got 3)" in error(
        path, b"% Version 3\n\x0c\x08" + bytes(8)
    )
    assert "must hold CD events" in error(path, b"% Version 2\n\x0e\x08" + bytes(8))
    assert "(got 'type 12, 16 bytes')" in error(path, b"% Version 2\n\x0c\x10" + bytes(16))
    assert "ends in its header" in error(path, b"% Version 2\n\x0c")
    huge = b"% Width 70000\n% Height 70000\n\x0c\x08" + bytes(8)
    assert "the sensor's width must be a whole number" in error(path, huge)


def large(name: str, count: int, head: bytes) -> bytes:
    """Events at (5, 6), all ON, one a microsecond; every thousandth comes 3 us late."""
    t = np.arange(count)
    t[::1000] -= 3
    t = np.maximum(t, 0)
    if name == "bin5":
        raw = np.empty((count, 5), np.uint8)
        raw[:, 0], raw[:, 1], raw[:, 2] = 5, 6, 128 | (t >> 16 & 127)
        raw[:, 3], raw[:, 4] = t >> 8 & 255, t & 255
        return raw.tobytes()
    word = {"dat": 5 | 6 << 14 | 1 << 28, "aedat2": 122 << 1 | 121 << 8, "aedat3": 5 << 17 | 27}
    order = ">u4" if name == "aedat2" else "<u4"
    pairs = np.empty((count, 2), order)
    address, time = (1, 0) if name == "dat" else (0, 1)
    pairs[:, address], pairs[:, time] = word[name], t
    if name != "aedat3":
        return head + pairs.tobytes()
    packet = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 1000, 1000, 1000)
    parts = (packet + pairs[at : at + 1000].tobytes() for at in range(0, count, 1000))
    return head + b"".join(parts)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells no peak of memory")
@pytest.mark.parametrize("name", ["bin5", "dat", "aedat2", "aedat3"])
def test_memory_is_under_three_times_the_file(tmp_path: Path, encode: Any, name: str) -> None:
    """50 MB, in a process of its own that says by how much reading raised its peak."""
    suffix, encoder = encode.formats[name]
    path, small = tmp_path / f"a{suffix}", tmp_path / f"small{suffix}"
    count = 10_000_000 if name == "bin5" else 6_250_000
    head = encode.aedat3_head() if name == "aedat3" else encoder([])
    path.write_bytes(large(name, count, head))
    small.write_bytes(large(name, 1000, head))
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from spiketicket.events import read_events\n"
        "def peak():\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
        "read_events(sys.argv[1], sensor=(128, 128))\n"
        "before = peak()\n"
        "events = read_events(sys.argv[2], sensor=(128, 128))\n"
        "first = events.data[0].tolist(), events.data[-1].tolist()\n"
        "print(peak() - before, len(events), len(events.notes), first)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(small), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, told = done.stdout.split(" ", 1)
    assert told == f"{count} 2 ((0, 5, 6, 1), ({count - 1}, 5, 6, 1))\n"
    assert int(peak) * 1024 < 3 * path.stat().st_size


def test_a_file_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(2 << 30)
    program = (
        "import resource, sys\n"
        "from spiketicket.events import read_events\n"
        "from spiketicket.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "try:\n"
        "    read_events(sys.argv[1])\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.bin")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert "a.bin: does not fit into memory. Read parts of it with" in done.stdout
