"""A model's synapses and neurons at work, counted while it runs on real inputs.

    with observed(model) as seen:
        for x in batches:
            model(x)
    seen.operations()

Every convolution, linear layer and attention product is counted by the pairs of
:mod:`spiketicket.measure.pairs`, at the time steps at which it really runs: what is the same at
every step of a static image is computed once, and counts once. A layer whose inputs are whole
numbers throughout, as spikes and their sums are, does accumulations (AC); one that ever sees
another number does multiply-accumulates (MAC). The levels of a quantised activation are added whole
in layers of signs, and multiplied in others. Neurons are counted before any pooling.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from spiketicket.measure.activity import LayerOperations, NeuronActivity, Operations
from spiketicket.measure.memory import BITS_OF_A_WHOLE_NUMBER
from spiketicket.measure.pairs import (
    KINDS,
    InputKind,
    Look,
    Pairs,
    conv_fan_out,
    count,
    linear_fan_out,
    look,
    of_levels,
    product_pairs,
    weighted,
)
from spiketicket.models.blocks import Watched
from spiketicket.models.encoder import InputEncoder
from spiketicket.models.traced.network import TracedNeuron
from spiketicket.models.transformer import SpikingTransformer
from spiketicket.models.transformer_blocks import SpikeDrivenProduct, SpikingProduct
from spiketicket.neurons.lif import LIF
from spiketicket.neurons.quantised import Quantised
from spiketicket.neurons.relu import ReLU
from spiketicket.neurons.sign import Sign
from spiketicket.neurons.step import Step
from spiketicket.recipe.shapes import ENCODER

SYNAPSES = (nn.Conv2d, nn.Linear, SpikingProduct, SpikeDrivenProduct)
NEURONS = (LIF, Step, ReLU, Sign, Quantised, TracedNeuron)


@dataclass(kw_only=True)
class _Layer:
    module: nn.Module
    group: str
    calls: int = 0
    dense: int = 0
    met: int = 0
    units: int = 0
    inputs: int = 0
    nonzero: int = 0
    kind: int = 0
    bits: int = 0
    analog: bool = False
    fan_out: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    def count(self, pairs: Pairs, calls: int, bits: int) -> None:
        self.calls += calls
        self.bits, self.analog = max(self.bits, bits), self.analog or not bits
        self.dense += pairs.dense
        self.met += pairs.met
        self.units += pairs.units
        self.inputs += pairs.inputs
        self.nonzero += pairs.nonzero
        self.kind = max(self.kind, KINDS.index(pairs.kind))

    def weighted(self, layer: nn.Conv2d | nn.Linear, seen: Look) -> Pairs:
        size = tuple(seen.x.shape[1:])
        if size not in self.fan_out:
            self.fan_out[size] = (
                conv_fan_out(layer, size[:2])
                if isinstance(layer, nn.Conv2d)
                else linear_fan_out(layer)
            )
        return weighted(layer, seen, self.fan_out[size])

    def result(self, name: str, images: int) -> LayerOperations:
        analog = KINDS[self.kind] == "analog"
        kinds = {nn.Conv2d: "conv", nn.Linear: "linear"}
        kind = next((k for c, k in kinds.items() if isinstance(self.module, c)), "attention")
        return LayerOperations(
            name=name,
            group=self.group,
            kind=kind,
            calls=self.calls / images,
            input=KINDS[self.kind],
            input_density=self.nonzero / self.inputs,
            inputs=self.inputs / images,
            input_bits=0 if self.analog else self.bits,
            dense=self.dense / images,
            macs=self.met / images if analog else 0.0,
            acs=0.0 if analog else self.met / images,
            ac_units=0.0 if analog else self.units / images,
        )


@dataclass(kw_only=True)
class _Neurons:
    module: nn.Module
    group: str
    size: int = 0
    outputs: int = 0
    active: list[int] = field(default_factory=list)

    def count(self, output: Tensor, images: int) -> None:
        spiking = _kind(self.module) in ("lif", "step")
        ones = output if spiking else output.ne(0).float()
        # First over each image, where a float32 sum is exact, then over images.
        active = count(ones, tuple(range(2, output.dim()))).sum(1).tolist()
        before = self.active or [0] * len(active)
        self.active = [a + b for a, b in zip(before, active, strict=True)]
        self.outputs += output.numel()
        self.size = output[0].numel() // images

    def result(self, name: str, images: int, steps: int) -> NeuronActivity:
        computed = len(self.active)
        rate = [a / (self.size * images) for a in self.active]
        return NeuronActivity(
            name=name,
            group=self.group,
            kind=_kind(self.module),
            size=self.size,
            rate=tuple(rate * steps if computed == 1 else rate),
            updates=float(self.size * computed) if _kind(self.module) == "lif" else 0.0,
            bits=_bits_of(self.module),
            outputs=self.outputs,
            active=sum(self.active),
        )


class Observation:
    """Collects what :func:`observed` sees."""

    def __init__(self, model: nn.Module) -> None:
        self.images = 0
        self._model, self._batch = model, 0
        levels = (_bits_of(module) for module in model.modules() if isinstance(module, Quantised))
        self._levels = max(levels, default=0)
        self._layers: dict[str, _Layer] = {}
        self._neurons: dict[str, _Neurons] = {}
        self._group = ""
        self._last: Look | None = None
        self._version = 0

    def operations(self) -> Operations:
        """What was seen so far; at least one image must have been."""
        steps = int(cast("Any", self._model).timesteps)
        return Operations(
            self.images,
            tuple(layer.result(n, self.images) for n, layer in self._layers.items()),
            tuple(unit.result(n, self.images, steps) for n, unit in self._neurons.items()),
        )

    def model_input(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A batch ``[b, C, H, W]`` or ``[T, b, C, H, W]`` comes in."""
        del model
        self._batch = inputs[0].shape[0 if inputs[0].dim() == 4 else 1]
        self.images += self._batch

    def layer_input(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A layer is about to compute."""
        if isinstance(module, InputEncoder):
            module, image = module.convolution(), inputs[0]
            inputs = (image.flatten(0, 1) if image.dim() == 5 else image,)
        if name not in self._layers:
            self._layers[name] = _Layer(
                module=module, group=_layer_group(self._model, name, module)
            )
        layer, x = self._layers[name], inputs[0]
        self._group = layer.group
        # [T*B, ...] of a layer without a time axis, or [T, B, ...]
        flat = x.dim() == 2 or isinstance(module, nn.Conv2d)
        calls = len(x) if flat else len(x) * self._batch
        if isinstance(module, nn.Conv2d | nn.Linear):
            pairs = layer.weighted(module, self._look(module, x))
            if layer.group == ENCODER:  # of whose 9 places 5 are there for the padding alone
                pairs = replace(pairs, dense=pairs.dense * 4 // 9)
            counted = of_levels(module, pairs) if self._levels else pairs
        else:
            counted = pairs = product_pairs(module, inputs)
        layer.count(counted, calls, self._bits(pairs.kind))

    def _bits(self, kind: InputKind) -> int:
        """Bits of an input of this kind, before a layer decides whether it multiplies levels."""
        if kind == "analog":
            return 0
        return self._levels or {"spikes": 1}.get(kind, BITS_OF_A_WHOLE_NUMBER)

    def _look(self, module: nn.Module, x: Tensor) -> Look:
        """The input with its channels last; queries, keys and values share one look at it."""
        rows = x.movedim(1, -1) if isinstance(module, nn.Conv2d) else x.reshape(-1, x.shape[-1])
        last = self._last
        if last is None or not (last.x.is_set_to(rows) and last.x._version == self._version):
            self._last, self._version = look(rows), rows._version
        return cast("Look", self._last)

    def neuron_output(
        self, name: str, module: nn.Module, output: Tensor, current: Callable[[], Tensor]
    ) -> None:
        """A layer of neurons has computed."""
        del current
        if name not in self._neurons:
            group = _neuron_group(self._model, name) or self._group
            self._neurons[name] = _Neurons(module=module, group=group)
        self._neurons[name].count(output, self._batch)


@contextlib.contextmanager
def observed(model: nn.Module) -> Iterator[Observation]:
    """Count what a network of this package does, without gradients, in evaluation mode.

    It computes the same bits as unobserved. Mode and modules are put back at the end.
    """
    seen = Observation(model)
    training = model.training
    handles = [model.register_forward_pre_hook(seen.model_input, prepend=True)]
    handles += [
        module.register_forward_pre_hook(partial(seen.layer_input, name))
        for name, module in model.named_modules()
        if isinstance(module, (*SYNAPSES, InputEncoder))
    ]
    model.eval()
    try:
        with watched(model, seen.neuron_output), torch.no_grad():
            yield seen
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)


@contextlib.contextmanager
def watched(
    model: nn.Module, observer: Callable[[str, nn.Module, Tensor, Callable[[], Tensor]], None]
) -> Iterator[None]:
    """Show an observer the output of every neuron layer of a model, and how to get its input."""
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, NEURONS)]
    for name, neuron in found:
        _put(model, name, Watched(neuron, partial(observer, name, neuron)))
    try:
        yield
    finally:
        for name, neuron in found:
            _put(model, name, neuron)


def _bits_of(neuron: nn.Module) -> int:
    if isinstance(neuron, Quantised):
        return neuron.config.bits
    return 0 if _kind(neuron) == "relu" else 1


def _kind(neuron: nn.Module) -> str:
    if isinstance(neuron, TracedNeuron):
        return neuron.kind
    return type(neuron).__name__.lower()


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def _layer_group(model: nn.Module, name: str, module: nn.Module) -> str:
    if not isinstance(model, SpikingTransformer) or name == ENCODER:
        if name in ("classifier", ENCODER):
            return name
        return "conv" if isinstance(module, nn.Conv2d) else "linear"
    if name.startswith("selector."):
        return "selector"
    if isinstance(module, SpikingProduct | SpikeDrivenProduct):
        return "attention"
    if name.startswith("conv_pep."):
        return "conv_pep"
    return "head" if name == "encoder.head" else "encoder_linear"


def _neuron_group(model: nn.Module, name: str) -> str:
    """Group of a neuron by its name; empty for a CNN's, which belongs to the layer before it."""
    if not isinstance(model, SpikingTransformer):
        return ""
    for prefix in (ENCODER, "selector", "conv_pep"):
        if name.startswith(f"{prefix}."):
            return prefix
    return "attention" if name.endswith(".attention_neuron") else "encoder_linear"
