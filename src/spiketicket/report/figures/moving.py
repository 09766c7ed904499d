"""A recording as a picture of pixels (PNG), or as one that moves (GIF, animated PNG)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spiketicket.errors import UserError
from spiketicket.machine.files import write_bytes
from spiketicket.report.figures.recording import coloured

__all__ = ["MOVING", "STILL", "reduced_size", "write_moving", "write_still"]

STILL: Final = (".png",)
MOVING: Final = (".gif", ".apng")
_LEVELS: Final = 16
"""Of each polarity: their pairs are the 256 colours of a palette."""
_LEAST: Final = 256
"""Pixels that the longer side has at least: those of small sensors are drawn larger."""
_MOST: Final = 640
"""And at most, of what moves."""


def reduced_size(sensor: tuple[int, int]) -> tuple[int, int]:
    """Width and height of frames of a sensor: the sensor's own, or less for a large one."""
    longest = max(sensor)
    if longest <= _MOST:
        return sensor
    return max(1, sensor[0] * _MOST // longest), max(1, sensor[1] * _MOST // longest)


def write_still(path: Path, counts: NDArray[Any], most: float) -> None:
    """Write counts [2, H, W] (OFF, ON) as PNG; ``most`` is the count of full colour.

    Raises:
        UserError: a place that cannot be written.
    """
    content = io.BytesIO()
    _image(counts, most).convert("RGB").save(content, "PNG", optimize=True)
    write_bytes(path, content.getvalue(), "path")


def write_moving(path: Path, frames: Iterable[NDArray[Any]], most: float, frame_ms: int) -> None:
    """Write frames [2, H, W] of counts one after the other, as GIF or, by its name, as APNG.

    Raises:
        UserError: no frame, or a place that cannot be written.
    """
    images = [_image(frame, most) for frame in frames]
    if not images:
        raise UserError("has no frame", where=str(path))
    content = io.BytesIO()
    kind = "GIF" if path.suffix.lower() == ".gif" else "PNG"
    # A frame that differs nowhere from the last is kept: its time counts.
    how: dict[str, Any] = {"disposal": 1} if kind == "GIF" else {}
    images[0].save(
        content,
        kind,
        save_all=True,
        append_images=images[1:],
        duration=frame_ms,
        loop=0,
        optimize=False,
        **how,
    )
    write_bytes(path, content.getvalue(), "path")


def _image(counts: NDArray[Any], most: float) -> Image.Image:
    share = np.log1p(counts.astype(np.float64)) / np.log1p(max(most, 1.0))
    # A single event is to be seen: only no event at all is level 0.
    level = np.clip(np.ceil(share * (_LEVELS - 1)), 0, _LEVELS - 1).astype(np.uint8)
    image = Image.fromarray(level[0] * _LEVELS + level[1], "P")
    image.putpalette(_palette())
    times = max(1, _LEAST // max(image.size))
    size = (image.width * times, image.height * times)
    return image.resize(size, Image.Resampling.NEAREST) if times > 1 else image


def _palette() -> bytes:
    steps = np.expm1(np.arange(_LEVELS) / (_LEVELS - 1) * np.log1p(1.0))
    pairs = np.stack(np.meshgrid(steps, steps, indexing="ij"))
    return np.round(255 * coloured(pairs, 1.0)).astype(np.uint8).tobytes()
