"""Sources that are no recordings: words of AER, a port, standard input, cameras; and recording."""

import math
import os
import socket
import struct
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_events import SENSOR, drawn

import spiketicket
from spiketicket import Engine
from spiketicket.errors import UserError
from spiketicket.events import EVENT, EventArray, read_events
from spiketicket.online import cameras
from spiketicket.online.aer import decode, encode
from spiketicket.online.packets import Source
from spiketicket.online.record import Recorder
from spiketicket.online.standard_input import StandardInput
from spiketicket.online.udp import Udp
from spiketicket.online.window import Windows


def _gathered(source: Source, count: int) -> EventArray:
    found = [np.empty(0, EVENT)]
    for packet in source:
        found.append(packet.data)
        if sum(map(len, found)) >= count:
            break
    source.close()
    return np.concatenate(found)


def test_words_are_those_of_the_specification() -> None:
    # x = 5, y = 9, ON, at 1234 us; then x = 32767, y = 0, OFF
    payload = struct.pack("<IIII", 0x0005_8009, 1234, 0x7FFF_0000, 1235)
    data, timed, rest = decode(payload, 0)
    assert data.tolist() == [(1234, 5, 9, 1), (1235, 32767, 0, 0)]
    assert timed
    assert rest == 0
    data, timed, rest = decode(struct.pack("<I", 0x8005_8009) + b"ab", 77)
    assert data.tolist() == [(77, 5, 9, 1)]
    assert not timed
    assert rest == 2


def test_any_bytes_are_events_or_left_over() -> None:
    rng = np.random.default_rng(0)
    for size in range(64):
        payload = rng.bytes(size)
        data, timed, rest = decode(payload, 5)
        assert len(data) * (8 if timed else 4) + rest == size


def test_encode_is_the_inverse() -> None:
    data = drawn(300, 90_000)
    assert (decode(encode(data), 0)[0] == data).all()
    assert (decode(encode(data, timed=False), 8)[0][["x", "y", "p"]] == data[["x", "y", "p"]]).all()


def test_a_port_gives_what_was_sent_and_goes_on_in_silence() -> None:
    source = Udp("udp://:0", SENSOR)
    data = drawn(640, 50_000, start_us=2**32 - 20_000)  # its 32 bits wrap
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", source.port))
        for start in range(0, 640, 64):
            sender.send(encode(data[start : start + 64]))
        sender.send(struct.pack("<II", 0x4000_0000, 9))  # outside
        sender.send(b"abc")
        found = _gathered(source, 640)
    assert (np.diff(found["t"]) >= 0).all()
    assert ((found["t"] - data["t"]) % 2**32 == 0).all()
    assert (found[["x", "y", "p"]] == data[["x", "y", "p"]]).all()


def test_silence_on_a_port_ends_windows() -> None:
    source = Udp("udp://127.0.0.1:0", SENSOR)
    windows = Windows(10_000, 10_000, by_count=False, silence=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(encode(drawn(10, 100)), ("127.0.0.1", source.port))
        found = next(w for packet in source for w in windows.push(packet))
    source.close()
    assert found.span_us == (1000, 11_000)


def test_a_port_in_use_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match="in use"):
            Udp(f"udp://127.0.0.1:{other.getsockname()[1]}", SENSOR)


