"""Spikformer: ConvPEP and softmax-free spiking attention, residuals that add spikes.

Zhou et al., ICLR 2023. Presets: nano (64, 2 blocks), tiny (192, 12), small (384, 12), 4-384, 2-256.
With ``neuron.name = "relu"`` and ``timesteps = 1`` it is the ANN twin; ``attention = "softmax"`` gives that
twin standard attention.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from spiketicket.models._blocks import DataShape
from spiketicket.models._transformer import SpikingTransformer, TransformerConfig
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import NeuronConfig


class Config(TransformerConfig):
    """Sizes and token choice: see :class:`TransformerConfig`."""

    name: Literal["spikformer"] = "spikformer"


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch own initial values, to be replaced by a seed."""
    return SpikingTransformer(config, neuron, shape, kernel, membrane=False)
