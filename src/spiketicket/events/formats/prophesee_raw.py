"""Prophesee's .raw files: a header of text, then words of EVT 2.0, EVT 2.1 or EVT 3.0.

    % evt 3.0                               the encoding, or
    % format EVT3;height=720;width=1280     the encoding and the sensor
    % geometry 1280x720
    % end

Each line is optional but those that tell the encoding. Where none tells the sensor's size, it is
that of the sensor that ``plugin_name`` or ``sensor_name`` names. Triggers are left out.

Source: "RAW File Format", docs.prophesee.ai.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError
from spiketicket.events.formats._evt import BLOCK, Decoder, Evt2, Evt3, Evt21
from spiketicket.events.formats._header import agreed_sensor, text_lines
from spiketicket.events.reading import Recording, read_chunks
from spiketicket.events.stores import Columns

TITLE: Final = "Prophesee RAW (EVT 2.0, 2.1, 3.0)"
SUFFIXES: Final = (".raw",)
MAGIC: Final = b"%"

_ENCODINGS: Final[dict[str, type[Decoder]]] = {
    "2.0": Evt2,
    "2": Evt2,
    "EVT2": Evt2,
    "2.1": Evt21,
    "EVT21": Evt21,
    "3.0": Evt3,
    "3": Evt3,
    "EVT3": Evt3,
}
_SENSORS: Final = {
    "genx320": (320, 320),
    "imx636": (1280, 720),
    "imx646": (1280, 720),
    "gen4": (1280, 720),
    "gen3": (640, 480),
}
"""What the name of a plugin or sensor holds -> the sensor's size."""
_LINE: Final = re.compile(r"%\s*(\S{1,64})\s+(\S.{0,1023}?)\s*")


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the header.

    Raises:
        UserError: a header without end, no encoding or an unknown one, or a size of the sensor
            other than ``sensor``.
    """
    lines, start = text_lines(path, b"%", "% end")
    found = (_LINE.fullmatch(line) for line in lines)
    said: dict[str, str] = {match[1]: match[2] for match in found if match}
    kind = _encoding(said, path)
    notes: list[str] = []
    size = path.stat().st_size - start
    make: Callable[[], Decoder] = kind
    if kind is Evt21:
        make = partial(Evt21, legacy=_is_legacy(said, path, start))
    stated = _stated(said, path)
    if stated is None:
        stated, named = _named(said)
        if stated is not None and sensor is None:
            notes.append(f"the header tells no size: {stated[0]}x{stated[1]} is that of {named}")
    return Recording(
        sensor=agreed_sensor(stated, sensor, path),
        most=size // 4 if kind is Evt2 else 0,
        blocks=_blocks(path, start, make(), notes),
        notes=notes,
    )


def _format(said: dict[str, str]) -> dict[str, str]:
    """The parts of ``% format EVT3;height=720;width=1280``; that without a sign is "name"."""
    parts = (part.partition("=") for part in said.get("format", "").split(";"))
    return {name if sign else "name": value if sign else name for name, sign, value in parts}


def _encoding(said: dict[str, str], path: Path) -> type[Decoder]:
    told = _format(said).get("name") or said.get("evt")
    known = "EVT 2.0, EVT 2.1 and EVT 3.0"
    if not told:
        what = f"its header tells no encoding ('% evt' or '% format'); known are {known}"
        remedy = "Is it a recording of a Prophesee camera? Frames and other .raw files are not read"
        raise UserError(what, where=str(path), remedy=remedy)
    if told.upper() not in _ENCODINGS:
        remedy = "Record it, or convert it with Prophesee's tools, to one of them"
        raise UserError(
            f"is of an encoding that is not read; known are {known}",
            where=str(path),
            value=told,
            remedy=remedy,
        )
    return _ENCODINGS[told.upper()]


def _stated(said: dict[str, str], path: Path) -> tuple[int, int] | None:
    parts = _format(said)
    sizes = {
        "geometry": said.get("geometry"),
        "format": f"{parts['width']}x{parts['height']}"
        if {"width", "height"} <= set(parts)
        else None,
    }
    found = set()
    for name, text in sizes.items():
        if text is None:
            continue
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
        if match is None:
            what = f"its header's {name} is no width and height"
            raise UserError(what, where=str(path), value=text)
        found.add((int(match[1]), int(match[2])))
    if len(found) > 1:
        what = "its header tells two sizes of the sensor"
        raise UserError(what, where=str(path), value=sorted(found))
    return next(iter(found), None)


def _named(said: dict[str, str]) -> tuple[tuple[int, int] | None, str]:
    for key in ("sensor_name", "plugin_name"):
        for name, size in _SENSORS.items():
            if name in said.get(key, "").lower():
                return size, f"a {name} sensor"
    return None, ""


def _is_legacy(said: dict[str, str], path: Path, start: int) -> bool:
    """Whether the halves of words are exchanged: by the header, else by what the words hold."""
    told = _format(said).get("endianness") or said.get("endianness")
    if told in ("little", "legacy"):
        return told == "legacy"
    if told is not None:
        what = "is of an order of bytes that is not read; known are little and legacy"
        raise UserError(what, where=str(path), value=told)
    for words in read_chunks(path, start, Evt21.WORD, []):
        return Evt21.is_legacy(words)
    return False


def _blocks(path: Path, first: int, decode: Decoder, notes: list[str]) -> Iterator[Columns]:
    for words in read_chunks(path, first, decode.WORD, notes):
        for start in range(0, len(words), BLOCK):
            yield decode(words[start : start + BLOCK])
        if decode.doubtful:
            what = f"{decode.unknown} of its first {decode.count} words are none of its encoding"
            remedy = "Its header may be wrong, or the file is damaged"
            raise UserError(what, where=str(path), remedy=remedy)
    notes.extend(decode.notes())
