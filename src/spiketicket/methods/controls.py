"""The controls a weight ticket is judged against, and its fine-tuning.

dense             the dense net of the same condition, trained
random_trained    a random mask of the ticket's density in every layer, its weights trained
random_frozen     such a mask on the frozen random weights; only BatchNorm statistics move
ticket_finetuned         the ticket, its mask fixed, surviving weights trained further
ticket_finetune_control  as many steps for everything but the ticket's weights, where there is any

Biases start at zero. The trained controls train them, the ticket and the frozen control do not:
a ticket search trains no weight.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods.masks import random_masks
from spiketicket.methods.scene import TRAINED_START, Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.methods.usable import require_usable
from spiketicket.methods.weights import WeightStart, attach_kept, attach_trained, flipped_signs
from spiketicket.models.blocks import DataShape
from spiketicket.models.probe import inputs_probe
from spiketicket.models.prunable import prunable
from spiketicket.recipe import ModelConfig, NeuronConfig, Recipe, TrainConfig, registry
from spiketicket.recipe.weight_shapes import weight_shapes
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket
from spiketicket.ticket.codec import MAX_WEIGHTS
from spiketicket.training.forward import called
from spiketicket.training.loop import Trainee

TICKET, CONTROL = "ticket_finetuned", "ticket_finetune_control"


def beside(
    recipe: Recipe,
    *search: Stage,
    dense_as: str = "",
    frozen_start: WeightStart = TRAINED_START,
) -> tuple[Stage, ...]:
    """A search's stages, the last one the ticket, with the controls that the recipe asks for.

    Args:
        recipe: says which controls, and how long fine-tuning is.
        search: what the method itself trains.
        dense_as: the stage that trains exactly what the dense control does, if there is one.
        frozen_start: how the weights of the frozen control start: as those of the ticket.
    """
    return (*search, *_controls(recipe, dense_as, frozen_start))


def _controls(recipe: Recipe, dense_as: str, frozen_start: WeightStart) -> Iterator[Stage]:
    wanted, affine = recipe.controls, recipe.controls.bn_affine
    trained = recipe.model if affine is None else _with_affine(recipe.model, affine)
    if wanted.dense:
        yield Stage(
            name="dense",
            title="dense, trained",
            role="control",
            model=trained,
            ignores=ALL,
            same_as=dense_as,
            prepare=functools.partial(_prepare, start=TRAINED_START),
        )
    if wanted.random_trained:
        yield Stage(
            name="random_trained",
            title="random mask, trained",
            role="control",
            model=trained,
            needs=("ticket",),
            ignores=ALL,
            prepare=functools.partial(_prepare, start=TRAINED_START),
        )
    if wanted.random_frozen:
        yield Stage(
            name="random_frozen",
            title="random mask, frozen",
            role="control",
            trains=(),
            needs=("ticket",),
            ignores=ALL,
            prepare=functools.partial(_prepare, start=frozen_start),
        )
    if epochs := int(getattr(recipe.ticket, "fine_tune_epochs", 0)):
        yield from _tuned(recipe, epochs)


def _tuned(recipe: Recipe, epochs: int) -> Iterator[Stage]:
    affine = recipe.model.bn_affine or bool(getattr(recipe.ticket, "fine_tune_bn_affine", False))
    tuned = functools.partial(
        Stage,
        role="tuned",
        model=_with_affine(recipe.model, affine),
        train=tuning_budget(recipe.train, epochs),
        needs=("ticket",),
    )
    yield tuned(name=TICKET, title="ticket, fine-tuned", prepare=_prepare_tuned)
    if _has_rest(recipe.model, recipe.neuron, affine):
        yield tuned(name=CONTROL, title="ticket, rest trained", prepare=_prepare_tuned)


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


def build_network(recipe: Recipe, shape: DataShape, model: ModelConfig | None = None) -> nn.Module:
    """The recipe's network, or another by its config, with torch's own initial weights."""
    config = model or recipe.model
    _require_size(config, shape)
    module = registry.load_network(config.name)
    network: nn.Module = module.build(config, recipe.neuron, shape, recipe.train.kernel)
    if registry.is_custom(config.name) and not any(p.is_meta for p in network.parameters()):
        _require_usable(network, shape, recipe.train.batch_size)
    for layer in prunable(network).values():
        # torch draws biases from its global stream, which no seed of ours reaches
        if isinstance(layer.bias, nn.Parameter):
            nn.init.zeros_(layer.bias)
    return network


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


def _prepare(stage: Stage, scene: Scene, *, start: WeightStart) -> Prepared:
    """The dense net, or a random mask with as many weights in every layer as the ticket keeps."""
    masks: dict[str, Tensor] | None = None
    if "ticket" in stage.needs:
        shapes = {name: tuple(weight.shape) for name, weight in scene.layers().items()}
        kept = scene.earlier("ticket").kept_by_layer()
        masks = random_masks(shapes, kept, Stream(scene.seed, "random mask"))
    frozen = not stage.trains
    parameters = attach_trained(
        scene.model,
        binary=scene.binary,
        seed=scene.seed,
        start=start,
        frozen=frozen,
        masks=masks,
    )
    trained = [] if frozen else parameters
    return Prepared(
        trainee=Trainee(model=scene.model, parameters=trained, optimizer=scene.train.weights)
    )


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


def tuning_budget(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a fine-tuning stage: at all time steps from the start."""
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": ()})


def load_state(
    model: nn.Module, ticket: Ticket, path: Path, prefixes: tuple[str, ...] = ("",)
) -> None:
    """Copy into a model what a ticket has of it below some prefixes.

    Raises:
        UserError: the ticket, from ``path``, is for another network.
    """
    state = {
        k: torch.from_numpy(v.copy()) for k, v in ticket.state().items() if k.startswith(prefixes)
    }
    _, unexpected = model.load_state_dict(state, strict=False)
    if unexpected:
        raise UserError("the ticket is for another network", where=str(path), value=unexpected[0])
