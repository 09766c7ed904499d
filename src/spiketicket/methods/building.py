"""Making the network of a recipe, before any weight of a seed, and its encoder, which has none."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spiketicket.data.batches import TrainBatches
from spiketicket.data.whitening import whitening_filters, whitening_samples
from spiketicket.errors import UserError
from spiketicket.methods.usable import require_usable
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import build_model, encoder_of
from spiketicket.models.probe import inputs_probe
from spiketicket.models.prunable import prunable
from spiketicket.recipe import ModelConfig, NeuronConfig, Recipe, registry
from spiketicket.recipe.weight_shapes import weight_shapes
from spiketicket.ticket.codec import MAX_WEIGHTS
from spiketicket.training.forward import called


def build_network(
    recipe: Recipe,
    shape: DataShape,
    model: ModelConfig | None = None,
    neuron: NeuronConfig | None = None,
) -> nn.Module:
    """The recipe's network, or another by its config, with torch's own initial weights.

    Args:
        recipe: names the network, its neuron and how it is computed.
        shape: of the data.
        model: the network's config where it is not the recipe's.
        neuron: the neuron's where it is not the recipe's.

    Raises:
        UserError: it is larger than a ticket can be, or a custom one that cannot be searched.
    """
    config = model or recipe.model
    _require_size(config, shape)
    network = build_model(config, neuron or recipe.neuron, shape, recipe.train.kernel)
    if registry.is_custom(config.name) and not any(p.is_meta for p in network.parameters()):
        _require_usable(network, shape, recipe.train.batch_size)
    for layer in prunable(network).values():
        # torch draws biases from its global stream, which no seed of ours reaches
        if isinstance(layer.bias, nn.Parameter):
            nn.init.zeros_(layer.bias)
    return network


def fit_encoder(network: nn.Module, batches: TrainBatches) -> None:
    """Compute the filters of a network's encoder, if it has one, from the seed's training samples.

    Raises:
        UserError: as :func:`encoder_filters`.
    """
    encoder = encoder_of(network)
    if encoder is not None:
        encoder.fit(encoder_filters(batches))


def encoder_filters(batches: TrainBatches) -> Tensor:
    """The filters float32 ``[k, C, 2, 2]`` of training samples, a function of their seed.

    Raises:
        UserError: there are too few samples, or they are constant.
    """
    chosen = whitening_samples(batches.y.cpu().numpy(), batches.seed)
    x = batches.x[torch.from_numpy(chosen).to(batches.x.device)].cpu().numpy()
    return torch.from_numpy(whitening_filters(x, batches.mean, batches.std))


def _require_size(config: ModelConfig, shape: DataShape) -> None:
    """Refuse a network larger than a ticket can be, before its memory is asked for."""
    count = 0
    for name, weight in weight_shapes(config.name, config.model_dump(), shape) or ():
        count += math.prod(weight)
        if count > MAX_WEIGHTS:
            raise UserError(
                f"a network has at most {MAX_WEIGHTS} weights, and this has more from {name} on",
                where="model",
                value=config.model_dump(exclude_defaults=True),
                remedy="Make it smaller",
            )


def _require_usable(network: nn.Module, shape: DataShape, batch_size: int) -> None:
    """Refuse a custom network that cannot be searched on data of this shape."""
    require_usable(network, inputs_probe(network, shape), classes=shape.classes)
    if batch_size == 1:
        probe = inputs_probe(network, shape)
        called(probe.model.train(), probe.x.narrow(probe.axis, 0, 1), 1)