@pytest.mark.parametrize("url", ["udp://", "udp://h", "udp://h:99999", "udp://h:1/x", "udp://[x"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(UserError, match="udp://HOST:PORT"):
        Udp(url, SENSOR)


def _piped(content: bytes, sensor: tuple[int, int] = SENSOR) -> tuple[EventArray, StandardInput]:
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            for start in range(0, len(content), 997):
                file.write(content[start : start + 997])
                file.flush()

    sender = threading.Thread(target=write)
    sender.start()
    source = StandardInput(reader, sensor)
    found = np.concatenate([np.empty(0, EVENT), *(p.data for p in source)])
    sender.join()
    os.close(reader)
    return found, source


def test_lines_of_standard_input() -> None:
    data = drawn(500, 50_000)
    lines = "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in data.tolist())
    found, source = _piped(lines.encode())
    assert (found == data).all()
    assert not source.notes
    found, source = _piped(b"# t x y p\n5 1 2 -1\n\nx\n6 1 2 1\n7 99 0 1\n" + b"9" * 5000)
    assert found.tolist() == [(5, 1, 2, 0), (6, 1, 2, 1)]
    assert source.notes[0].startswith("3 lines")
    assert source.notes[1].startswith("1 events outside")
    with pytest.raises(UserError, match="no event comes"):
        _piped(b"")


def test_what_is_recorded_is_what_came_and_plays_to_the_same_answers(
    engine: Engine, tmp_path: Path
) -> None:
    data = drawn(3000, 100_000)
    path, again = tmp_path / "came.npy", tmp_path / "again.npy"
    np.save(tmp_path / "source.npy", data)
    asked = {"window_ms": 20, "speed": math.inf}
    first = list(spiketicket.live(engine, tmp_path / "source.npy", record=path, **asked))
    assert (np.load(path) == data).all()
    assert (read_events(path, sensor=SENSOR).data == data).all()
    second = list(spiketicket.live(engine, path, record=again, **asked))
    assert [d.logits for d in first] == [d.logits for d in second]
    assert path.read_bytes() == again.read_bytes()
    found, _ = _piped(path.read_bytes())
    assert (found == data).all()
    with pytest.raises(UserError, match="is there already"):
        spiketicket.live(engine, path, record=again, **asked)


def test_a_clock_that_was_reset_is_recorded_and_played_as_it_came(
    engine: Engine, tmp_path: Path
) -> None:
    data = np.concatenate((drawn(900, 30_000, start_us=10**9), drawn(900, 30_000)))
    recorder = Recorder(tmp_path / "came.npy")
    recorder.add(data[:1000])
    recorder.add(data[1000:])
    recorder.close()
    running = spiketicket.live(engine, tmp_path / "came.npy", window_ms=10)
    found = [d.start_us for d in running]
    assert running.summary()["clock_resets"] == 1
    assert found[0] == 10**9
    assert 10_000 < found[-1] <= 21_000  # it begins with the events that show the reset


class _FakeCamera:
    def __init__(self, batches: list[EventArray]) -> None:
        self._batches = batches

    def getEventResolution(self) -> tuple[int, int]:
        return 346, 260

    def isRunning(self) -> bool:
        return bool(self._batches)

    def getNextEventBatch(self) -> types.SimpleNamespace | None:
        if not self._batches:
            return None
        data = self._batches.pop(0)
        return types.SimpleNamespace(
            timestamps=lambda: data["t"],
            coordinates=lambda: np.stack((data["x"], data["y"]), 1).astype(np.int16),
            polarities=lambda: data["p"].astype(np.int8),
        )


def test_a_camera_of_inivation(monkeypatch: pytest.MonkeyPatch) -> None:
    data = drawn(500, 9000)
    opened: list[tuple[str, ...]] = []

    def open_it(*name: str) -> _FakeCamera:
        opened.append(name)
        return _FakeCamera([data[:200], data[200:]])

    camera = types.SimpleNamespace(open=open_it)
    library = types.SimpleNamespace(io=types.SimpleNamespace(camera=camera))
    monkeypatch.setitem(sys.modules, "dv_processing", library)
    source = cameras.open_camera("camera:dv:DAVIS_1")
    assert source.sensor == (346, 260)
    found = []
    with pytest.raises(UserError, match="the camera is gone"):
        found.extend(packet.data for packet in source)
    assert opened == [("DAVIS_1",)]


def test_a_camera_of_prophesee(monkeypatch: pytest.MonkeyPatch) -> None:
    data = drawn(500, 9000)

    class EventsIterator:
        def __init__(self, input_path: str, delta_t: int) -> None:
            self.asked = (input_path, delta_t)

        def get_size(self) -> tuple[int, int]:
            return 720, 1280  # height, width

        def __iter__(self) -> Iterator[EventArray]:
            yield data[:0]
            yield data

    library = types.SimpleNamespace(EventsIterator=EventsIterator)
    monkeypatch.setitem(sys.modules, "metavision_core", types.ModuleType("metavision_core"))
    monkeypatch.setitem(sys.modules, "metavision_core.event_io", library)
    source = cameras.open_camera("camera:prophesee")
    assert source.sensor == (1280, 720)
    assert (_gathered(source, 500) == data).all()


def test_without_its_library_a_camera_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("dv_processing", "metavision_core.event_io"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match="Install dv-processing"):
        cameras.open_camera("camera:dv")
    with pytest.raises(UserError, match=r"dv-processing.* or OpenEB"):
        cameras.open_camera("camera:")
    with pytest.raises(UserError, match="Makers are dv, prophesee"):
        cameras.open_camera("camera:canon")


def test_a_flood_is_taken_and_drops_windows(engine: Engine) -> None:
    """30 million events per second of the events' clock, as fast as they can be taken."""
    from spiketicket.online.decide import FromRest
    from spiketicket.online.packets import Packet
    from spiketicket.online.session import Cutting, Live
    from spiketicket.online.smooth import Smoothed

    part = drawn(30_000, 1000, start_us=0)

    class Flood:
        sensor, paced, notes = SENSOR, True, ()

        def close(self) -> None:
            """Nothing to let go of."""

        def __iter__(self) -> Iterator[Packet]:
            for number in range(60):
                data = part.copy()
                data["t"] += 1000 * number
                yield Packet(data=data, at=time.perf_counter())

    framing = spiketicket.online.decide.PlainFraming(steps=4, height=32, width=32)
    running = Live(
        engine,
        Flood(),
        Cutting(length=2000, hop=1000, by_count=False),
        decide=FromRest(engine, framing, SENSOR),
        smoothed=Smoothed(),
        queue=2,
        fit=None,
        recorder=None,
    )
    found = list(running)
    summary = running.summary()
    assert summary["events"] == 1_800_000
    assert len(found) + summary["dropped_windows"] == 58
    assert found[-1].number == 57
