"""``spiketicket view``: a recording as numbers, as a picture, and as one that moves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from spiketicket.cli.declare import Argument, Option
from spiketicket.cli.options import (
    JsonOption,
    MaxMemoryOption,
    RoiOption,
    ScaleOption,
    TopicOption,
)
from spiketicket.errors import UserError, argument
from spiketicket.machine.output import has_styles, note, say, say_json, shown, width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiketicket.events import Events, TimeUnit
    from spiketicket.events.fit import Fit
    from spiketicket.events.statistics import Statistics

_MOST_FRAMES: Final = 1000
_FRAMES: Final = 100
"""Of an animation that is too short or too long to watch at its real speed."""
_WATCHED: Final = (40, 400)


class Unit(StrEnum):
    """Of times in files."""

    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A recording that is read as often as it is needed."""

    path: Path
    sensor: tuple[int, int] | None
    unit: TimeUnit | None
    topic: str | None
    fit: Fit | None

    def chunks(self, notes: list[str]) -> tuple[tuple[int, int], Iterator[Events]]:
        """Width and height of the fitted events, and these."""
        from spiketicket.events import iter_chunks

        read = iter_chunks(self.path, sensor=self.sensor, time_unit=self.unit, topic=self.topic)
        fit = self.fit

        def fitted() -> Iterator[Events]:
            for events in read:
                yield fit(events) if fit else events
            notes.extend(read.notes)

        return fit.size(read.sensor) if fit else read.sensor, fitted()


