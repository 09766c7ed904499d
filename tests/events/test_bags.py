"""Bags of ROS 2: SQLite and MCAP, packets of each encoding, and what can be wrong with them."""

from __future__ import annotations

import array
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bag_files as bags
import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.events import Events, is_bag, iter_chunks, read_events
from spiketicket.events.formats._ros import event_packet
from spiketicket.events.packets import PacketDecoder

HERE = Path(__file__).parent / "recordings"
LIVE = Path(os.environ.get("SPIKETICKET_LIVE_DATA") or "no data")
KINDS = dict.fromkeys(["evt3", "mono", "libcaer", "libcaer_cmp"], bags.PACKET)
KINDS["dvs"] = bags.ARRAY
EVENTS = [(5_000_000 + 70 * i, i % 128, 5 * i % 128, i % 2) for i in range(60)]


def rows(events: Events) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in events.data]


def error(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_events(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("encoding", sorted(KINDS))
def test_round_trip_of_sqlite(tmp_path: Path, encoding: str) -> None:
    path = bags.db3(tmp_path / "a.db3", bags.messages(EVENTS, encoding), KINDS[encoding])
    got = read_events(path)
    assert (rows(got), got.sensor, got.notes) == (EVENTS, (128, 128), ())
    assert [row for part in iter_chunks(path) for row in rows(part)] == EVENTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "compression"), [("evt3", "ZSTD"), ("dvs", "LZ4"), ("mono", "NONE")]
)
def test_round_trip_of_mcap(tmp_path: Path, encoding: str, compression: str) -> None:
    told = bags.messages(EVENTS, encoding)
    content = bags.mcap(
        told, KINDS[encoding], others=[("/tf", "tf2_msgs/msg/TFMessage")], compression=compression
    )
    (tmp_path / "a.mcap").write_bytes(content)
    got = read_events(tmp_path / "a.mcap")
    assert (rows(got), got.sensor, got.notes) == (EVENTS, (128, 128), ())


def checksums(events: Events) -> list[int]:
    return [
        int(column.astype(np.int64).sum()) for column in (events.t, events.x, events.y, events.p)
    ]


def test_a_real_bag_of_mono_packets() -> None:
    """The sums are those of the decoder's own test, in event_camera_codecs."""
    got = read_events(HERE / "mono.db3")
    assert (len(got), got.sensor) == (100, (640, 480))
    assert checksums(got) == [4950, 34450, 26450, 50]


def test_a_real_bag_of_evt3_packets() -> None:
    got = read_events(HERE / "evt3.db3")
    assert (got.sensor, got.notes) == ((1280, 720), ())
    assert got.data[0].tolist() == (14_224_870, 354, 604, 1)
    whole = LIVE / "test_data_evt3_trigger"
    if whole.exists():
        events = read_events(whole)
        assert checksums(events) == [1_222_326_831_810, 42_078_718, 31_656_267, 41_439]
        assert np.array_equal(got.data, events.data[: len(got)])


def test_a_real_bag_of_libcaer_packets_over_the_wrap_of_its_clock() -> None:
    got = read_events(HERE / "libcaer.db3")
    assert (got.sensor, got.notes) == ((640, 480), ())
    assert 30_000 < got.duration_us < 60_000
    assert int(np.diff(got.t).max()) < 5000


def test_the_clock_of_libcaer_wraps_within_a_packet(tmp_path: Path) -> None:
    events = [(2**31 - 2 + i, i, i, i % 2) for i in range(5)]
    told = [bags.packet(bags.libcaer(events, 0), "libcaer")]
    assert rows(read_events(bags.db3(tmp_path / "a.db3", told))) == events


