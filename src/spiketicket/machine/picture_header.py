"""What a picture file says of itself at its start: its kind, and the bits of a channel.

Pillow cuts many pictures of more than 8 bits per channel to 8 without a word, and does not name the
kind of those that it was not asked to read.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO, Final

READ: Final = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF")
"""Kinds that are read, by Pillow's names of them; some of its other readers start programs."""

_SIGNATURES: Final = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"BM", "BMP"),
    (rb"P[1-6]\s", "PPM"),
    (rb"II[*+]\x00|MM\x00[*+]", "TIFF"),
    (rb"GIF8[79]a", "GIF"),
    (rb"....ftyp(avif|avis)", "AVIF"),
    (rb"....ftyp(hei|hev|mif1|msf1)", "HEIF"),
    (rb"\x00\x00\x00\x0cJXL |\xff\x0a", "JPEG XL"),
    (rb"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (rb"8BPS", "Photoshop file"),
    (rb"%PDF", "PDF"),
    (rb"\s*<(\?xml|svg)", "SVG"),
    (rb"\x00\x00\x01\x00", "icon (ICO)"),
    (rb"v/1\x01", "OpenEXR picture"),
    (rb"P[Ff7]\s", "PFM or PAM picture"),
)
_BITS_PER_SAMPLE: Final = 258
_FRAME_HEADERS: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE: Final = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers without a length behind them."""
_LONGEST_HEADER: Final = 1 << 20
"""Bytes of a PPM's comments that are looked through."""
_PPM: Final = re.compile(rb"P[2356](?:(?:\s|#[^\n]*\n)+\d+){2}(?:\s|#[^\n]*\n)+(\d{1,9})")


def kind_of(file: BinaryIO) -> str:
    """The kind of a picture, "" where it is not known; the file is at its start afterwards."""
    head = file.read(32)
    file.seek(0)
    found = (kind for mark, kind in _SIGNATURES if re.match(mark, head, re.DOTALL))
    return next(found, "")


def bits_of(file: BinaryIO, kind: str) -> int:
    """Bits of a channel, 8 where the file does not say; it is at its start afterwards."""
    try:
        read = {"PNG": _png, "JPEG": _jpeg, "PPM": _ppm, "TIFF": _tiff}.get(kind)
        return 8 if read is None else read(file)
    # A header that is cut off: Pillow's reader says what is wrong with it.
    except struct.error:
        return 8
    finally:
        file.seek(0)


def _png(file: BinaryIO) -> int:
    return struct.unpack(">24xB", file.read(25))[0]  # type: ignore[no-any-return]


def _jpeg(file: BinaryIO) -> int:
    file.seek(2)
    while True:
        mark, code = struct.unpack(">BB", file.read(2))
        if mark != 0xFF:
            return 8
        if code == 0xFF:
            file.seek(-1, 1)
        elif code not in _ALONE:
            length, bits = struct.unpack(">HB", file.read(3))
            if code in _FRAME_HEADERS:
                return int(bits)
            file.seek(length - 3, 1)


def _ppm(file: BinaryIO) -> int:
    found = _PPM.match(file.read(_LONGEST_HEADER))
    return int(found[1]).bit_length() if found else 8


def _tiff(file: BinaryIO) -> int:
    """The most bits of a sample in the first page."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    # Of a value: count, then place or values; BigTIFF has 8 bytes for each.
    number, room = ("Q", 8) if big else ("I", 4)
    file.seek(struct.unpack(f"{order}{number}", head[8:16] if big else head[4:8])[0])
    (entries,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    size = 4 + 2 * room
    for _ in range(min(entries, 1 << 12)):
        entry = file.read(size)
        tag, _, count = struct.unpack(f"{order}HH{number}", entry[: 4 + room])
        if tag != _BITS_PER_SAMPLE:
            continue
        values = entry[4 + room :]
        count = min(count, 16)
        if 2 * count > room:
            file.seek(struct.unpack(f"{order}{number}", values)[0])
            values = file.read(2 * count)
        return max(struct.unpack(f"{order}{count}H", values[: 2 * count]), default=1)
    return 1
