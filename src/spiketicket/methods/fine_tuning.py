"""Fine-tuning of a weight ticket, and its control.

ticket_finetuned         the ticket, its mask fixed, surviving weights trained further
ticket_finetune_control  as many steps for everything but the ticket's weights, where there is any
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

from spiketicket.methods.budgets import tuning_budget
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import load_state
from spiketicket.methods.weights import attach_kept, flipped_signs
from spiketicket.models.blocks import DataShape
from spiketicket.models.prunable import prunable
from spiketicket.recipe import ModelConfig, NeuronConfig, Recipe, registry
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee

TICKET, CONTROL = "ticket_finetuned", "ticket_finetune_control"


def tuned(recipe: Recipe) -> Iterator[Stage]:
    """The stages of fine-tuning that a recipe asks for."""
    epochs = int(getattr(recipe.ticket, "fine_tune_epochs", 0))
    if not epochs:
        return
    affine = recipe.model.bn_affine or bool(getattr(recipe.ticket, "fine_tune_bn_affine", False))
    stage = functools.partial(
        Stage,
        role="tuned",
        model=_with_affine(recipe.model, affine),
        train=tuning_budget(recipe.train, epochs),
        needs=("ticket",),
    )
    yield stage(name=TICKET, title="ticket, fine-tuned", prepare=_prepare_tuned)
    if _has_rest(recipe.model, recipe.neuron, affine):
        yield stage(name=CONTROL, title="ticket, rest trained", prepare=_prepare_tuned)


def _with_affine(model: ModelConfig, affine: bool) -> ModelConfig:
    return model.model_copy(update={"bn_affine": affine})


@functools.lru_cache(maxsize=64)
def _has_rest(model: ModelConfig, neuron: NeuronConfig, affine: bool) -> bool:
    """Whether a net has something to train beside its weights, and so fine-tuning a control.

    That is a bias, or BatchNorm's scale and shift where fine-tuning trains them.
    """
    # What a network is made of does not depend on its images; every network takes this size.
    shape = DataShape(channels=1, height=64, width=64, classes=2, frames=model.timesteps)
    network = registry.load_network(model.name)
    with torch.device("meta"):
        built = network.build(_with_affine(model, affine), neuron, shape, "eager")
    weights = {id(layer.weight) for layer in prunable(built).values()}
    return any(id(parameter) not in weights for parameter in built.parameters())


def _prepare_tuned(stage: Stage, scene: Scene) -> Prepared:
    model, path = scene.model, scene.earlier("ticket").ticket
    ticket = Ticket.load(path)
    load_state(model, ticket, path)
    layers = {layer.name: layer for layer in ticket.layers}
    if stage.name == CONTROL:
        attach_kept(model, layers, seed=None)
        rest = [p for n, p in model.named_parameters() if not n.endswith(".original")]
        for parameter in rest:
            parameter.requires_grad_(True)
        trainee = Trainee(model=model, parameters=rest, optimizer=scene.train.weights)
        return Prepared(trainee=trainee)
    found = attach_kept(model, layers, seed=scene.seed)
    return Prepared(
        trainee=Trainee(model=model, parameters=found, optimizer=scene.train.weights),
        finish=functools.partial(flipped_signs, model, layers),
    )
