"""Where on a sensor a ticket looks: a part of it, made as small as the ticket's frames."""

from __future__ import annotations

from dataclasses import dataclass

from spiketicket.errors import UserError, argument
from spiketicket.events import EventArray


@dataclass(frozen=True)
class Region:
    """A part of a sensor: column and row of its top left pixel, width and height."""

    x: int
    y: int
    width: int
    height: int

    def inside(self, data: EventArray) -> EventArray:
        """The events in it, counted from its corner."""
        x, y = data["x"], data["y"]
        kept = data[
            (x >= self.x) & (x < self.x + self.width) & (y >= self.y) & (y < self.y + self.height)
        ]
        kept["x"] -= self.x
        kept["y"] -= self.y
        return kept


def region_of(
    sensor: tuple[int, int],
    wanted: tuple[int, int] | None,
    frame: tuple[int, int],
    *,
    roi: tuple[int, int, int, int] | None,
    scale: bool,
    where: str,
) -> Region:
    """The part of ``sensor`` that is looked at.

    ``wanted`` is the sensor that the ticket was made for, None where it does not say; ``frame`` is
    width and height of its frames. A part of another size is scaled to the frames where ``scale``
    says that this is meant.

    Raises:
        UserError: a part that is not on the sensor or smaller than the frames, or another sensor
            than the ticket's without ``roi`` or ``scale``.
    """
    x, y, width, height = roi or (0, 0, *sensor)
    if roi and not (
        min(x, y) >= 0
        and min(width, height) > 0
        and x + width <= sensor[0]
        and y + height <= sensor[1]
    ):
        what = f"must lie on the sensor, which is {_size(sensor)}"
        raise UserError(what, where=argument("roi"), value=list(roi))
    size = (width, height)
    if width < frame[0] or height < frame[1]:
        what = f"shows {_size(size)} pixels, fewer than the ticket's frames of {_size(frame)} have"
        raise UserError(what, where=where, remedy="Frames can only be made smaller")
    fits = size in (wanted, frame) or (wanted is None and scale)
    if not fits and not scale:
        made = f"a sensor of {_size(wanted)}" if wanted else f"frames of {_size(frame)}"
        target = wanted or frame
        left, top = (sensor[0] - target[0]) // 2, (sensor[1] - target[1]) // 2
        crop = f"{argument('roi')} {left},{top},{target[0]},{target[1]} takes its middle, "
        raise UserError(
            f"shows {_size(size)} pixels, and the ticket was made for {made}",
            where=where,
            remedy=f"{crop if min(left, top) >= 0 else ''}{argument('scale')} scales all of it",
        )
    return Region(x, y, width, height)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
