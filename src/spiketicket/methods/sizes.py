"""Whether a recipe's network takes the smaller pictures of ``train.size_ramp``."""

from __future__ import annotations

import torch

from spiketicket.errors import UserError
from spiketicket.methods.building import build_network
from spiketicket.models.blocks import DataShape
from spiketicket.recipe import Recipe
from spiketicket.training.schedule import smaller

_WHERE = "train.size_ramp"


def check_sizes(recipe: Recipe, shape: DataShape, *, pictures: bool) -> None:
    """Refuse a ramp of sizes that the data or the network cannot follow.

    The network of the full size is run on two black pictures of each smaller one.

    Raises:
        UserError: the data are frames of events, whose counts a mean over areas would change, a
            side is no smaller than the pictures, or the network's layers fix the size.
    """
    sides = sorted({side for _, side in recipe.train.size_ramp})
    if not sides:
        return
    if not pictures:
        raise UserError(
            "frames count events: they cannot be reduced as pictures are",
            where=_WHERE,
            value=recipe.train.size_ramp,
            remedy="Leave it out",
        )
    short = min(shape.height, shape.width)
    if sides[-1] >= short:
        raise UserError(
            f"must be less than the pictures' {short} pixels",
            where=_WHERE,
            value=sides[-1],
            remedy="The remaining epochs are at full size",
        )
    # Whichever kernel computes the neurons, the layers are the same; this one needs no compiler.
    train = recipe.train.model_copy(update={"kernel": "eager"})
    whole = torch.zeros(2, shape.channels, shape.height, shape.width)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = build_network(recipe.model_copy(update={"train": train}), shape).eval()
        for side in sides:
            try:
                network(smaller(whole, side))
            # A network may fail on another size in any way.
            except Exception as error:
                raise UserError(
                    f"{recipe.model.name} takes pictures of one size only"
                    f" ({str(error).splitlines()[0]})",
                    where=_WHERE,
                    value=side,
                    remedy="Leave it out, or use a network with global pooling, such as resnet19",
                ) from error
