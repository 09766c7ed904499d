"""An input encoder before a network of one's own, for a search in Python.

net = spiketicket.whiten(MyNet(inputs=24), loader)
ticket = spiketicket.search(net, loader, density=0.5, epochs=10)
net = spiketicket.load_into(spiketicket.whiten(MyNet(inputs=24), channels=3), ticket)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.data.whitening import LEAST_SAMPLES, MOST_SAMPLES, float_filters
from spiketicket.errors import UserError
from spiketicket.experiment.loader import Loader
from spiketicket.machine.typed import typed
from spiketicket.models.encoder import EncodedNetwork, InputEncoder


@typed
def whiten(
    model: nn.Module,
    loader: Iterable[Any] | None = None,
    *,
    channels: int | None = None,
    seed: int = 0,
) -> EncodedNetwork:
    """Put ``model`` behind frozen filters that whiten 2x2 patches, and a ReLU.

    The filters (:mod:`spiketicket.models.encoder`) are computed from images, and are no part of a
    search: data-dependent, frozen, not searched. A ticket that is found holds them. The model takes
    their output, ``[B, 2k, H, W]`` with ``k = min(12, 4 C)``, or of frames ``[T, B, 2k, H, W]``.

    Args:
        model: becomes the module ``network`` of what is returned; it is not copied.
        loader: as of :func:`spiketicket.search`; the first 5,000 inputs of its first epoch, as they
            are, decide the filters. Give training samples alone.
        channels: C, in place of a loader, where :func:`spiketicket.load_into` is to bring filters.
        seed: of torch's random numbers in the loader.

    Raises:
        UserError: neither a loader nor channels, or both; fewer than 100 inputs, or constant ones;
            they are no images.
    """
    if (loader is None) == (channels is None):
        raise UserError("give a loader or channels, one of them", where="whiten")
    if loader is None:
        if channels is None or channels < 1:
            raise UserError("must be 1 or more", where="channels", value=channels)
        return EncodedNetwork(InputEncoder(channels), model)
    images = _images(Loader(source=loader, where="loader", seed=seed))
    encoder = InputEncoder(images.shape[1])
    encoder.fit(torch.from_numpy(float_filters(images.numpy())))
    made = EncodedNetwork(encoder, model)
    found = next(model.parameters(), None)
    return made if found is None else made.to(found.device)


def _images(loader: Loader) -> Tensor:
    """Images or single frames ``[N, C, H, W]`` of the first samples."""
    found, count = [], 0
    for x, labels in loader.batches():
        batch = len(labels)
        if x.dim() not in (4, 5) or not x.is_floating_point():
            raise UserError(
                "whitening takes float images [B, C, H, W] or frames [T, B, C, H, W]",
                where="loader",
                value=f"{x.dtype} {list(x.shape)}",
            )
        axis = 1 if x.dim() == 5 and x.shape[1] == batch else 0
        x = x.narrow(axis, 0, min(batch, MOST_SAMPLES - count))
        found.append((x.flatten(0, 1) if x.dim() == 5 else x).detach().cpu())
        count += min(batch, MOST_SAMPLES - count)
        if count == MOST_SAMPLES:
            break
    if count < LEAST_SAMPLES:
        raise UserError(
            f"whitening needs {LEAST_SAMPLES} samples or more", where="loader", value=count
        )
    return torch.cat(found)
