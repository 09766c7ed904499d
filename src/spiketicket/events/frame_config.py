"""How a recording becomes frames, as a part of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Interval

from spiketicket.recipe import Microseconds, Section

Side = Annotated[int, Interval(ge=1, le=65536)]


class FrameConfig(Section):
    """How a recording becomes frames."""

    steps: Annotated[int, Interval(ge=1, le=4096)] = 16
    """Number of frames, T."""
    by: Literal["time", "count"] = "time"
    """Frames of equal duration, or frames of an equal number of events."""
    values: Literal["sum", "binary"] = "sum"
    """Each pixel's number of events, or 1 where there was any."""
    height: Side | None = None
    """Rows of a frame, at most the sensor's; None is the sensor's."""
    width: Side | None = None
    """Columns of a frame, at most the sensor's; None is the sensor's."""
    merge_polarity: bool = False
    """One channel for all events in place of two: OFF, ON."""
    hot_pixel: Annotated[float, Ge(1)] | None = None
    """Remove pixels with more than this many times the median pixel's events; None keeps all."""
    denoise_us: Microseconds | None = None
    """Remove events that no event near them preceded by at most this long; None keeps all."""

    @property
    def channels(self) -> int:
        """C: 2, or 1 with merged polarities."""
        return 1 if self.merge_polarity else 2
