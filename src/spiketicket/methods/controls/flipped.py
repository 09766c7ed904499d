"""The ticket with the sign of each kept weight flipped by a coin, frozen: do its signs matter?

Zhou et al., "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", NeurIPS 2019 (arXiv
1905.01067), find that a ticket's signs matter, and its magnitudes hardly. Mask and magnitudes are
the ticket's; only BatchNorm statistics are estimated anew.
"""

from __future__ import annotations

from spiketicket.methods.controls.asked import Asked
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.methods.states import load_state
from spiketicket.methods.weights import attach_kept, flip_signs
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee


def stage(asked: Asked) -> Stage:
    """An estimate of BatchNorm statistics."""
    del asked
    return Stage(
        name="flipped",
        title="signs flipped, frozen",
        role="control",
        trains=(),
        needs=("ticket",),
        ignores=ALL,
        prepare=_prepare,
    )


def _prepare(stage: Stage, scene: Scene) -> Prepared:
    del stage
    model, path = scene.model, scene.earlier("ticket").ticket
    ticket = Ticket.load(path)
    load_state(model, ticket, path)
    flip_signs(model, scene.seed)
    attach_kept(model, {layer.name: layer for layer in ticket.layers}, seed=None)
    return Prepared(trainee=Trainee(model=model, parameters=[], optimizer=scene.train.weights))
