"""A forward pass in training: its precision, what is drawn in it, and what BatchNorm needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.parallel import in_chunks
from spiketicket.streams import Stream


def called(model: nn.Module, x: Tensor, count: int) -> Tensor:
    """Logits of ``count`` inputs in training.

    Raises:
        UserError: it is a single one, and BatchNorm would divide by no deviation.
    """
    try:
        with in_chunks():
            logits: Tensor = model(x)
    except ValueError as error:
        if count == 1 and "more than 1 value per channel" in str(error):
            raise UserError(
                "a training batch of one sample has no BatchNorm statistics",
                remedy="Use batches of two or more: train.batch_size, or drop_last=True of a"
                " DataLoader",
            ) from error
        raise
    return logits


@contextlib.contextmanager
def drawing(model: nn.Module, device: torch.device, seed: int, *at: int) -> Iterator[None]:
    """What a custom network draws of torch, as dropout does, is a function of (seed, at).

    The generator goes on afterwards as if nothing had been drawn. The networks of this package
    draw nothing of it.
    """
    inner = getattr(model, "network", model)  # behind an encoder
    if type(inner).__module__.startswith("spiketicket.models."):
        yield
        return
    generator = torch.default_generator
    if device.type == "cuda":
        generator = torch.cuda.default_generators[device.index or 0]
    state = generator.get_state()
    generator.manual_seed(int(Stream(seed, "forward", *at).bits(1)[0]))
    try:
        yield
    finally:
        generator.set_state(state)


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """bfloat16 autocast on the device for ``bf16``, else nothing."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield
