"""Reads picture files with Pillow: 8 bits a channel, upright, on black where transparent."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from spiketicket._bounded import open_regular
from spiketicket.errors import UserError

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
# Named, because some of Pillow's other readers start programs.
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF")
_EIGHT_BIT: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr")


def read_picture(
    path: Path, channels: int, height: int, width: int, *, resize: bool
) -> NDArray[np.uint8]:
    """One picture as uint8 [channels, height, width]; ``channels`` is 1 (grey) or 3 (RGB).

    With ``resize`` it is cut to the sides' ratio around its centre and scaled (bilinear, with
    antialiasing; one that has the size keeps its pixels).

    Raises:
        UserError: no such picture, one that cannot be read, more than 8 bits a channel, or
            another size without ``resize``.
    """
    try:
        with open_regular(path)[0] as file, Image.open(file, formats=_FORMATS) as opened:
            mode = opened.mode
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                black = Image.new("RGBA", image.size, (0, 0, 0, 255))
                image = Image.alpha_composite(black, image)
            image = image.convert("RGB" if channels == 3 else "L")
            size = image.size
            if resize:
                image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    except UserError:
        raise
    # Pillow's decoders raise errors of many types on damaged files.
    except Exception as error:
        raise UserError(f"cannot be read as a picture: {error}", where=str(path)) from error
    if mode not in _EIGHT_BIT:
        what = f"has pixels of more than 8 bits (mode {mode}), which would be cut off"
        raise UserError(what, where=str(path), remedy="Save it with 8 bits a channel")
    if image.size != (width, height):
        raise UserError(
            f"must be {width} pixels wide and {height} high",
            where=str(path),
            value=f"{size[0]}x{size[1]}",
            remedy="Use --resize to cut and scale pictures to this size",
        )
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1)
