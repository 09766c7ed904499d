"""The fixed input encoder of any network: frozen filters on 2x2 patches, and what fires on them.

    y = conv(x, filters)          [k, C, 2, 2], the image zero-padded at the bottom and the right
    ReLU or neuron of (y, -y)     2k channels of the image's own size

The filters whiten patches (:mod:`spiketicket.data.whitening`), after airbench (Jordan 2024,
arXiv 2404.00498). They are computed from training images and then stay: data-dependent, frozen,
not searched. The convolution is computed as one of 3x3 with a padding of 1, of which the first row
and column are zero. With the ReLU a static image is encoded once for all time steps.

A network of this package has the encoder as its module ``input_encoder`` and calls it before its
own forward: its type, and the names of its layers, stay what they are. A custom network, which may
do anything with its modules, becomes the module ``network`` of an :class:`EncodedNetwork`.
"""

from __future__ import annotations

import contextlib
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.models.blocks import DataShape, fire, make_neuron
from spiketicket.neurons.lif import Kernel
from spiketicket.neurons.relu import ReLU
from spiketicket.recipe import ModelConfig, NeuronConfig, registry
from spiketicket.recipe.shapes import ENCODER, behind_encoder, filter_count


class InputEncoder(nn.Module):
    """``forward(x, steps)``: images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]`` encoded.

    Gives ``[B, 2k, H, W]`` or ``[T, B, 2k, H, W]``: the latter of images too where the neuron has a
    state, and there is more than one step. Until :meth:`fit` a filter takes one pixel of the patch.

    Args:
        channels: C, of the images.
        neuron: works on the filtered images: a ReLU unless another is given.
    """

    filters: Tensor

    def __init__(self, channels: int, neuron: nn.Module | None = None) -> None:
        super().__init__()
        pixels = torch.eye(4 * channels)[: filter_count(channels)]
        self.register_buffer("filters", pixels.view(-1, channels, 2, 2))
        self.neuron = neuron or ReLU()

    @torch.no_grad()
    def fit(self, filters: Tensor) -> None:
        """Take other filters, float32 ``[k, C, 2, 2]``."""
        self.filters.copy_(filters)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        frames = x if x.dim() == 5 else x.unsqueeze(0)
        y = self.filtered(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        encoded = fire(y, self.neuron, steps)
        # An image that no step of time has changed is still one.
        return encoded if len(encoded) > 1 or x.dim() == 5 else encoded[0]

    def convolution(self) -> nn.Conv2d:
        """The filters and their negatives as a frozen convolution of 3x3, for who writes or counts
        it: the first row and column of its kernels are zero.
        """
        weight = functional.pad(torch.cat([self.filters, -self.filters]), (1, 0, 1, 0))
        made = nn.Conv2d(weight.shape[1], len(weight), 3, padding=1, bias=False)
        made.weight = nn.Parameter(weight, requires_grad=False)
        return made

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates of one image, those of the negatives too; as if nothing were 0."""
        return 2 * self.filters.numel() * height * width

    def filtered(self, images: Tensor) -> Tensor:
        """What fires: float32 ``[N, 2k, H, W]`` of images ``[N, C, H, W]``."""
        kind = images.device.type
        # Small eigenvalues are blown up, which bfloat16 has too few digits for.
        exact = contextlib.nullcontext()
        if torch.is_autocast_enabled(kind):
            exact = torch.autocast(kind, enabled=False)  # type: ignore[assignment]
        with exact:
            kernel = functional.pad(self.filters, (1, 0, 1, 0))
            rows = images.float().contiguous(memory_format=torch.channels_last)
            y = functional.conv2d(rows, kernel, padding=1)
            return torch.cat([y, -y], 1)


class EncodedNetwork(nn.Module):
    """A custom network behind an encoder; ``timesteps`` are the network's."""

    def __init__(self, encoder: InputEncoder, network: nn.Module) -> None:
        super().__init__()
        self.input_encoder, self.network = encoder, network

    @property
    def timesteps(self) -> int:
        """As the network has it."""
        return int(self.network.timesteps)  # type: ignore[arg-type]

    @timesteps.setter
    def timesteps(self, steps: int) -> None:
        self.network.timesteps = steps  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Any:
        """What the network makes of encoded images or frames."""
        steps = getattr(self.network, "timesteps", 1)
        return self.network(self.input_encoder(x, int(steps)))


def build_model(
    config: ModelConfig, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network that a config names, behind its encoder if it has one.

    Args:
        config: the network's.
        neuron: of its neurons.
        shape: of the data.
        kernel: how neurons are computed.

    Raises:
        UserError: as the network; spikes of a custom one's own neurons.
    """
    behind = behind_encoder(config.encoder, shape, config.timesteps)
    if config.encoder == "none":
        return _built(config, neuron, behind, kernel)
    fires = None
    if config.encoder == "whiten-lif":
        if neuron.name == "custom":
            raise UserError(
                "a custom network brings its own neurons, and none for an encoder",
                where="model.encoder",
                value=config.encoder,
                remedy='Use "whiten", or name a neuron of this package: neuron.name = "lif"',
            )
        fires = make_neuron(neuron, kernel)
    network, encoder = _built(config, neuron, behind, kernel), InputEncoder(shape.channels, fires)
    if registry.is_custom(config.name):
        return EncodedNetwork(encoder, network)
    network.add_module(ENCODER, encoder)
    network.register_forward_pre_hook(_encode)
    return network


def encoder_of(network: nn.Module) -> InputEncoder | None:
    """The encoder before a network, if it has one."""
    found = getattr(network, ENCODER, None)
    return found if isinstance(found, InputEncoder) else None


def encoded(network: nn.Module, x: Tensor) -> Tensor:
    """What a network of this package sees of images or frames: those of its encoder, if any."""
    encoder = encoder_of(network)
    return x if encoder is None else encoder(x, int(cast("Any", network).timesteps))


def _built(
    config: ModelConfig, neuron: NeuronConfig, shape: DataShape, kernel: Kernel
) -> nn.Module:
    made: nn.Module = registry.load_network(config.name).build(config, neuron, shape, kernel)
    return made


def _encode(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A forward pre-hook."""
    return (encoded(network, inputs[0]), *inputs[1:])
