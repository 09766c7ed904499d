"""``sample.npz``: test images as they are stored, and what a net did with one of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spiketicket.data.of_ticket import TicketData
from spiketicket.errors import UserError, argument
from spiketicket.machine.arrays import arrays_in, read_arrays
from spiketicket.measure.traces import trace

UNREADABLE = (OSError, UserError, KeyError, ValueError, TypeError)
"""What reading a damaged sample file raises."""
_SHOWN_IMAGES, _LARGEST_SAMPLE = 8, 200_000


def sample_file(model: nn.Module, data: TicketData, index: int, digest: str, device: str) -> bytes:
    """The content of ``sample.npz``; fewer images where they would make it large."""
    test = data.dataset.test
    if not 0 <= index < len(test):
        raise UserError(
            f"must be from 0 to {len(test) - 1}, an index of a test image",
            where=argument("sample"),
            value=index,
        )
    shown, content = min(_SHOWN_IMAGES, len(test)), b""
    while shown:
        ids = list(range(shown))
        if index not in ids:
            ids[-1] = index
        content = _packed(
            _sample_arrays(model, data, ids, index=index, digest=digest, device=device)
        )
        if len(content) < _LARGEST_SAMPLE:
            break
        shown //= 2
    return content


def _sample_arrays(
    model: nn.Module, data: TicketData, ids: Sequence[int], *, index: int, digest: str, device: str
) -> dict[str, Any]:
    samples = data.dataset.test.take(np.array(ids, np.int64))
    x = torch.cat([x for x, _ in data.batches_of(samples, device)], -4)
    images = samples.x if samples.x.ndim == 5 else samples.x[:, None]
    return {
        "digest": np.array(digest),
        "index": np.array(index),
        "ids": np.array(ids, np.int64),
        "label": np.array(samples.y[ids.index(index)]),
        "classes": np.array(data.dataset.classes),
        "images": images,
        "labels": samples.y,
        **trace(model, x, ids.index(index)),
    }


def of_equal_ticket(content: bytes, digest: str) -> bytes:
    """A sample file, as of a ticket that differs only in what its file says of the recipe."""
    return _packed({**arrays_in(content), "digest": np.array(digest)})


def _packed(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def drawn_sample(path: Path) -> tuple[str, int] | None:
    """Digest of the ticket and index of the sample that a file is about; None if it is damaged."""
    try:
        stored = read_arrays(path)
        return str(stored["digest"]), int(stored["index"])
    except UNREADABLE:
        return None
