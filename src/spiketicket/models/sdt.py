"""Spike-driven Transformer v1: membrane shortcuts, every layer but the first sees binary spikes.

Yao et al., NeurIPS 2023. Preset 2-512 has 10,233,418 parameters with BatchNorm's; the published
10,233,546 count 2 x 64 of a layer that its forward pass never uses.
With ``neuron.name = "relu"`` and ``timesteps = 1`` it is the ANN twin.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from spiketicket.models.blocks import DataShape
from spiketicket.models.transformer import SpikingTransformer, TransformerConfig
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import NeuronConfig


class Config(TransformerConfig):
    """Sizes and token choice: see :class:`TransformerConfig`."""

    name: Literal["sdt"] = "sdt"
    qkv_bias: bool = False


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch's own initial values, to be replaced by a seed."""
    return SpikingTransformer(config, neuron, shape, kernel, membrane=True)
