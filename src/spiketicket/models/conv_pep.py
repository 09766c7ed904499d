"""ConvPEP: the convolutional patch-embedding projection of the spiking transformers.

    [conv3x3 - BN - neuron (- max pool)] x 4 with D/8, D/4, D/2, D channels,
    then  tokens = h + neuron(BN(conv3x3(h)))          relative position embedding

(Spikformer, Zhou et al., ICLR 2023: "SPS".) Half of the transformer's ticket lives here, so it
is a module of its own. With an activation that has no membrane (``step``, ``sign``) and a static
image, the whole of it is computed once and not once per time step.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from spiketicket.models.blocks import fire, norm_fire, normalise, over_time
from spiketicket.recipe.shapes import CONV_PEP_STAGES


class ConvPEP(nn.Module):
    """Tokens ``[T, B, D, h, w]`` of images or frames ``[T, B, C, H, W]`` (T is 1 for an image).

    Args:
        channels: of the input.
        dim: D, divisible by 8.
        pools: how many of the four stages, counted from the last, halve height and width.
        rpe: whether the position embedding is there.
        neuron: makes the activation of a layer.
        bn_affine: whether BatchNorm has a scale and a shift.
        pool_kernel: 3 with stride 2 as published, or 2.
        membrane: hand on ``h + BN(conv(spikes))`` as a real number (Spike-driven Transformer)
            instead of a sum of spikes.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        *,
        pools: int,
        rpe: bool,
        neuron: Callable[[], nn.Module],
        bn_affine: bool,
        pool_kernel: int = 3,
        membrane: bool = False,
    ) -> None:
        super().__init__()
        widths = (channels, dim // 8, dim // 4, dim // 2, dim)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(w, affine=bn_affine) for w in widths[1:])
        self.neurons = nn.ModuleList(neuron() for _ in range(CONV_PEP_STAGES))
        self.pooled = tuple(stage >= CONV_PEP_STAGES - pools for stage in range(CONV_PEP_STAGES))
        self.pool_kernel, self.membrane = pool_kernel, membrane
        self.rpe_conv = nn.Conv2d(dim, dim, 3, padding=1, bias=False) if rpe else None
        self.rpe_norm = nn.BatchNorm2d(dim, affine=bn_affine) if rpe else None
        self.rpe_neuron = neuron() if rpe else None

    def forward(self, x: Tensor, steps: int) -> Tensor:
        h = x
        for i in range(CONV_PEP_STAGES):
            conv, norm, neuron = self.convs[i], cast("Any", self.norms[i]), self.neurons[i]
            y = over_time(conv, h)
            if self.membrane and i == CONV_PEP_STAGES - 1:
                return self._membrane_end(y, norm, neuron, steps)
            pool = self.pooled[i]
            h = norm_fire(y, norm, neuron, steps, pool and self.pool_kernel == 2)
            if pool and self.pool_kernel == 3:
                h = over_time(_POOL3, h)
        if self.rpe_conv is not None and self.rpe_norm is not None and self.rpe_neuron is not None:
            h = h + norm_fire(
                over_time(self.rpe_conv, h), self.rpe_norm, self.rpe_neuron, steps, False
            )
        return h

    def _membrane_end(
        self, y: Tensor, norm: nn.BatchNorm2d, neuron: nn.Module, steps: int
    ) -> Tensor:
        z = normalise(y, norm)
        if self.pooled[-1]:
            z = over_time(_POOL3 if self.pool_kernel == 3 else _POOL2, z)
        if self.rpe_conv is None or self.rpe_norm is None:
            return z
        spikes = fire(z, neuron, steps)
        return z + normalise(over_time(self.rpe_conv, spikes), self.rpe_norm)

    def macs(self, height: int, width: int) -> list[int]:
        """Multiply-accumulates of each convolution for one image and one step, dense."""
        counts = []
        for conv, pooled in zip(self.convs, self.pooled, strict=True):
            counts.append(cast("Tensor", conv.weight).numel() * height * width)
            if pooled:
                height, width = height // 2, width // 2
        if self.rpe_conv is not None:
            counts.append(self.rpe_conv.weight.numel() * height * width)
        return counts


class _MaxPool3(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 3, stride=2, padding=1)


_POOL3, _POOL2 = _MaxPool3(), nn.MaxPool2d(2)
