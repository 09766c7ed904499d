"""Times of another unit, clocks that are reset, columns that are exchanged, polarities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.events import TimeUnit, read_events, read_spans, read_stretches
from spiketicket.events.order import resets

US = np.arange(0, 300_000, 300, dtype=np.int64) + 90
"""300 ms, 1,000 events."""


def write(path: Path, t: Any, p: Any = None, *, layout: str = "npz") -> Path:
    """A recording of 34x34 pixels; ``layout`` is npz, fields or rows (x, y, polarity, time)."""
    count = len(t)
    x, y = np.arange(count) % 34, np.arange(count) // 34 % 34
    p = np.arange(count) % 2 if p is None else np.asarray(p)
    if layout == "npz":
        np.savez(path.with_suffix(".npz"), t=t, x=x, y=y, p=p)
        return path.with_suffix(".npz")
    if layout == "fields":
        array = np.empty(count, [("t", t.dtype), ("x", "u2"), ("y", "u2"), ("p", "i1")])
        array["t"], array["x"], array["y"], array["p"] = t, x, y, p
    else:
        array = np.stack([x, y, p, t], axis=1)
    np.save(path.with_suffix(".npy"), array)
    return path.with_suffix(".npy")


def error(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_events(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["npz", "fields", "rows"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_exact_when_it_is_named(
    tmp_path: Path, layout: str, unit: TimeUnit
) -> None:
    times = {"s": US / 1e6, "ms": US / 1e3, "us": US, "ns": US * 1000}[unit]
    path = write(tmp_path / "a", times, layout=layout)
    got = read_events(path, time_unit=unit)
    assert (got.t == US).all()
    assert f"times are read in {unit}, as asked for" in got.notes
    assert not any("rounded" in note for note in got.notes)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize(("unit", "factor"), [("s", 1e-6), ("ms", 1e-3)])
def test_times_that_were_made_by_a_product_are_whole(
    tmp_path: Path, kind: str, unit: TimeUnit, factor: float
) -> None:
    if (unit, kind) == ("s", "f4"):
        pytest.skip("too short for seconds")
    got = read_events(
        write(tmp_path / "a", US.astype(kind) * np.dtype(kind).type(factor)), time_unit=unit
    )
    assert (got.t == US).all()
    assert not any("rounded" in note for note in got.notes)


def test_rows_of_milliseconds_that_were_made_by_a_product_are_taken(tmp_path: Path) -> None:
    assert (read_events(write(tmp_path / "a", US * 1e-3, layout="rows")).t == US).all()


@pytest.mark.parametrize("layout", ["npz", "fields"])
def test_seconds_are_not_rounded_to_microsecond_0(tmp_path: Path, layout: str) -> None:
    said = error(write(tmp_path / "a", US / 1e6, layout=layout))
    assert "t: must give whole microseconds" in said
    assert "look like seconds" in said
    assert 'data.time_unit = "s"' in said
    said = error(write(tmp_path / "a", US // 1_000_000, layout=layout))
    assert "all 1000 events have one time" in said
    assert "data.time_unit" in said


def test_rows_are_milliseconds_unless_another_unit_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", US / 1e3, layout="rows")
    assert (read_events(path).t == US).all()
    said = error(write(tmp_path / "a", US / 1e6, layout="rows"))
    assert "must give whole microseconds, taken in ms" in said


def test_nanoseconds_since_1970_name_the_unit(tmp_path: Path) -> None:
    epoch = 1_600_000_000 * 10**9
    path = write(tmp_path / "a", epoch + US * 1000)
    assert "285 years" in error(path)
    assert '"ns"' in error(path)
    assert (read_events(path, time_unit="ns").t == epoch // 1000 + US).all()
    path = write(tmp_path / "a", (epoch + US * 1000).astype(np.float64))
    assert np.ptp(read_events(path, time_unit="ns").t) == np.ptp(US)


def test_fractions_are_rounded_and_told_only_when_the_unit_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", US + 0.25)
    got = read_events(path, time_unit="us")
    assert (got.t == US).all()
    assert "1000 times are rounded to whole microseconds" in got.notes
    got = read_events(write(tmp_path / "a", US * 1000 + 500), time_unit="ns")
    assert (got.t == US + 1).all()
    assert "1000 times are rounded to whole microseconds" in got.notes


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ((US / 5).round().astype(np.float16), None),
        ((US + 2**25).astype(np.float32), None),
        ((US / 1e6 + 100).astype(np.float32), "s"),
        ((US * 1000 + 10**15).astype(np.float32), "ns"),
    ],
)
def test_floats_that_cannot_hold_the_times(
    tmp_path: Path, times: Any, unit: TimeUnit | None
) -> None:
    said = error(write(tmp_path / "a", times), time_unit=unit)
    assert "which cannot hold times of this size exactly" in said
    assert "int64 or float64" in said


def test_floats_that_can_hold_the_times(tmp_path: Path) -> None:
    path = write(tmp_path / "a", (US / 1e6).astype(np.float32))
    assert (read_events(path, time_unit="s").t == US).all()
    assert (read_events(write(tmp_path / "a", US.astype(np.float32))).t == US).all()
    small = np.arange(1000, dtype=np.float16)
    assert read_events(write(tmp_path / "a", small)).duration_us == 999


@pytest.mark.parametrize("kind", ["<u8", ">i8", ">f8", "<f8", "longdouble", "i4", "u2"])
def test_times_of_any_type_of_number(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", (US // 100).astype(kind))
    assert (read_events(path).t == US // 100).all()
    assert (read_events(path, time_unit="ms").t == US // 100 * 1000).all()
    if kind in ("<f8", ">f8", "longdouble"):
        path = write(tmp_path / "a", (US / 1e6).astype(kind))
        assert (read_events(path, time_unit="s").t == US).all()


@pytest.mark.parametrize("value", [65504.0, np.inf, -np.inf, np.nan])
def test_the_ends_of_float16_are_an_error_without_a_warning(tmp_path: Path, value: float) -> None:
    said = error(write(tmp_path / "a", np.array([1, value], np.float16)))
    assert "a.npz: t: " in said


def test_polarities_of_three_values_are_refused_wherever_they_are(tmp_path: Path) -> None:
    many = np.arange(100_000)
    for p in ([-1, 0, 1], [-1, 0]):
        said = error(write(tmp_path / "a", np.arange(len(p)), p))
        assert "-1 and 0 in one file" in said
    for low in (-1, 0):
        assert read_events(write(tmp_path / "a", US, np.where(US % 200 > 100, 1, low))).p.any()
    p = np.where(many == 99_999, 0, np.where(many % 2, 1, -1))
    assert "-1 and 0 in one file" in error(write(tmp_path / "a", many, p))


@pytest.mark.parametrize(("value", "sign"), [(1, "ON"), (0, "OFF"), (-1, "OFF")])
def test_one_polarity_is_told(tmp_path: Path, value: int, sign: str) -> None:
    got = read_events(write(tmp_path / "a", US, np.full(len(US), value)), sensor=(34, 34))
    assert got.notes == (f"all 1000 events are {sign}",)


def test_a_clock_that_is_reset_overlays_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a", np.concatenate([US, US[:500] - 90]))
    said = error(path)
    assert "its clock is reset once, first from 299790 to 0 us at event 1000" in said
    assert "`split_at_reset`" in said
    assert "data.split_at_reset" in said
    one, two = read_stretches(path)
    assert (one.t == US).all()
    assert (two.t == US[:500] - 90).all()
    with pytest.raises(UserError, match="its clock is reset once"):
        read_spans(path, [(0, 100)])


def test_resets_of_several_kinds() -> None:
    three = np.concatenate([US, US, US])
    assert resets(three) == [1000, 2000]
    # A few late events, however far behind, are no new scene, and neither is jitter.
    late = US.copy()
    late[[300, 500, 700]] = 0
    assert resets(late) == []
    jitter = np.random.default_rng(1).integers(-20_000, 20_000, len(US))
    assert resets(US + jitter) == []
    assert resets(np.array([7])) == []


def test_a_few_events_before_the_reset_are_left_out_when_split(tmp_path: Path) -> None:
    path = write(tmp_path / "a", np.concatenate([10**9 + US[:5], US]))
    assert "its clock is reset once" in error(path)
    (only,) = read_stretches(path)
    assert (only.t == US).all()
    assert any(note.startswith("5 events between resets") for note in only.notes)
    # They are in no span but those that ask for their times.
    assert len(read_spans(path, [(0, 300_000)])[0]) == 1000


def test_time_and_address_exchanged_is_no_recording(tmp_path: Path) -> None:
    t = np.random.default_rng(0).integers(0, 34, 9659)
    said = error(write(tmp_path / "a", t))
    assert "is not in order of time: " in said
    assert "of 9659 events come late" in said
    assert "time and address exchanged" in said
    with pytest.raises(UserError, match="not in order of time"):
        read_stretches(write(tmp_path / "a", t))


def test_every_second_event_a_little_late_is_sorted(tmp_path: Path) -> None:
    t = US.copy()
    t[::2] += 500
    got = read_events(write(tmp_path / "a", t))
    assert (np.diff(got.t) >= 0).all()
    assert any("came late, by up to 200 us" in note for note in got.notes)
