"""Layers with int8 weights as PyTorch computes them, bit for bit as the engine does.

    y = scale * sum(code * x) + bias

Of spikes and other small whole numbers the sum is exact in float32, whatever its order, as long as
it stays below 2^24; then follow one float32 product and one float32 sum.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError


class _Held:
    """What the layers have in common."""

    codes: Tensor
    """float32 of whole numbers, in the shape of the weight."""
    scales: Tensor
    """float32 ``[outputs]``."""

    def forward(self, x: Tensor) -> Tensor:
        """See the module; in float32 whatever the precision around it."""
        with torch.autocast(x.device.type, enabled=False):
            return self._sums(x.float())

    def _scaled(self, sums: Tensor, axes: int) -> Tensor:
        """``axes`` lie behind the channels."""
        shape = (-1, *[1] * axes)
        y = sums * self.scales.view(shape)
        bias: Tensor | None = cast("Any", self).bias
        return y if bias is None else y + bias.view(shape)

    def _sums(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Int8Linear(_Held, nn.Linear):
    """``nn.Linear`` with codes."""

    def _sums(self, x: Tensor) -> Tensor:
        return self._scaled(functional.linear(x, self.codes), 0)


class _Convolution(_Held):
    def _sums(self, x: Tensor) -> Tensor:
        sums: Tensor = cast("Any", self)._conv_forward(x, self.codes, None)
        return self._scaled(sums, self.codes.dim() - 2)


class Int8Conv1d(_Convolution, nn.Conv1d):
    """``nn.Conv1d`` with codes."""


class Int8Conv2d(_Convolution, nn.Conv2d):
    """``nn.Conv2d`` with codes."""


class Int8Conv3d(_Convolution, nn.Conv3d):
    """``nn.Conv3d`` with codes."""


_CLASSES: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.Linear: Int8Linear,
    nn.Conv1d: Int8Conv1d,
    nn.Conv2d: Int8Conv2d,
    nn.Conv3d: Int8Conv3d,
}


def hold_codes(layer: nn.Module, codes: Tensor, scales: Tensor) -> None:
    """Make a layer, which has the float weights already, compute with codes, in place.

    Its weight is no longer trained: what it computes does not depend on it.

    Raises:
        UserError: it is no linear layer and no convolution.
    """
    made = _CLASSES.get(type(layer))
    if made is None:
        raise UserError(
            "int8 weights are of a linear layer or a convolution", value=type(layer).__name__
        )
    layer.__class__ = made
    layer.register_buffer("codes", codes.float(), persistent=False)
    layer.register_buffer("scales", scales.clone(), persistent=False)
    cast("Tensor", layer.weight).requires_grad_(False)
