"""What a control is told of the search that it stands beside, and what several have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from spiketicket.errors import UserError
from spiketicket.methods.scene import TRAINED_START, Prepared, Scene
from spiketicket.methods.states import invert
from spiketicket.methods.weights import WeightStart, attach_trained
from spiketicket.recipe import ModelConfig, Recipe
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee


@dataclass(frozen=True)
class Asked:
    """A control asked for.

    Args:
        recipe: the run's.
        dense_as: the stage that trains exactly what the dense control does, or "".
        frozen_start: how the frozen weights of a control start: as those of the ticket.
    """

    recipe: Recipe
    dense_as: str = ""
    frozen_start: WeightStart = TRAINED_START

    @property
    def trained_model(self) -> ModelConfig:
        """The network of the controls that train weights."""
        affine = self.recipe.controls.bn_affine
        model = self.recipe.model
        return model if affine is None else model.model_copy(update={"bn_affine": affine})


def ticket_masks(scene: Scene) -> dict[str, Tensor]:
    """The ticket's masks by layer.

    Raises:
        UserError: its file is missing or damaged, or is of another network.
    """
    path = scene.earlier("ticket").ticket
    found = {layer.name: torch.from_numpy(layer.mask.copy()) for layer in Ticket.load(path).layers}
    for name, weight in scene.layers().items():
        if name not in found or found[name].shape != weight.shape:
            raise UserError("the ticket is for another network", where=str(path), value=name)
    return found


def trained(scene: Scene, masks: Mapping[str, Tensor] | None = None) -> Prepared:
    """Fresh weights of the seed, trained under masks by layer if any."""
    return _prepared(scene, TRAINED_START, frozen=False, masks=masks)


def frozen(
    scene: Scene,
    start: WeightStart,
    masks: Mapping[str, Tensor],
    signs: Mapping[str, Tensor] | None = None,
) -> Prepared:
    """Fresh weights of the seed under masks, never trained: only BatchNorm statistics move.

    ``signs`` by layer, of the weight's shape, invert weights where they are negative.
    """
    made = _prepared(scene, start, frozen=True, masks=masks)
    if signs is not None:
        invert(scene.model, signs)
    return made


def _prepared(
    scene: Scene, start: WeightStart, *, frozen: bool, masks: Mapping[str, Tensor] | None
) -> Prepared:
    parameters = attach_trained(
        scene.model,
        binary=scene.binary,
        seed=scene.seed,
        start=start,
        frozen=frozen,
        masks=masks,
    )
    return Prepared(
        trainee=Trainee(
            model=scene.model,
            parameters=[] if frozen else parameters,
            optimizer=scene.train.weights,
        )
    )