def view(
    recording: Annotated[
        Path, Argument(metavar="RECORDING", help="A file, or the folder of a ROS 2 bag.")
    ],
    *,
    out: Annotated[
        Path | None,
        Option(
            "--out", "-o", help="Write a picture (.png, .svg), or one that moves (.gif, .apng)."
        ),
    ] = None,
    fps: Annotated[int, Option("--fps", min=1, help="Frames a second, at most 50.")] = 25,
    speed: Annotated[
        float | None,
        Option("--speed", help="Of what moves, 1 is real. Default: 1 where that can be watched."),
    ] = None,
    roi: RoiOption = None,
    scale: ScaleOption = None,
    topic: TopicOption = None,
    sensor: Annotated[
        str | None,
        Option("--sensor", help="WIDTHxHEIGHT of the camera, for files that do not tell it."),
    ] = None,
    time_unit: Annotated[
        Unit | None, Option("--time-unit", help="Unit of times in .npz and .npy files.")
    ] = None,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show a recording: its numbers and, in a terminal, its picture; or write a picture of it.

    Of recordings that are long it holds a part at a time.
    """
    from spiketicket.events.fit import parse_fit

    _check(out, speed, fps)
    size = parse_fit(None, sensor)
    source = _Source(
        path=recording,
        sensor=size.scale if size else None,
        unit=time_unit.value if time_unit else None,
        topic=topic,
        fit=parse_fit(roi, scale),
    )
    numbers, notes = _numbers(source)
    if out is not None:
        _write(source, numbers, out, fps, speed)
    for remark in notes:
        note(remark)
    if as_json:
        say_json({"recording": str(recording), **numbers.facts(), "notes": notes})
        return
    _print(numbers, shown(recording.name), picture=out is None)
    if out is not None:
        say(str(out))


def _check(out: Path | None, speed: float | None, fps: int) -> None:
    from spiketicket.report.figures.moving import MOVING, STILL

    suffix = out.suffix.lower() if out else ""
    known = (*STILL, ".svg", *MOVING)
    if out and suffix not in known:
        what = f"must end in {', '.join(known[:-1])} or {known[-1]}"
        raise UserError(what, where=argument("out"), value=str(out))
    if fps > 50:
        raise UserError("must be at most 50", where=argument("fps"), value=fps)
    if speed is not None and suffix not in MOVING:
        remedy = "Give a name that ends in .gif with --out"
        raise UserError("is of what moves", where=argument("speed"), value=speed, remedy=remedy)
    if speed is not None and not 0 < speed < math.inf:
        raise UserError("must be above 0", where=argument("speed"), value=speed)


def _numbers(source: _Source) -> tuple[Statistics, list[str]]:
    from spiketicket.events.statistics import Statistics

    notes: list[str] = []
    size, chunks = source.chunks(notes)
    numbers = Statistics(sensor=size)
    for events in chunks:
        numbers.add(events)
    if not numbers.events:
        raise UserError("no event lies in it", where=argument("roi"))
    return numbers, notes


def _write(source: _Source, numbers: Statistics, out: Path, fps: int, speed: float | None) -> None:
    from spiketicket.machine.bounded import need_memory
    from spiketicket.report.figures.moving import STILL, reduced_size, write_moving, write_still
    from spiketicket.report.figures.recording import full_count, write_picture

    if out.suffix.lower() == ".svg":
        from spiketicket.data.view import titled
        from spiketicket.events import read_events
        from spiketicket.events.frames import PlainFraming

        events = read_events(
            source.path, sensor=source.sensor, time_unit=source.unit, topic=source.topic
        )
        events = source.fit(events) if source.fit else events
        write_picture(out, *titled(source.path.name, events, PlainFraming()))
    elif out.suffix.lower() in STILL:
        write_still(out, numbers.counts, full_count(numbers.counts))
    else:
        step_us, count = _steps(numbers, fps, speed)
        size = reduced_size(numbers.sensor)
        # What Pillow holds of each: the picture, and what differs from the one ahead.
        need_memory(2 * count * max(size[0] * size[1], 1 << 16), "its frames", str(out))
        most = max(full_count(numbers.counts) * 3 / count, 2.0)
        frames = _frames(source, numbers, step_us, count)
        write_moving(out, frames, most, 1000 // fps)


def _steps(numbers: Statistics, fps: int, speed: float | None) -> tuple[float, int]:
    """Microseconds of a frame, and how many frames there are."""
    duration = max(numbers.duration_us, 1)
    if speed is None:
        real = duration * fps / 1e6
        speed = 1.0 if _WATCHED[0] <= real <= _WATCHED[1] else real / _FRAMES
        note(f"it moves at {speed:.3g} times its real speed")
    step = 1e6 * speed / fps
    count = math.floor(duration / step) + 1
    if count > _MOST_FRAMES:
        what = f"gives {count} frames, and at most {_MOST_FRAMES} are written"
        remedy = "Raise --speed, or lower --fps"
        raise UserError(what, where=argument("speed"), value=speed, remedy=remedy)
    return step, count


def _frames(
    source: _Source, numbers: Statistics, step_us: float, count: int
) -> Iterator[NDArray[Any]]:
    """Counts [2, H, W] of each frame, made smaller for large sensors."""
    import numpy as np

    from spiketicket.events.fit import Fit
    from spiketicket.report.figures.moving import reduced_size

    size, chunks = source.chunks([])
    wide, high = reduced_size(size)
    smaller = Fit(scale=(wide, high))
    frame, now = np.zeros((2, high, wide), np.int64), 0
    start = last = passed = 0
    for index, events in enumerate(chunk for chunk in chunks if len(chunk)):
        small = smaller(events)
        first = int(events.t[0])
        if not index:
            start = last = first
        if first < last:  # the clock was reset: what follows comes behind
            passed += last - start
            start = first
        last = int(events.t[-1])
        at = np.minimum(((events.t - start + passed) / step_us).astype(np.int64), count - 1)
        for number in np.unique(at):
            while now < number:
                yield frame
                frame, now = np.zeros_like(frame), now + 1
            part = small.data[at == number]
            np.add.at(frame, (part["p"], part["y"], part["x"]), 1)
    while now < count:
        yield frame
        frame, now = np.zeros_like(frame), now + 1


def _print(numbers: Statistics, title: str, *, picture: bool) -> None:
    from spiketicket.cli.console import print_facts
    from spiketicket.cli.print_blocks import block_lines
    from spiketicket.machine.output import write

    facts = numbers.facts()
    lines = [
        ("sensor", f"{facts['width']}x{facts['height']}"),
        ("events", f"{facts['events']:,}"),
        ("duration", f"{1000 * facts['duration_s']:,.3f} ms"),
    ]
    if facts["rate_per_s"] is not None:
        peak = f"at most {facts['peak_rate_per_s']:,} over 10 ms"
        lines.append(("rate", f"{facts['rate_per_s']:,.0f} events/s, {peak}"))
    lines += [
        ("polarities", f"{facts['on_percent']:.1f} % ON, {facts['off_percent']:.1f} % OFF"),
        ("pixels with events", f"{facts['active_pixels_percent']:.1f} %"),
        ("hot pixels", _hot(facts)),
        (
            "longest gap",
            f"{facts['longest_gap_ms']:,.3f} ms at {facts['longest_gap_at_ms']:,.3f} ms",
        ),
        ("gaps over 100 ms", str(facts["gaps"])),
    ]
    if facts["resets"]:
        lines.append(("resets of the clock", str(facts["resets"])))
    print_facts(lines, title=title)
    if picture:
        write(block_lines(numbers.counts, min(width(), 128), colour=has_styles()))


def _hot(facts: dict[str, Any]) -> str:
    from spiketicket.events.statistics import HOT

    if not facts["hot_pixels"]:
        return f"none with over {HOT:.0f} times the mean"
    places = "; ".join(f"{p['x']},{p['y']}: {p['events']:,}" for p in facts["hottest"][:3])
    return f"{facts['hot_pixels']:,} with over {HOT:.0f} times the mean ({places})"
