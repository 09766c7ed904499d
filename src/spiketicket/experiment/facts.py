"""What a finished stage's ``result.json`` says of its net and its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from spiketicket.data.batches import ordered_batches
from spiketicket.experiment.provenance import precision
from spiketicket.experiment.setup import Experiment
from spiketicket.measure.operations import count_operations
from spiketicket.methods.scene import Prepared
from spiketicket.methods.stages import Stage, condition
from spiketicket.models.encoder import encoder_of
from spiketicket.models.transformer import SpikingTransformer
from spiketicket.recipe.shapes import ENCODER, DataShape
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Fitted

_COUNTED_IMAGES = 256
"""First images of the test set on which operations are counted."""


def counted_operations(model: nn.Module, experiment: Experiment) -> dict[str, Any]:
    """Operations per image by group, for a transformer; see ``measure/operations.py``."""
    if not isinstance(model, SpikingTransformer):
        return {}
    x, y = (part[:_COUNTED_IMAGES] for part in experiment.test)
    data, batch = experiment.dataset, experiment.recipe.train.batch_size
    images = (inputs for inputs, _ in ordered_batches(x, y, data.mean, data.std, batch))
    return {"operations": {"images": len(y), **count_operations(model, images)}}


def net_facts(
    experiment: Experiment, stage: Stage, prepared: Prepared, ticket: Ticket
) -> dict[str, Any]:
    """What a net is: its density, its sizes, its patches."""
    recipe, layers, model = experiment.recipe, ticket.layers, prepared.trainee.model
    size, kept = sum(layer.size for layer in layers), sum(layer.kept for layer in layers)
    size = prepared.dense_weights or size
    others = sum(p.numel() for n, p in model.named_parameters() if ".parametrizations." not in n)
    return {
        "stage": stage.name,
        **precision(experiment),
        "density": kept / size,
        "binary": any(layer.kind == "binary" for layer in layers),
        "bn_affine": (prepared.model or stage.network(recipe)).bn_affine,
        "kept": kept + others,
        "parameters": size + others,
        "kept_by_layer": {layer.name: layer.kept for layer in layers},
        **_patch_facts(model, ticket, experiment.shape),
        "condition": condition(recipe, stage),
    }


def _patch_facts(model: nn.Module, ticket: Ticket, shape: DataShape) -> dict[str, Any]:
    """Tokens, ConvPEP density, density of the whole net, and dense operations by group."""
    if not isinstance(model, SpikingTransformer):
        return {}
    pep = [layer for layer in ticket.layers if layer.name.startswith("conv_pep.")]
    size, kept = sum(layer.size for layer in pep), sum(layer.kept for layer in pep)
    # A selector is part of what a ticket needs, so that its weights count as all others do.
    every = model.named_parameters()
    net = sum(p.numel() for n, p in every if ".parametrizations." not in n)
    net += sum(layer.size for layer in ticket.layers)
    return {
        "tokens": {"kept": model.kept, "of": model.tokens},
        "ranking": model.config.ranking,
        "ranker": model.config.ranker,
        "conv_pep_density": kept / size,
        "net_density": 1 - (size - kept) / net,
        "activation": model.config.activation,
        "macs": model.macs() | _encoder_macs(model, shape),
    }


def _encoder_macs(model: nn.Module, shape: DataShape) -> dict[str, int]:
    encoder = encoder_of(model)
    if encoder is None:
        return {}
    return {ENCODER: shape.frames * encoder.macs(shape.height, shape.width)}


def training_facts(
    stage: Stage, prepared: Prepared, fitted: Fitted, samples: int, found: Mapping[str, Any]
) -> dict[str, Any]:
    """How a net was trained on so many ``samples``, what that cost, and what came of it: what a
    search found, or of a fine-tuning how many signs flipped.
    """
    passes = round(samples * fitted.epochs) if fitted.epochs else 0
    return {
        "best_epoch": fitted.best_epoch,
        "trained_epochs": fitted.epochs,
        "history": [
            {k: v for k, v in record.items() if k != "wall_s"} for record in fitted.history
        ],
        "sample_passes": passes + prepared.search_passes,
        **({"is_search": True} if stage.role == "search" else {}),
        **(found if stage.role == "tuned" else {"search": dict(found)} if found else {}),
    }
