"""Augmentation and normalisation of whole batches, in torch.

One draw for each image of the batch, from a stream of ours, so that a batch is a function of
(seed, epoch, step) on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from spiketicket.streams import Stream

PadMode = Literal["zeros", "reflect"]


def augment(
    x: Tensor, pad_crop: int, flip: bool | Tensor, stream: Stream, *, pad_mode: PadMode = "zeros"
) -> Tensor:
    """Shift each image by up to ``pad_crop`` pixels each way, then mirror half of them.

    ``x`` is uint8 [B, C, H, W] or frames [B, T, C, H, W], and so is the result, on the same device;
    all frames of a sample are shifted and mirrored alike. The image is padded on all four sides
    with zeros (black, before normalisation), or by ``reflect`` with its own mirror image about the
    pixel at the border, and a window of the old size is cut at a place drawn for each image, all
    (2 * pad_crop + 1)**2 places being equally likely. With ``flip`` each image is mirrored left to
    right with probability 1/2; a bool tensor [B] says which ones are. With neither, ``x`` itself is
    returned.
    """
    if not pad_crop and flip is False:
        return x
    batch, (height, width) = len(x), x.shape[-2:]
    rows = torch.arange(height, device=x.device).expand(batch, height)
    columns = torch.arange(width, device=x.device).expand(batch, width)
    if flip is True:
        flip = torch.from_numpy(stream.child("flip").signs(batch) > 0)
    if isinstance(flip, Tensor):
        columns = torch.where(flip.to(x.device).view(batch, 1), columns.flip(1), columns)
    if pad_crop:
        places = 2 * pad_crop + 1
        top, left = (
            torch.from_numpy(stream.child(axis).integers(batch, places)).to(x.device).view(-1, 1)
            for axis in ("top", "left")
        )
        if pad_mode == "zeros":
            x = pad(x, (pad_crop, pad_crop, pad_crop, pad_crop))
            rows, columns = rows + top, columns + left
        else:
            rows = _reflected(rows + (top - pad_crop), height)
            columns = _reflected(columns + (left - pad_crop), width)
    # One gather of whole images does it all: a third of the time of windows and a mirrored copy.
    places_in_image = (rows.unsqueeze(2) * x.shape[-1] + columns.unsqueeze(1)).view(batch, 1, -1)
    flat = x.reshape(batch, -1, x.shape[-2] * x.shape[-1])
    found = flat.gather(2, places_in_image.expand(-1, flat.shape[1], -1))
    return found.view(*x.shape[:-2], height, width)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Places beyond an axis, by less than ``size``, mirrored about its first and last pixel."""
    return size - 1 - (size - 1 - index.abs()).abs()


def alternating(count: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which of ``count`` images are mirrored in an epoch, bool [count]: each in every second one.

    Those of the first epoch are drawn by seed with probability 1/2 (alternating flip: Jordan,
    "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, section 3.6).
    """
    first: NDArray[np.bool_] = Stream(seed, "data", "flip").signs(count) > 0
    return first ^ bool(epoch % 2)


def cutout(x: Tensor, side: int, stream: Stream) -> Tensor:
    """Set a square of ``side`` pixels to 0, the mean, in each of the normalised images, in place.

    ``x`` is [B, C, H, W] or frames [B, T, C, H, W], all frames of a sample alike. The square's
    centre is any pixel of the image with equal probability, so that a part of the square may lie
    outside (DeVries & Taylor, arXiv 1708.04552).
    """
    inside = []
    for axis, size in (("row", x.shape[-2]), ("column", x.shape[-1])):
        first = torch.from_numpy(stream.child(axis).integers(len(x), size) - side // 2)
        place = torch.arange(size, device=x.device) - first.to(x.device).view(-1, 1)
        inside.append((place >= 0) & (place < side))
    square = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    return x.masked_fill_(square.view(len(x), *(1,) * (x.dim() - 3), *x.shape[-2:]), 0.0)


def thin(x: Tensor, drop: float, stream: Stream) -> Tensor:
    """Leave out each event of count frames with probability ``drop``; whole numbers, any shape."""
    flat = x.reshape(-1).cpu().numpy()
    place = np.repeat(np.flatnonzero(flat), flat[flat > 0])
    kept = place[stream.uniform(len(place)) >= drop]
    counts = np.bincount(kept, minlength=flat.size).astype(flat.dtype)
    return torch.from_numpy(counts).view(x.shape).to(x.device)


def jitter(x: Tensor, jitter: float, stream: Stream) -> Tensor:
    """Count frames [N, T, C, H, W] as if every event's time had been changed at random.

    The change is uniform within ``jitter`` of a frame's duration, either way, and a frame's events
    are taken to be spread evenly over it: a quarter of ``jitter`` is then the probability that an
    event is counted in the next frame, and as much in the one before. Those of the first and the
    last frame do not leave the recording, so no event is lost.
    """
    flat = x.reshape(-1).cpu().numpy()
    place = np.repeat(np.flatnonzero(flat), flat[flat > 0])
    steps, size = x.shape[1], x[0, 0].numel()
    draw, share = stream.uniform(len(place)), jitter / 4
    step = place // size % steps
    moved = np.clip(step + (draw >= 1 - share) - (draw < share).astype(np.int64), 0, steps - 1)
    counts = np.bincount(place + (moved - step) * size, minlength=flat.size).astype(flat.dtype)
    return torch.from_numpy(counts).view(x.shape).to(x.device)


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``(x / 255 - mean) / std`` for each channel.

    ``x`` is [..., C, H, W]; returns float32 of that shape. Computed as ``x * scale + shift``
    in float32, one multiplication and one addition, with ``scale = 1 / (255 * std)`` and
    ``shift = -mean / std`` rounded once from double precision: another program gets the same
    bits from the same two constants.
    """
    scale = torch.tensor([1 / (255 * s) for s in std], dtype=torch.float32, device=x.device)
    shift = torch.tensor(
        [-m / s for m, s in zip(mean, std, strict=True)], dtype=torch.float32, device=x.device
    )
    return x.to(torch.float32).mul_(scale.view(-1, 1, 1)).add_(shift.view(-1, 1, 1))
