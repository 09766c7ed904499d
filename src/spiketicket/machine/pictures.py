"""Reads picture files with Pillow: 8 bits per channel, upright, on black where transparent."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import need_memory, open_regular
from spiketicket.machine.picture_header import READ, bits_of, kind_of

SUFFIXES: Final[tuple[str, ...]] = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".bmp",
    ".ppm",
    ".pgm",
    ".tif",
    ".tiff",
)
_EIGHT_BIT: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr")
_ORIENTATION: Final = 0x0112
"""Of EXIF data; from 5 on width and height are exchanged."""
_FIRST_TURNED: Final = 5
_PIXEL: Final = 16
"""Bytes that a pixel takes at most while it is put on black."""


def read_picture(
    path: Path,
    channels: int,
    height: int,
    width: int,
    *,
    resize: bool,
    notes: list[str] | None = None,
    file: BinaryIO | None = None,
) -> NDArray[np.uint8]:
    """One picture as uint8 [channels, height, width]; ``channels`` is 1 (grey) or 3 (RGB).

    With ``resize`` it is cut to the sides' ratio around its centre and scaled (bilinear, with
    antialiasing; one that has the size keeps its pixels). What is to be known about how it was
    read is added to ``notes``. ``file`` is its content where it is not at ``path``.

    Raises:
        UserError: no such picture, one that cannot be read, more than 8 bits per channel, several
            pages or frames, colours that are not turned to RGB, more pixels than fit into the
            memory that may be used, or another size without ``resize``.
    """
    told = [] if notes is None else notes
    try:
        opened = file or open_regular(path)[0]
        with opened, warnings.catch_warnings(record=True, action="always") as warned:
            image = _opened(opened, path, told)
            pixels = _fitted(image, (channels, height, width), resize=resize, where=str(path))
    except UserError:
        raise
    except UnidentifiedImageError as error:
        what = "cannot be read as a picture: it is none of a known kind, or is cut off"
        raise UserError(what, where=str(path)) from error
    # Pillow's decoders raise errors of many types on damaged files.
    except Exception as error:
        raise UserError(f"cannot be read as a picture: {error}", where=str(path)) from error
    told += [
        f"Pillow: {warning.message}"
        for warning in warned
        if not issubclass(warning.category, Image.DecompressionBombWarning)
    ]
    return pixels


def picture_pixels(
    image: Image.Image,
    shape: tuple[int, int, int],
    *,
    resize: bool,
    where: str = "picture",
    notes: list[str] | None = None,
) -> NDArray[np.uint8]:
    """A picture of Pillow as :func:`read_picture` gives one from a file, uint8 of ``shape``, which
    is (channels, height, width).

    Raises:
        UserError: as :func:`read_picture`.
    """
    told = [] if notes is None else notes
    return _fitted(_upright(image, where, told), shape, resize=resize, where=where)


def _fitted(
    image: Image.Image, shape: tuple[int, int, int], *, resize: bool, where: str
) -> NDArray[np.uint8]:
    channels, height, width = shape
    image = image.convert("RGB" if channels == 3 else "L")
    size = image.size
    if resize:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if image.size != (width, height):
        raise UserError(
            f"must be {width} pixels wide and {height} high",
            where=where,
            value=f"{size[0]}x{size[1]}",
            remedy=f"Use {argument('resize', True)} to cut and scale pictures to this size",
        )
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture by its header, as its EXIF data turn it; decodes no pixel.

    Raises:
        UserError: as :func:`read_picture`, but for what only the pixels show.
    """
    try:
        file, _ = open_regular(path)
        with (
            file,
            warnings.catch_warnings(action="ignore"),
            Image.open(file, formats=READ) as opened,
        ):
            _check_opened(opened, str(path))
            turned = opened.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
            return opened.size[::-1] if turned else opened.size
    except UserError:
        raise
    # Pillow's decoders raise errors of many types on damaged files.
    except Exception as error:
        raise UserError("cannot be read as a picture", where=str(path)) from error


def _opened(file: BinaryIO, path: Path, notes: list[str]) -> Image.Image:
    """The picture in a file, upright."""
    where = str(path)
    kind = kind_of(file)
    if kind and kind not in READ:
        what = f"cannot be read as a picture: it is {kind} by its content"
        raise UserError(what, where=where, remedy="Save it as PNG, JPEG, WEBP, BMP, PPM or TIFF")
    if (bits := bits_of(file, kind)) > 8:
        raise _too_deep(f"{bits} bits per channel", where)
    with Image.open(file, formats=READ) as opened:
        return _upright(opened, where, notes)


def _upright(opened: Image.Image, where: str, notes: list[str]) -> Image.Image:
    """A picture turned as it says, on black where it was transparent."""
    _check_opened(opened, where)
    if opened.format == "MPO":
        notes.append("several pictures in one JPEG (MPO): the first is read")
    if opened.mode == "CMYK":
        notes.append("CMYK is turned to RGB without its colour profile")
    image: Image.Image = ImageOps.exif_transpose(opened)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    image.load()
    return image


def _check_opened(opened: Image.Image, where: str) -> None:
    """What its header says, before a pixel is decoded."""
    if opened.mode.startswith(("I", "F")):
        raise _too_deep(f"mode {opened.mode}", where)
    if opened.mode not in _EIGHT_BIT:
        what = f"has colours of the kind {opened.mode}, which are not turned to RGB"
        raise UserError(what, where=where, remedy="Save it as RGB or grey")
    if opened.format != "MPO" and _has_more(opened):
        what = "holds several pages or frames, and one picture is needed"
        raise UserError(what, where=where, remedy="Save the one that is meant by itself")
    needed = opened.width * opened.height * _PIXEL
    need_memory(needed, f"its {opened.width}x{opened.height} pixels", where)


def _has_more(opened: Image.Image) -> bool:
    if opened.format != "TIFF":
        return getattr(opened, "n_frames", 1) > 1
    # To count the pages of a TIFF is to read them all.
    try:
        opened.seek(1)
    except EOFError:
        return False
    return True


def _too_deep(how: str, where: str) -> UserError:
    what = f"has pixels of more than 8 bits ({how}), which would be cut off"
    return UserError(what, where=where, remedy="Save it with 8 bits per channel")
