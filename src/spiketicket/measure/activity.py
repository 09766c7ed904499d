"""What a network did on some images: operations of its layers, activity of its neurons."""

from __future__ import annotations

from dataclasses import dataclass

from spiketicket.measure.pairs import InputKind

GROUPS = (
    "input_encoder",
    "conv",
    "linear",
    "classifier",
    "conv_pep",
    "encoder_linear",
    "attention",
    "head",
    "selector",
)
"""The fixed filters before any network, then those of a CNN, then those of a transformer."""


@dataclass(frozen=True, kw_only=True)
class LayerOperations:
    """Operations of one layer an image.

    ``calls`` is how often it runs per image: at how many time steps (patches, where ConvPEP sees
    each alone). ``acs`` or ``macs`` is the number of pairs, the other is 0; ``ac_units`` counts
    an accumulation of the number n as n; ``dense`` counts as if nothing were zero; ``inputs``
    are the values it reads, zero or not, of ``input_bits`` each: 0 if they are analog.
    """

    name: str
    group: str
    kind: str
    calls: float
    input: InputKind
    input_density: float
    inputs: float
    input_bits: int
    dense: float
    macs: float
    acs: float
    ac_units: float


@dataclass(frozen=True, kw_only=True)
class NeuronActivity:
    """What one layer of neurons did.

    ``rate`` is the share of outputs that are not zero, for each time step (what is computed once
    for all steps shows at each of them). ``updates`` counts the membrane potentials computed an
    image, 0 where a neuron has none. ``outputs`` and ``active`` count those really computed, over
    all images, of ``bits`` each: 0 if they are analog.
    """

    name: str
    group: str
    kind: str
    size: int
    rate: tuple[float, ...]
    updates: float
    bits: int
    outputs: int
    active: int


@dataclass(frozen=True)
class Operations:
    """What a model did on ``images`` images, layers and neurons in the order they ran."""

    images: int
    layers: tuple[LayerOperations, ...]
    neurons: tuple[NeuronActivity, ...]

    def groups(self) -> dict[str, dict[str, float]]:
        """Sums by group, only of the groups that are there."""
        present = [g for g in GROUPS if any(layer.group == g for layer in self.layers)]
        return {group: self._sums((group,)) for group in present}

    def total(self) -> dict[str, float]:
        """Sums over everything."""
        return self._sums(GROUPS)

    def _sums(self, groups: tuple[str, ...]) -> dict[str, float]:
        layers = [layer for layer in self.layers if layer.group in groups]
        updates = [neuron.updates for neuron in self.neurons if neuron.group in groups]
        # Whole numbers over all images are added up, so that a mean is rounded once.
        whole = {k: sum(round(getattr(x, k) * self.images) for x in layers) for k in _SUMS}
        return {**{k: n / self.images for k, n in whole.items()}, "updates": float(sum(updates))}

    @property
    def activation_sparsity(self) -> float:
        """Share of zeros among all outputs of all neurons but those of the patches' selector."""
        neurons = [neuron for neuron in self.neurons if neuron.group != "selector"]
        outputs = sum(neuron.outputs for neuron in neurons)
        silent = outputs - sum(neuron.active for neuron in neurons)
        return silent / outputs if outputs else 0.0


_SUMS = ("dense", "macs", "acs", "ac_units")
