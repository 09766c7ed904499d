"""Text at the start of a recording, and what it says about the sensor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError
from spiketicket.events.types import check_sensor
from spiketicket.machine.bounded import open_regular

_LONGEST_LINE: Final = 1 << 16
_LONGEST_HEADER: Final = 1 << 20
_TEXT: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\r?\n")

SIZES: Final = {
    "128": (128, 128),
    "208": (208, 192),
    "240": (240, 180),
    "346": (346, 260),
    "640": (640, 480),
}
"""Number in the name of a DVS or DAVIS sensor -> its width and height."""

_SENSOR: Final = re.compile(r"(dvs|davis)(?:rgbw?)?(\d{3})", re.IGNORECASE)


def text_lines(path: Path, mark: bytes, last: str = "") -> tuple[list[str], int]:
    """The lines of text at the start that begin with ``mark``, and the byte behind them.

    A line that is not text belongs to the events, whose first byte may be like the mark. With
    ``last``, the lines end behind the first one that ends with it.

    Raises:
        UserError: they do not end where a header can.
    """
    lines: list[str] = []
    start = 0
    file, _ = open_regular(path)
    with file:
        while line := file.readline(_LONGEST_LINE):
            if not line.startswith(mark) or not _TEXT.fullmatch(line):
                break
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            start += len(line)
            if start > _LONGEST_HEADER:
                what = f"has a header of more than {_LONGEST_HEADER} bytes"
                raise UserError(what, where=str(path))
            if last and lines[-1].rstrip().endswith(last):
                break
    return lines, start


def named_sensor(names: Iterable[str]) -> tuple[str, tuple[int, int]] | None:
    """The family ("dvs" or "davis") and the size of the first sensor that is known by name."""
    for name in names:
        match = _SENSOR.search(name)
        if match and match[2] in SIZES:
            return match[1].lower(), SIZES[match[2]]
    return None


class SensorError(UserError):
    """A file is of another sensor than was asked for: ``sensor``."""

    sensor: tuple[int, int]


def agreed_sensor(
    stated: tuple[int, int] | None, asked: tuple[int, int] | None, path: Path
) -> tuple[int, int] | None:
    """What the file and the user say about width and height; None where neither does.

    Raises:
        SensorError: they differ.
        UserError: the file's is impossible.
    """
    if stated is None:
        return asked
    check_sensor(stated, where=str(path))
    if asked is not None and asked != stated:
        what = f"is of a sensor of {stated[0]}x{stated[1]} pixels, as its header says"
        error = SensorError(what, where=str(path), value=list(asked))
        error.sensor = stated
        raise error
    return stated
