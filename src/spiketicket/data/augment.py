"""Augmentation and normalisation of whole batches, in torch.

One draw for each image of the batch, from a stream of ours, so that a batch is a function of
(seed, epoch, step) on every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from spiketicket.streams import Stream


def augment(x: Tensor, pad_crop: int, flip: bool, stream: Stream) -> Tensor:
    """Shift each image by up to ``pad_crop`` pixels each way, then mirror half of them.

    ``x`` is uint8 [B, C, H, W] or frames [B, T, C, H, W], and so is the result, on the same device;
    all frames of a sample are shifted and mirrored alike. The image is padded with
    zeros (black, before normalisation) on all four sides and a window of the old size is cut at
    a place drawn for each image, all (2 * pad_crop + 1)**2 places being equally likely. With
    ``flip`` each image is mirrored left to right with probability 1/2. With neither, ``x`` itself
    is returned.
    """
    if x.dim() == 5:
        flat = augment(x.flatten(1, 2), pad_crop, flip, stream)
        return flat.view(x.shape)
    batch, _, height, width = x.shape
    if pad_crop:
        places = 2 * pad_crop + 1
        top, left = (
            torch.from_numpy(stream.child(axis).integers(batch, places)).to(x.device)
            for axis in ("top", "left")
        )
        padded = pad(x, (pad_crop, pad_crop, pad_crop, pad_crop))
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        x = windows[torch.arange(batch, device=x.device), :, top, left]
    if flip:
        mirrored = torch.from_numpy(stream.child("flip").signs(batch) > 0).to(x.device)
        x = torch.where(mirrored.view(batch, 1, 1, 1), x.flip(3), x)
    return x


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
