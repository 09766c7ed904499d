"""A recording of one sensor for a ticket of another: a region of it, and its size scaled.

    fit = Fit(roi=(80, 0, 480, 480), scale=(34, 34))
    fit.size((640, 480))         # (34, 34)
    smaller = fit(events)        # Events

Column x of a region ``old`` wide becomes column ``x * new // old``, rows likewise, as in
:mod:`spiketicket.events.frames`; no event of the region is left out, so that a pixel has more of
them the more pixels it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError, argument
from spiketicket.events.types import Events, check_sensor

__all__ = ["Fit", "mismatch", "parse_fit", "reduced_counts"]

_ROI: Final = re.compile(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What is done to each event's place; nothing without arguments.

    ``roi`` is the region's left column, top row, width and height in pixels of the sensor;
    ``scale`` the width and height that it is brought to, which are not larger.
    """

    roi: tuple[int, int, int, int] | None = None
    scale: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """UserError where a size is none."""
        if self.roi is not None:
            check_sensor(self.roi[2:], where=argument("roi"))
        if self.scale is not None:
            check_sensor(self.scale, where=argument("scale"))

    def size(self, sensor: tuple[int, int]) -> tuple[int, int]:
        """Width and height of what comes of a sensor's events.

        Raises:
            UserError: the region is not in the sensor, or is smaller than ``scale``.
        """
        left, top, width, height = self.roi or (0, 0, *sensor)
        if left + width > sensor[0] or top + height > sensor[1]:
            what = f"must lie in the sensor of {sensor[0]}x{sensor[1]}"
            remedy = "It is LEFT,TOP,WIDTH,HEIGHT"
            raise UserError(what, where=argument("roi"), value=list(self.roi or ()), remedy=remedy)
        if self.scale is None:
            return width, height
        if self.scale[0] > width or self.scale[1] > height:
            what = f"must be at most {width}x{height}: recordings can only be made smaller"
            raise UserError(what, where=argument("scale"), value=list(self.scale))
        return self.scale

    def __call__(self, events: Events) -> Events:
        """The events of the region, at their new places; those outside it are left out.

        Raises:
            UserError: as :meth:`size`.
        """
        width, height = self.size(events.sensor)
        left, top, wide, high = self.roi or (0, 0, *events.sensor)
        data = events.data
        if (wide, high) != events.sensor:
            x, y = data["x"], data["y"]
            inside = (x >= left) & (x < left + wide) & (y >= top) & (y < top + high)
            data = data[inside]
        elif (width, height) == events.sensor:
            return events
        else:
            data = data.copy()
        for name, start, old, new in (("x", left, wide, width), ("y", top, high, height)):
            place = data[name].astype(np.int64) - start
            data[name] = place * new // old
        return Events(data, width, height, events.notes)


def parse_fit(roi: str | None, scale: str | None) -> Fit | None:
    """``LEFT,TOP,WIDTH,HEIGHT`` and ``WIDTHxHEIGHT``; None without either.

    Raises:
        UserError: a text is none.
    """
    if roi is None and scale is None:
        return None
    region, size = _ROI.fullmatch(roi or ""), _SIZE.fullmatch(scale or "")
    for name, text, found, form in (
        ("roi", roi, region, "LEFT,TOP,WIDTH,HEIGHT, for example 80,0,480,480"),
        ("scale", scale, size, "WIDTHxHEIGHT, for example 34x34"),
    ):
        if text is not None and found is None:
            raise UserError(f"must be {form}", where=argument(name), value=text)
    return Fit(
        roi=(int(region[1]), int(region[2]), int(region[3]), int(region[4])) if region else None,
        scale=(int(size[1]), int(size[2])) if size else None,
    )


def mismatch(
    sensor: tuple[int, int], wanted: tuple[int, int], where: str, what: str = "the ticket"
) -> UserError:
    """The error of a recording of ``sensor`` where ``wanted`` is needed; it says what helps."""
    (width, height), (wide, high) = sensor, wanted
    text = f"has {width}x{height} pixels, and {what} is of {wide}x{high}"
    if wide > width or high > height:
        remedy = "A recording can only be made smaller: it takes a camera of that size or larger"
        return UserError(text, where=where, remedy=remedy)
    # The largest region in the middle that has the wanted shape.
    cut = min(width * high, height * wide) // high, min(width * high, height * wide) // wide
    region = f"{(width - cut[0]) // 2},{(height - cut[1]) // 2},{cut[0]},{cut[1]}"
    scale = argument("scale", f"{wide}x{high}")
    remedy = f"Give {scale} to squeeze all of it"
    if cut != sensor:
        remedy += f", or {argument('roi', region)} {scale} for its middle in the right shape"
    return UserError(text, where=where, remedy=remedy)


def reduced_counts(counts: NDArray[Any], columns: int) -> NDArray[Any]:
    """Counts [C, H, W] added up over squares of pixels, so that W is at most ``columns``."""
    side = max(1, -(-counts.shape[2] // columns))
    height, width = counts.shape[1:]
    padded = np.pad(counts, ((0, 0), (0, -height % side), (0, -width % side)))
    cells = padded.reshape(len(counts), padded.shape[1] // side, side, -1, side)
    return np.asarray(cells.sum((2, 4)))
