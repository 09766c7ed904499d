"""Six 3x3 convolutions in the shape of airbench's ResNet-9 form, without biases (Jordan 2024).

    64-M-64 | 256-M-256 | 256-M-256 | mean over positions | classes

Three pairs of convolutions, the channels times ``width``. ``M`` is a 2x2 maximum of the first
convolution's sums, before BatchNorm and neuron, so that a quarter of the neurons are computed.
The linear classifier sees the mean over the positions that are left (4x4 of a 32x32 image) and over
the time steps. 1,958,080 weights at 10 classes, three channels and width 1.

The order of convolution, pooling, normalisation and the groups are those of "94% on CIFAR-10 in
3.29 Seconds on a Single GPU" (Jordan, arXiv 2404.00498). ``shortcuts`` are its residual groups
(there from airbench96 on), as membrane shortcuts (Hu et al., arXiv 2112.08954): the second neuron
of a pair is given the sum of its own current and the first's, both after BatchNorm, so that spikes
stay 0 or 1.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from annotated_types import Interval, Len
from torch import Tensor, nn

from spiketicket.models.blocks import (
    Block,
    DataShape,
    conv_block,
    fire,
    make_neuron,
    normalise,
    time_first,
)
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import ModelConfig, NeuronConfig
from spiketicket.recipe.shapes import resconv6_channels, resconv6_pools


class Config(ModelConfig):
    """Settings of the network beside those that all have."""

    name: Literal["resconv6"] = "resconv6"
    logit_norm: bool = True
    """Whether a BatchNorm without scale and shift of its own normalises the logits."""
    shortcuts: bool = False
    """Whether the second neuron of each pair is given the first's current as well."""
    channels: Annotated[tuple[Annotated[int, Interval(ge=1, le=65536)], ...], Len(6, 6)] | None = (
        None
    )
    """Outputs of the six convolutions, in place of the plan times ``width``."""


class ResConv6(nn.Module):
    """Logits ``[B, classes]`` of images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]``."""

    global_pooling = True
    """The classifier sees the mean over positions."""

    def __init__(
        self, config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel
    ) -> None:
        super().__init__()
        pooled = resconv6_pools(shape)
        self.timesteps, self.shortcuts = config.timesteps, config.shortcuts
        channels, blocks = shape.channels, []
        widths = resconv6_channels(config.width, config.channels, config.shortcuts)
        for width, pool in zip(widths, pooled, strict=True):
            block = conv_block(
                channels,
                width,
                make_neuron(neuron, kernel),
                bn_affine=config.bn_affine,
                halve=pool,
                pool_first=True,
            )
            blocks.append(block)
            channels = width
        self.features = nn.ModuleList(blocks)
        self.classifier = nn.Linear(channels, shape.classes, bias=False)
        self.logit_norm: nn.BatchNorm1d | None = None
        if config.logit_norm:
            self.logit_norm = nn.BatchNorm1d(shape.classes, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.timesteps
        h = time_first(x, steps)
        blocks = [cast("Block", block) for block in self.features]
        for first, second in zip(blocks[::2], blocks[1::2], strict=True):
            h = _pair(first, second, h, steps) if self.shortcuts else second(first(h, steps), steps)
        logits: Tensor = self.classifier(h.float().mean((0, -2, -1)))
        return logits if self.logit_norm is None else normalise(logits[None], self.logit_norm)[0]


def _pair(first: Block, second: Block, x: Tensor, steps: int) -> Tensor:
    """Two blocks with a shortcut around the second's synapses."""
    sums = first.sums(x)
    current = normalise(sums, first.norm)
    spikes = fire(current, first.neuron, steps).to(sums.dtype)
    total = normalise(second.sums(spikes), second.norm) + current
    return fire(total, second.neuron, steps).to(sums.dtype)


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch's own initial values, to be replaced by a seed's."""
    return ResConv6(config, neuron, shape, kernel)
