"""Layers and neurons of a net in one list, in the order the data passes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spiketicket.experiment.schemas import Layer, Measure, Neurons

_ROLES = frozenset(
    ["block", "blocks", "conv", "convs", "layers", "linear", "neuron", "neurons", "synapse"]
)
"""Parts of a name that say what kind of module it is, or that it holds others."""


@dataclass(frozen=True)
class Step:
    """A synapse, the neurons behind it, or both; ``name`` is short, ``full`` the module's."""

    name: str
    full: str
    layer: Layer | None
    neurons: Neurons | None


def steps(measure: Measure) -> list[Step]:
    """Every synapse with the neurons of its name, or those of the block it is the last of.

    Neurons with no such synapse keep their place between the others.
    """
    layers, neurons = measure.layers, measure.neurons
    keys = [short_name(layer.name) for layer in layers]
    waiting = [short_name(n.name) for n in neurons]
    found: list[Step] = []
    done = 0
    for index, (layer, key) in enumerate(zip(layers, keys, strict=True)):
        block = _parent(key)
        last = all(_parent(later) != block for later in keys[index + 1 :])
        names = [key, block] if last else [key]
        at = next((waiting.index(n, done) for n in names if n in waiting[done:]), None)
        if at is None:
            found.append(Step(key, layer.name, layer, None))
            continue
        found += [_alone(neuron) for neuron in neurons[done:at]]
        found.append(Step(key, layer.name, layer, neurons[at]))
        done = at + 1
    return found + [_alone(neuron) for neuron in neurons[done:]]


def short_name(name: str) -> str:
    """A module's name without what only says its role: ``encoder.blocks.0.q.linear`` is
    ``encoder.0.q``, and so are its neurons.
    """
    first, *rest = name.split(".")
    kept = [
        part.removesuffix("_conv").removesuffix("_neuron") for part in rest if part not in _ROLES
    ]
    # the product of queries, keys and values is what the neurons of the attention come after
    return ".".join([first, *("attention" if part == "product" else part for part in kept)])


def _alone(neurons: Neurons) -> Step:
    return Step(short_name(neurons.name), neurons.name, None, neurons)


def density(layer: Layer) -> float | None:
    """Share of a synapse's weights that its mask keeps; None for a product without weights."""
    return layer.kept / layer.weights if layer.weights else None


def groups(items: Sequence[Step]) -> list[tuple[str, list[Step]]]:
    """Neighbouring steps of one group, the encoder's two as one; neurons stay with the last."""
    found: list[tuple[str, list[Step]]] = []
    for item in items:
        name = item.layer.group if item.layer else (found[-1][0] if found else "")
        name = "encoder" if name in ("encoder_linear", "attention") else name
        if not found or found[-1][0] != name:
            found.append((name, []))
        found[-1][1].append(item)
    return found


def _parent(name: str) -> str:
    return name.rpartition(".")[0] or name
