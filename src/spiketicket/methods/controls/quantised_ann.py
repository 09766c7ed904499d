"""The quantised-ANN twin at equal bits: shown beside the ticket, and never judged.

A neuron that may spike at each of T time steps says one of T + 1 numbers, as much as an activation
of ceil(log2(T + 1)) bits. The twin is the same network with such activations, see
``neurons/quantised.py``, and weights as the recipe's, dense, trained with the same budget. It sees
a picture once, and of a recording every frame, as the ANN condition does.
"""

from __future__ import annotations

from dataclasses import replace

from spiketicket.data.recordings import RecordingConfig
from spiketicket.methods.controls.asked import Asked, trained
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.neurons.quantised import Config
from spiketicket.recipe import Recipe, registry


def bits(timesteps: int) -> int:
    """ceil(log2(T + 1)): bits that tell the T + 1 numbers of spikes apart."""
    return timesteps.bit_length()


def impossible(recipe: Recipe) -> str:
    """A net without spikes has no twin, nor has one whose activations meet each other."""
    if registry.is_custom(recipe.model.name):
        return "a custom network has neurons of its own"
    if recipe.neuron.name != "lif":
        return f"its neurons, {recipe.neuron.name}, do not spike over time"
    if hasattr(recipe.model, "heads"):
        return "attention multiplies activations with each other, which are no longer spikes"
    return ""


def stage(asked: Asked) -> Stage:
    """One dense training."""
    recipe, model = asked.recipe, asked.trained_model
    found = Stage(
        name="quantised_ann",
        title="quantised ANN, trained",
        role="twin",
        model=model,
        neuron=Config(bits=bits(model.timesteps)),
        ignores=ALL,
        prepare=_prepare,
    )
    if isinstance(recipe.data, RecordingConfig):
        return found
    once = model.model_copy(update={"timesteps": 1})
    train = recipe.train.model_copy(update={"timestep_ramp": ()})
    return replace(found, model=once, train=train)


def _prepare(stage: Stage, scene: Scene) -> Prepared:
    del stage
    return trained(scene)
