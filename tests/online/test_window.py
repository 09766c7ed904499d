"""Windows of streams that behave, and of those that do not."""

import itertools
from collections.abc import Iterable

import numpy as np
from live_events import drawn

from spiketicket.events import EVENT, EventArray
from spiketicket.online import window as cutting
from spiketicket.online.packets import Packet
from spiketicket.online.window import Window, Windows


def _events(times: Iterable[int]) -> EventArray:
    t = np.fromiter(times, np.int64)
    data = np.zeros(len(t), EVENT)
    data["t"] = t
    return data


def _push(windows: Windows, data: EventArray, upto: int | None = None) -> list[Window]:
    return list(windows.push(Packet(data=data, at=0.0, upto=upto)))


def _by_time(length: int, hop: int, *, silence: bool = False) -> Windows:
    return Windows(length, hop, by_count=False, silence=silence)


def test_however_a_stream_is_cut_into_packets_its_windows_are_the_same() -> None:
    data = drawn(5000, 100_000, seed=5)
    rng = np.random.default_rng(1)
    for length, hop in ((10_000, 10_000), (10_000, 3000), (1000, 7000)):
        expected = [
            (start, data[(data["t"] >= start) & (data["t"] < start + length)])
            for start in range(1000, 101_000 - length + 1, hop)
        ]
        for _ in range(3):
            windows = _by_time(length, hop)
            cuts = [0, *np.sort(rng.integers(0, 5000, 60)).tolist(), 5000]
            found = [
                w
                for a, b in itertools.pairwise(cuts)
                for w in _push(windows, data[a:b], None if b < 5000 else 101_000)
            ]
            assert [w.span_us for w in found] == [(s, s + length) for s, _ in expected]
            assert all((w.data == d).all() for w, (_, d) in zip(found, expected, strict=True))
            assert windows.counts.late == windows.counts.resets == 0


def test_events_that_come_a_little_late_are_put_in_order() -> None:
    windows = _by_time(1000, 1000)
    assert not _push(windows, _events([0, 500, 300, 900]))
    (found,) = _push(windows, _events([700, 1001]))
    assert found.data["t"].tolist() == [0, 300, 500, 700, 900]
    _push(windows, _events([999, 1500]))
    assert windows.counts.late == 1  # its window was given


def test_single_events_with_a_wrong_time_disturb_nothing() -> None:
    times = [*range(50_000, 60_000, 100)]
    times[50:50] = [3]
    windows = _by_time(5000, 5000)
    found = _push(windows, _events(times), 60_000)
    assert [len(w.data) for w in found] == [50, 50]
    assert (windows.counts.late, windows.counts.resets) == (1, 0)


def test_a_clock_that_is_reset_begins_anew() -> None:
    for size in (1, 7, 1000):  # of packets
        windows = _by_time(1000, 1000)
        data = _events([*range(10**9, 10**9 + 5000, 10), *range(7, 5007, 10)])
        found = [w for i in range(0, 1000, size) for w in _push(windows, data[i : i + size])]
        found += _push(windows, data[:0], 5007)
        assert windows.counts.resets == 1
        assert [w.restart for w in found].count(True) == 2
        behind = [w for w in found if w.span_us is not None and w.span_us[0] < 10**8]
        assert len(behind) >= 4
        assert windows.counts.late < cutting.RESET


def test_a_time_far_ahead_costs_no_time_and_is_left_behind() -> None:
    windows = _by_time(1000, 10)
    data = _events([0, 10, 2**62, *range(20, 4000, 10)])
    found = _push(windows, data, 4000)
    assert windows.counts.resets == 1
    assert windows.counts.silent > 10**15
    assert found[-1].span_us is not None
    assert found[-1].span_us[1] <= 4000


def test_silence_is_skipped_from_rest_and_given_for_a_while_to_membranes() -> None:
    data = _events([0, 100, 10_000_500])
    quiet = _by_time(1000, 1000)
    found = _push(quiet, data, 10_002_000)
    assert [w.span_us[0] for w in found if w.span_us] == [0, 10_000_000]
    assert quiet.counts.silent == 10_000
    carried = _by_time(1000, 1000, silence=True)
    found = _push(carried, data, 10_001_000)
    assert len(found) == 2 + cutting.MOST_SILENT
    assert carried.counts.silent == 10_000 - 1 - cutting.MOST_SILENT


def test_without_events_time_alone_ends_a_window() -> None:
    windows = _by_time(1000, 1000)
    assert not _push(windows, _events([5]), 6)
    (found,) = _push(windows, _events([]), 1005)
    assert found.span_us == (5, 1005)


def test_a_flood_stays_in_bounded_memory() -> None:
    windows = _by_time(10**9, 10**9)
    data = _events(np.arange(1 << 16))
    before = cutting.MOST_EVENTS
    cutting.MOST_EVENTS = 1 << 16  # type: ignore[misc]  # as small as a test
    try:
        for number in range(4):
            data["t"] = np.arange(number << 16, (number + 1) << 16)
            _push(windows, data)
    finally:
        cutting.MOST_EVENTS = before  # type: ignore[misc]
    assert windows.counts.crowded == 3 << 16
    assert len(windows._kept) == 1 << 16
    assert len(windows._kept._room) <= 1 << 18


def test_by_number_with_a_hop_beyond_the_window() -> None:
    windows = Windows(3, 5, by_count=True, silence=False)
    found = [w for t in range(14) for w in _push(windows, _events([t]))]
    assert [w.data["t"].tolist() for w in found] == [[0, 1, 2], [5, 6, 7], [10, 11, 12]]
