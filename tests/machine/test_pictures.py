"""Pictures that would be misread: too deep, of several pages, of other colours or another kind."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spiketicket.errors import UserError
from spiketicket.machine.pictures import read_picture


def png(depth: int, colour: int, channels: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG by its specification, every byte of every sample 0x80."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    row = b"\0" + b"\x80" * (size[0] * channels * depth // 8)
    data = zlib.compress(row * size[1])
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff(bits: int, order: str, channels: int = 3) -> bytes:
    """An uncompressed RGB or grey TIFF of 8x8 pixels."""
    pixels = b"\x80" * (64 * channels * bits // 8)
    values = struct.pack(f"{order}{channels}H", *[bits] * channels)
    start = 8 + len(pixels)
    inline = values.ljust(4, b"\0") if channels < 3 else struct.pack(f"{order}I", start)
    tags: list[tuple[int, int, int, bytes]] = [
        (256, 3, 1, struct.pack(f"{order}HH", 8, 0)),
        (257, 3, 1, struct.pack(f"{order}HH", 8, 0)),
        (258, 3, channels, inline),
        (259, 3, 1, struct.pack(f"{order}HH", 1, 0)),
        (262, 3, 1, struct.pack(f"{order}HH", 2 if channels == 3 else 1, 0)),
        (273, 4, 1, struct.pack(f"{order}I", 8)),
        (277, 3, 1, struct.pack(f"{order}HH", channels, 0)),
        (278, 3, 1, struct.pack(f"{order}HH", 8, 0)),
        (279, 4, 1, struct.pack(f"{order}I", len(pixels))),
    ]
    table = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        table += struct.pack(f"{order}HHI", tag, kind, count) + value
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", start + len(values))
    return head + pixels + values + table + bytes(4)


def saved(images: list[Image.Image], kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:]}
    images[0].save(file, kind, **options)
    return file.getvalue()


def plain(value: int = 200, mode: str = "RGB", size: int = 8) -> Image.Image:
    return Image.new("L", (size, size), value).convert(mode)


def jpeg_of_12_bits() -> bytes:
    content = bytearray(saved([plain()], "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    return bytes(content)


def read(path: Path, content: bytes, notes: list[str] | None = None) -> Any:
    path.write_bytes(content)
    return read_picture(path, 3, 8, 8, resize=True, notes=notes)


def error(path: Path, content: bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(path, content)
    return str(caught.value)


DEEP: dict[str, Callable[[], bytes]] = {
    "rgb.png": lambda: png(16, 2, 3),
    "rgba.png": lambda: png(16, 6, 4),
    "grey.png": lambda: png(16, 0, 1),
    "grey-alpha.png": lambda: png(16, 4, 2),
    "little.tif": lambda: tiff(16, "<"),
    "big.tif": lambda: tiff(16, ">"),
    "grey.tif": lambda: tiff(16, "<", 1),
    "comment.ppm": lambda: b"P6\n#" + b"x" * 5000 + b"\n8 8\n65535\n" + b"\x80" * 384,
    "colour.ppm": lambda: b"P6\n# 16 bits\n8 8\n65535\n" + b"\x80" * 384,
    "text.ppm": lambda: b"P3 8 8 # deep\n 1023\n" + b"512 " * 192,
    "grey.pgm": lambda: b"P5 8 8 4095 " + b"\x08\0" * 64,
    "deep.jpg": jpeg_of_12_bits,
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_are_not_cut_off(tmp_path: Path, name: str) -> None:
    assert "has pixels of more than 8 bits" in error(tmp_path / name, DEEP[name]())


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("rgb.png", png(8, 2, 3), 128),
        ("grey-alpha.png", png(8, 4, 2), 64),
        ("little.tif", tiff(8, "<"), 128),
        ("big.tif", tiff(8, ">"), 128),
        ("grey.tif", tiff(8, ">", 1), 128),
        ("colour.ppm", b"P6\n# 8 bits\n8 8\n255\n" + b"\x80" * 192, 128),
        ("small.pgm", b"P5 8 8 15 " + b"\x0f" * 64, 255),
    ],
)
def test_8_bits_are_read(tmp_path: Path, name: str, content: bytes, value: int) -> None:
    x = read(tmp_path / name, content)
    assert x.min() == x.max() == value


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("a.tif", "TIFF", {}),
        ("a.png", "PNG", {}),
        ("a.webp", "WEBP", {"lossless": True}),
    ],
)
def test_several_pages_or_frames_are_refused(
    tmp_path: Path, name: str, kind: str, options: Any
) -> None:
    images = [plain(10), plain(200), plain(30)]
    said = error(tmp_path / name, saved(images, kind, **options))
    assert f"{name}: holds several pages or frames" in said
    assert (read(tmp_path / name, saved(images[:1], kind, **options)) == 10).all()


def test_the_first_picture_of_an_mpo_is_read_and_that_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    content = saved([plain(10), plain(200)], "MPO")
    assert abs(int(read(tmp_path / "a.jpg", content, notes).max()) - 10) < 3
    assert notes == ["several pictures in one JPEG (MPO): the first is read"]


def test_other_colours(tmp_path: Path) -> None:
    lab = saved([Image.new("LAB", (8, 8))], "TIFF")
    assert "has colours of the kind LAB" in error(tmp_path / "a.tif", lab)
    notes: list[str] = []
    read(tmp_path / "a.jpg", saved([plain(mode="CMYK")], "JPEG"), notes)
    assert notes == ["CMYK is turned to RGB without its colour profile"]
    palette = plain(200).quantize(4)
    assert (read(tmp_path / "a.png", saved([palette], "PNG")) == 200).all()
    clear = saved([palette], "PNG", transparency=bytes(4))
    assert (read(tmp_path / "a.png", clear) == 0).all()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (saved([plain()], "GIF"), "GIF"),
        (b"\0\0\0\x20ftypheic" + bytes(40), "HEIF"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "AVIF"),
        (b"8BPS" + bytes(40), "Photoshop file"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_is(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    assert f"it is {kind} by its content" in error(tmp_path / "a.png", content)
    assert (read(tmp_path / "a.png", saved([plain()], "BMP")) == 200).all()


def test_a_picture_is_bound_by_the_memory_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = png(8, 2, 3, (4000, 4000))
    path = tmp_path / "bomb.png"
    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", "10M")
    tracemalloc.start()
    said = error(path, content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "its 4000x4000 pixels need 256000000 bytes of memory" in said
    assert "SPIKETICKET_MAX_MEMORY" in said
    assert peak < 10 << 20


@pytest.mark.parametrize("name", sorted(DEEP))
def test_headers_that_are_cut_off_are_errors(tmp_path: Path, name: str) -> None:
    content = DEEP[name]()
    for size in range(0, 60, 3):
        assert "a" in error(tmp_path / name, content[:size])
