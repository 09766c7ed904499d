"""Batches for training and evaluation, each a function of (seed, epoch, step).

Nothing is kept between batches: a run that is continued at some step asks for the batches from
that step on, and gets the ones it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spiketicket.data.augment import (
    PadMode,
    alternating,
    augment,
    cutout,
    jitter,
    normalise,
    thin,
)
from spiketicket.data.types import Samples
from spiketicket.errors import UserError
from spiketicket.streams import SampleIds, Stream, announced


def to_tensors(samples: Samples, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Images uint8 [N, C, H, W] or frames [N, T, C, H, W], and classes int64 [N], on a device.

    No copy is made of uint8 on the CPU; uint16, which torch hardly computes with, becomes int32.
    """
    x = samples.x if samples.x.dtype == np.uint8 else samples.x.astype(np.int32)
    return torch.from_numpy(x).to(device), torch.from_numpy(samples.y).to(device)


def batch_sizes(count: int, batch_size: int) -> tuple[int, ...]:
    """The sizes of an epoch's batches; they add up to ``count``: no sample is dropped.

    All have ``batch_size`` samples but the last, which has what remains. Where that is less than
    half a batch, or a single sample, it joins the batch before: BatchNorm's statistics of a few
    samples would be noise. So the last has from a half to one and a half times ``batch_size``.

    Raises:
        UserError: ``batch_size`` is less than 1 or more than ``count``.
    """
    if not 1 <= batch_size <= count:
        raise UserError(
            f"must be from 1 to {count}, the number of training samples",
            where="train.batch_size",
            value=batch_size,
        )
    full, rest = divmod(count, batch_size)
    sizes = [batch_size] * full
    if rest and (rest == 1 or 2 * rest < batch_size):
        sizes[-1] += rest
    elif rest:
        sizes.append(rest)
    return tuple(sizes)


def epoch_batches(
    count: int, batch_size: int, seed: int, epoch: int, start: int = 0
) -> Iterator[NDArray[np.int64]]:
    """The sample indices of each batch of an epoch, from batch ``start`` on; int64 [b].

    Every epoch is another permutation of all samples, a function of (seed, epoch), cut by
    :func:`batch_sizes`, whose errors it raises at once.
    """
    sizes = batch_sizes(count, batch_size)
    order = Stream(seed, "data", "order", epoch).permutation(count)
    ends = np.cumsum(sizes).tolist()
    return (order[end - size : end] for size, end in list(zip(sizes, ends, strict=True))[start:])


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainBatches:
    """Training samples on a device, and how to make batches of them.

    ``x`` is uint8 [N, C, H, W] or frames [N, T, C, H, W], ``y`` int64 [N], on one device. Raises
    UserError when a batch is larger than the set, ``pad_crop`` could push a whole image out of
    sight, or ``cutout`` could hide one.
    """

    x: Tensor
    y: Tensor
    mean: Sequence[float]
    std: Sequence[float]
    batch_size: int
    seed: int
    pad_crop: int = 0
    pad_mode: PadMode = "zeros"
    flip: bool | Literal["alternate"] = False
    cutout: int = 0
    drop_events: float = 0.0
    jitter_events: float = 0.0

    def __post_init__(self) -> None:
        batch_sizes(len(self.y), self.batch_size)
        side = min(self.x.shape[-2:])
        if not 0 <= self.pad_crop < side:
            what = f"must be less than the images' {side} pixels"
            raise UserError(what, where="data.pad_crop", value=self.pad_crop)
        if not 0 <= self.cutout < side:
            what = f"must be less than the images' {side} pixels"
            raise UserError(what, where="data.cutout", value=self.cutout)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(batch_sizes(len(self.y), self.batch_size))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented, normalised images float32 [b, C, H, W] or frames [T, b, C, H, W], and classes
        int64 [b], from step ``start`` of the epoch on.
        """
        batches = epoch_batches(len(self.y), self.batch_size, self.seed, epoch, start)
        alternates = self.flip == "alternate"
        turns = alternating(len(self.y), self.seed, epoch) if alternates else None
        for step, indices in enumerate(batches, start):
            chosen = torch.from_numpy(indices).to(self.x.device)
            stream = Stream(self.seed, "data", "augment", epoch, step)
            mirrored: bool | Tensor = self.flip is not False
            if turns is not None:
                mirrored = torch.from_numpy(turns[indices])
            x = self.x.index_select(0, chosen)
            x = augment(x, self.pad_crop, mirrored, stream, pad_mode=self.pad_mode)
            if self.drop_events:
                x = thin(x, self.drop_events, stream.child("drop"))
            if self.jitter_events:
                x = jitter(x, self.jitter_events, stream.child("jitter"))
            x = normalise(x, self.mean, self.std)
            if self.cutout:
                x = cutout(x, self.cutout, stream.child("cutout"))
            x = _time_first(x)
            with announced(SampleIds(indices, epoch)):
                yield x, self.y.index_select(0, chosen)


def ordered_batches(
    x: Tensor, y: Tensor, mean: Sequence[float], std: Sequence[float], batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised images and classes in the samples' order, for evaluation; the last may be short.

    ``x`` is uint8 [N, C, H, W] or frames [N, T, C, H, W], ``y`` int64 [N]; yields float32
    [b, C, H, W] or [T, b, C, H, W], and int64 [b].
    """
    for start in range(0, len(y), batch_size):
        part = slice(start, start + batch_size)
        images = _time_first(normalise(x[part], mean, std))
        with announced(SampleIds(np.arange(start, start + len(y[part])))):
            yield images, y[part]


def _time_first(x: Tensor) -> Tensor:
    return x.transpose(0, 1).contiguous() if x.dim() == 5 else x
