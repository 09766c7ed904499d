"""Frames: how many events each pixel had in each step of time, [T, C, H, W].

Every event is counted in exactly one frame, by whole numbers: with n events from t0 to t1,

    equal time    frame of an event = (t - t0) * T // (t1 - t0 + 1)
    equal count   frame of event i  = i * T // n

and column x of a sensor ``old`` wide becomes column ``x * new // old`` of a frame ``new`` wide,
rows likewise.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.filters import filtered
from spiketicket.events.types import EventArray, Events
from spiketicket.machine.bounded import need_memory
from spiketicket.machine.typed import typed

if TYPE_CHECKING:
    from spiketicket.events.frame_config import FrameConfig

__all__ = ["FrameConfig", "Frames", "Framing", "PlainFraming", "narrow", "to_frames"]

Frames = NDArray[np.uint8] | NDArray[np.uint16]

_MOST = 65535


@runtime_checkable
class Framing(Protocol):
    """How a recording becomes frames: a :class:`FrameConfig`, or a :class:`PlainFraming`."""

    @property
    def steps(self) -> int:
        """Number of frames, T."""

    @property
    def by(self) -> Literal["time", "count"]:
        """Frames of equal duration, or frames of an equal number of events."""

    @property
    def values(self) -> Literal["sum", "binary"]:
        """Each pixel's number of events, or 1 where there was any."""

    @property
    def height(self) -> int | None:
        """Rows of a frame; None is the sensor's."""

    @property
    def width(self) -> int | None:
        """Columns of a frame; None is the sensor's."""

    @property
    def hot_pixel(self) -> float | None:
        """Remove pixels with more than this many times the median pixel's events."""

    @property
    def denoise_us(self) -> int | None:
        """Remove events that no event near them preceded by at most this long."""

    @property
    def merge_polarity(self) -> bool:
        """One channel for all events."""

    @property
    def channels(self) -> int:
        """C: 2, or 1 with merged polarities."""


@dataclass(frozen=True, kw_only=True)
class PlainFraming:
    """The fields of a :class:`FrameConfig` as they are, for who has checked them."""

    steps: int = 16
    by: Literal["time", "count"] = "time"
    values: Literal["sum", "binary"] = "sum"
    height: int | None = None
    width: int | None = None
    merge_polarity: bool = False
    hot_pixel: float | None = None
    denoise_us: int | None = None

    @property
    def channels(self) -> int:
        """C: 2, or 1 with merged polarities."""
        return 1 if self.merge_polarity else 2


def __getattr__(name: str) -> Any:
    """``FrameConfig``, which needs pydantic, when it is first used."""
    if name != "FrameConfig":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spiketicket.events.frame_config import FrameConfig

    return FrameConfig


@typed
def to_frames(events: Events, config: Framing, span_us: tuple[int, int] | None = None) -> Frames:
    """Count the events of a recording in frames, [T, C, H, W].

    C is 2 (0: OFF, 1: ON), or 1 with ``merge_polarity``. The type depends on the configuration
    alone: uint8 for binary values, uint16 for sums (:func:`narrow` makes uint8 of small ones).

    The filters of ``config`` come first, at the sensor's own resolution, and what they leave is
    framed as if it were the whole recording: its first and last event set the time steps.
    ``span_us`` sets them in place of the events: start (included) and stop (excluded) in
    microseconds. A step of time without events is a frame of zeros; with ``span_us`` a part of a
    recording may have no event at all.

    Raises:
        UserError: there is no event, or none is left by the filters, and no ``span_us``; an event
            outside ``span_us``; a frame larger than the sensor; a sum above 65535; frames that
            need more memory than may be used.
    """
    height = _side("height", config.height, events.height)
    width = _side("width", config.width, events.width)
    if span_us is not None:
        _check_span(events, span_us)
    size = config.channels * height * width
    kind = np.dtype(np.uint16 if config.values == "sum" else np.uint8)
    counted = 8 * max(size, 0 if config.hot_pixel is None else 4 * events.width * events.height)
    need_memory(config.steps * size * kind.itemsize + counted, "its frames", "frames")
    kept = filtered(events, config.hot_pixel, config.denoise_us)
    if span_us is None and not len(kept):
        raise _nothing(events)
    cuts = _cuts(kept, config.steps, config.by, span_us)
    frames = np.empty((config.steps, size), kind)
    for step, frame in enumerate(frames):
        part = kept.data[cuts[step] : cuts[step + 1]]
        place = _places(part, events, (height, width), config.merge_polarity)
        counts = np.bincount(place, minlength=size)
        if config.values == "binary":
            np.greater(counts, 0, out=frame)
            continue
        if len(part) > _MOST and counts.max() > _MOST:
            raise _too_many(int(counts.max()), step)
        frame[:] = counts
    return frames.reshape(config.steps, config.channels, height, width)