def test_vectors_of_libcaer_cmp(tmp_path: Path) -> None:
    events = [(90_000 * (i // 12), 5 + i // 12, 3 * (i % 12), i // 12 % 2) for i in range(120)]
    got = read_events(bags.db3(tmp_path / "a.db3", bags.messages(events, "libcaer_cmp", 40)))
    assert (rows(got), got.notes) == (events, ())


def test_big_endian_messages(tmp_path: Path) -> None:
    base = 4_999_999_999
    told = [bags.packet(bags.mono(EVENTS, base, ">"), "mono", time_base=base, order=">")]
    assert rows(read_events(bags.db3(tmp_path / "a.db3", told))) == EVENTS
    told = [bags.array(EVENTS, ">")]
    assert rows(read_events(bags.db3(tmp_path / "a.db3", told, bags.ARRAY))) == EVENTS


def test_packets_out_of_order_and_missing(tmp_path: Path) -> None:
    told = bags.messages(EVENTS, "evt3")
    told[2], told[4] = told[4], told[2]
    got = read_events(bags.db3(tmp_path / "a.db3", told))
    assert rows(got) == EVENTS
    assert got.notes == ("2 packets lie out of order in the bag: they are put in order",)
    del told[5]
    got = read_events(bags.db3(tmp_path / "a.db3", told))
    assert rows(got) == EVENTS[:35] + EVENTS[42:]
    assert got.notes[1] == "1 packets are missing, by their numbers"


def test_a_driver_that_was_started_anew_counts_from_0_again(tmp_path: Path) -> None:
    events = [(1000 * i, i % 128, 1, i % 2) for i in range(400)]
    first, second = bags.messages(events[:200], "mono"), bags.messages(events[200:], "mono")
    got = read_events(bags.db3(tmp_path / "a.db3", first + second))
    assert (rows(got), got.notes) == (events, ())


def test_a_bag_of_several_files_is_one_recording(tmp_path: Path) -> None:
    told = bags.messages(EVENTS, "evt3", 5)
    folder = tmp_path / "walk"
    folder.mkdir()
    assert not is_bag(folder)
    (folder / "metadata.yaml").write_text("rosbag2_bagfile_information: {}\n")
    for number in range(12):
        bags.db3(folder / f"walk_{number}.db3", told[number : number + 1])
    assert is_bag(folder)
    got = read_events(folder)
    assert (rows(got), got.notes) == (EVENTS, ())
    (tmp_path / "empty").mkdir()
    assert "is a folder, and no bag of ROS 2" in error(tmp_path / "empty")


def test_topics(tmp_path: Path) -> None:
    told = bags.messages(EVENTS, "evt3")
    others = [("/imu", "sensor_msgs/msg/Imu"), ("/left", bags.PACKET)]
    path = bags.db3(tmp_path / "a.db3", told, topic="/right", others=others)
    assert rows(read_events(path, topic="/right")) == EVENTS
    assert "has several topics of events: /left (" in error(path)
    message = error(path, topic="/events")
    assert "no such topic; it has /imu (sensor_msgs/msg/Imu), /left (" in message
    message = error(path, topic="/imu")
    assert "has no topic of events; it has /imu (sensor_msgs/msg/Imu)" in message
    assert "Types that are read: dvs_msgs/EventArray, " in message
    assert "/left has no message" in error(path, topic="/left")


def test_messages_with_faults(tmp_path: Path) -> None:
    told = bags.messages(EVENTS, "mono")
    path = tmp_path / "a.db3"
    assert "ends after 30 bytes" in error(bags.db3(path, [told[0][:30]]))
    assert "does not begin as CDR does" in error(bags.db3(path, [b"\1\1\1\1", *told]))
    got = read_events(bags.db3(path, [told[0], told[1][:-9], *told[2:]]))
    assert rows(got) == EVENTS[:7] + EVENTS[14:]
    assert got.notes[0].startswith("1 of 9 messages are malformed and left out (one ends after")
    message = error(bags.db3(path, [bags.packet(b"", "evt4")]))
    assert (
        "encoding that is not read; known are evt3, evt2, mono, libcaer, libcaer_cmp (got 'evt4'"
        in message
    )
    assert "encoding that is not read" in error(bags.db3(path, [bags.packet(b"", "dvs")]))
    other = bags.packet(b"", "mono", seq=9, size=(64, 64))
    assert "change from one sensor" in error(bags.db3(path, [*told, other]))
    assert "is of a sensor of 128x128" in error(bags.db3(path, told), sensor=(64, 64))
    assert "not in CDR (got 'ros1')" in error(bags.db3(path, told, encoding="ros1"))
    lost = bags.packet(bags.mono(EVENTS, 0) + b"abc", "mono")
    got = read_events(bags.db3(path, [lost]))
    assert got.notes == ("3 bytes that make no whole event are left out",)


def test_a_size_that_no_message_has(tmp_path: Path) -> None:
    """The length of the events is at the end of the head, here of 4 GB."""
    told = bags.packet(b"", "mono")
    path = bags.db3(tmp_path / "a.db3", [told[:-4] + b"\xff\xff\xff\xff"])
    assert "ends after" in error(path)


def test_a_database_that_is_no_bag(tmp_path: Path) -> None:
    path = tmp_path / "a.db3"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE a(b)")
    assert "no plain table topics" in error(path)
    path.write_bytes(b"SQLite format 3\0" + bytes(200))
    assert "cannot be read as ROS 2 bag (SQLite)" in error(path)


@pytest.mark.parametrize("name", ["topics", "messages"])
def test_a_view_in_the_place_of_a_table_is_not_run(tmp_path: Path, name: str) -> None:
    path = bags.db3(tmp_path / "a.db3", bags.messages(EVENTS, "mono"))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
    bag = sqlite3.connect(path)
    bag.execute(f"ALTER TABLE {name} RENAME TO real")
    bag.execute(f"CREATE VIEW {name} AS {endless} SELECT real.* FROM real, n")
    bag.commit()
    bag.close()
    assert f"no plain table {name}" in error(path)


def test_a_bag_that_is_cut_off(tmp_path: Path) -> None:
    told = bags.messages([(1000 + i, i % 128, 1, i % 2) for i in range(9000)], "mono", 100)
    path = bags.db3(tmp_path / "a.db3", told)
    path.write_bytes(path.read_bytes()[:-12_288])
    try:
        got = read_events(path)
    except UserError as caught:
        assert str(path) in str(caught)
    else:
        assert 0 < len(got) < 9000
        assert "cut off or damaged" in got.notes[0]


@pytest.mark.slow
def test_an_mcap_that_is_cut_off_or_none(tmp_path: Path) -> None:
    content = bags.mcap(
        bags.messages([(70 * i, i % 128, 1, i % 2) for i in range(1200)], "dvs", 50),
        bags.ARRAY,
        compression="NONE",
    )
    path = tmp_path / "a.mcap"
    path.write_bytes(content[: len(content) // 2])
    got = read_events(path)
    assert 0 < len(got) < 1200
    assert "cut off or damaged, what follows is left out" in got.notes[0]
    path.write_bytes(content[:20])
    assert "cannot be read as ROS 2 bag (MCAP)" in error(path)


@pytest.mark.slow
def test_an_mcap_without_the_topic(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(bags.mcap([], "sensor_msgs/msg/Imu", "/imu"))
    assert "has no topic of events; it has /imu (sensor_msgs/msg/Imu)" in error(tmp_path / "a.mcap")


@pytest.mark.parametrize("name", ["mono", "evt3", "libcaer"])
def test_messages_as_they_arrive(name: str) -> None:
    """As ROS gives them, with an array of bytes, and as bytes in CDR."""
    path = HERE / f"{name}.db3"
    with sqlite3.connect(path) as bag:
        told = [data for (data,) in bag.execute("SELECT data FROM messages ORDER BY id")]
    bag.close()
    read, raw = PacketDecoder(), PacketDecoder()
    found = []
    for data in told:
        fields = event_packet(data)
        message = SimpleNamespace(
            width=fields.sensor[0],
            height=fields.sensor[1],
            encoding=fields.encoding,
            time_base=fields.time_base,
            is_bigendian=False,
            events=array.array("B", fields.events),
        )
        found.append(read(message).data)
        assert np.array_equal(found[-1], raw(data).data)
    assert np.array_equal(np.concatenate(found), read_events(path).data)


def test_messages_that_are_none() -> None:
    decode = PacketDecoder()
    with pytest.raises(UserError, match="encoding that is not read; known are evt3, evt2, mono"):
        decode(bags.packet(b"", "dvs"))
    with pytest.raises(UserError, match="is no message: it ends after"):
        decode(bags.packet(b"abc", "mono")[:-2])
    assert len(decode(bags.packet(b"", "mono"))) == 0
    with pytest.raises(UserError, match="changes from one sensor"):
        decode(bags.packet(b"", "evt3"))
    outside = bags.mono([(1, 5, 5, 1), (2, 200, 5, 1)], 0)
    assert rows(decode(bags.packet(outside, "mono"))) == [(1, 5, 5, 1)]