def narrow(frames: Frames) -> Frames:
    """The same frames as uint8 where no count is above 255; else the frames themselves.

    Of a data set's frames taken together, so that all its samples have one type.
    """
    return frames if frames.size and frames.max() > 255 else frames.astype(np.uint8, copy=False)


def _cuts(events: Events, steps: int, by: str, span_us: tuple[int, int] | None) -> list[int]:
    """Index of each frame's first event, and at the end the number of events; steps + 1 values."""
    count = len(events)
    if by == "count":
        # The least i with i * steps // count >= step.
        return [-(-step * count // steps) for step in range(steps + 1)]
    t: Any = events.t
    start, stop = span_us if span_us else (int(t[0]), int(t[-1]) + 1)
    cuts = [0]
    for step in range(1, steps):
        # The least t with (t - start) * steps // (stop - start) >= step; Python's whole numbers
        # do not overflow where those of the array would.
        first = start - (-step * (stop - start) // steps)
        cuts.append(bisect_left(t, first, lo=cuts[-1]))
    return [*cuts, count]


def _places(
    part: EventArray, sensor: Events, size: tuple[int, int], merge: bool
) -> NDArray[np.intp]:
    """Where each event is counted in its flattened frame [C, H, W], intp [n]."""
    height, width = size
    rows = part["y"].astype(np.intp)
    if height != sensor.height:
        rows *= height
        rows //= sensor.height
    if not merge:
        polarity = part["p"].astype(np.intp)
        polarity *= height
        rows += polarity
    rows *= width
    if width == sensor.width:
        rows += part["x"]
        return rows
    columns = part["x"].astype(np.intp)
    columns *= width
    columns //= sensor.width
    rows += columns
    return rows


def _side(name: str, asked: int | None, sensor: int) -> int:
    if asked is not None and asked > sensor:
        what = f"must be at most {sensor}, the sensor's: frames can only be made smaller"
        raise UserError(what, where=f"frames.{name}", value=asked)
    return asked or sensor


def _check_span(events: Events, span_us: tuple[int, int]) -> None:
    start, stop = span_us
    if start >= stop:
        raise UserError("must stop after its start", where="frames.span_us", value=span_us)
    if len(events) and not start <= int(events.t[0]) <= int(events.t[-1]) < stop:
        what = f"leaves out events, which go from {events.t[0]} to {events.t[-1]}"
        remedy = "Cut the events first: events.span(start, stop)"
        raise UserError(what, where="frames.span_us", value=span_us, remedy=remedy)


def _nothing(events: Events) -> UserError:
    if not len(events):
        remedy = "Leave the recording out, or give span_us to frame a part without events"
        return UserError("the recording has no events", where="frames", remedy=remedy)
    what = f"the filters leave none of {len(events)} events"
    return UserError(what, where="frames", remedy="Raise hot_pixel and denoise_us, or unset them")


def _too_many(count: int, step: int) -> UserError:
    what = f"a pixel has more than {_MOST} events in frame {step}"
    remedy = "Use more steps, binary values, or hot_pixel to remove such pixels"
    return UserError(what, where="frames", value=count, remedy=remedy)
