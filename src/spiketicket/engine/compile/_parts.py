"""The parts of a transformer that are there twice, in the network and in its selector."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spiketicket.engine import ops
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import NeuronSettings
from spiketicket.engine.ops import NeuronKind
from spiketicket.recipe.shapes import CONV_PEP_STAGES


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Makes the parts of a transformer that are there twice, in the network and in its selector."""

    net: Net
    membrane: bool
    pools: int
    pool_kernel: int
    rpe: bool
    heads: int
    scale: float
    depth: int

    def conv_pep(self, name: str, x: int, neuron: NeuronSettings) -> int:
        """Tokens ``[S, D, h, w]`` of register ``x``."""
        net, h = self.net, x
        for i in range(CONV_PEP_STAGES):
            y = net.synapse(f"{name}.convs.{i}", h, norm=f"{name}.norms.{i}", pad=1)
            last = i == CONV_PEP_STAGES - 1
            if not (last and self.membrane):
                y = net.fire(neuron, f"{name}.neurons.{i}", y)
            h = self._pool(y) if i >= CONV_PEP_STAGES - self.pools else y
        if not self.rpe:
            return h
        s = net.fire(neuron, f"{name}.neurons.{CONV_PEP_STAGES - 1}", h) if self.membrane else h
        e = net.synapse(f"{name}.rpe_conv", s, norm=f"{name}.rpe_norm", pad=1)
        if not self.membrane:
            e = net.fire(neuron, f"{name}.rpe_neuron", e)
        return net.builder.add(ops.Add, h, e)

    def _pool(self, x: int) -> int:
        k = self.pool_kernel
        return self.net.builder.add(ops.MaxPool, x, k=k, stride=2, pad=k // 2 if k == 3 else 0)

    def token_layer(self, name: str, x: int, neuron: NeuronSettings | None) -> int:
        """Linear, BatchNorm and, if wanted, a neuron."""
        y = self.net.synapse(f"{name}.linear", x, norm=f"{name}.norm")
        return y if neuron is None else self.net.fire(neuron, f"{name}.neuron", y)

    def block(self, name: str, x: int, scale: float) -> int:
        """An encoder block; ``scale`` is on its attention product."""
        return (self._driven if self.membrane else self._spiking)(name, x, scale)

    def _spiking(self, name: str, x: int, scale: float) -> int:
        net, neuron = self.net, self.net.neuron
        q, k, v = (self.token_layer(f"{name}.{part}", x, neuron) for part in "qkv")
        mixed = net.builder.add(
            ops.Attention, q, k, v, name=f"{name}.product", heads=self.heads, scale=scale
        )
        spikes = net.fire(_half(neuron), f"{name}.attention_neuron", mixed)
        x = net.builder.add(ops.Add, x, self.token_layer(f"{name}.proj", spikes, neuron))
        h = self.token_layer(f"{name}.fc1", x, neuron)
        return net.builder.add(ops.Add, x, self.token_layer(f"{name}.fc2", h, neuron))

    def _driven(self, name: str, x: int, scale: float) -> int:
        net, neuron = self.net, self.net.neuron
        s = net.fire(neuron, f"{name}.first", x)
        q, k, v = (self.token_layer(f"{name}.{part}", s, neuron) for part in "qkv")
        summed = net.builder.add(ops.TokenSum, k, v, name=f"{name}.product", scale=scale)
        mask = net.fire(_half(neuron), f"{name}.attention_neuron", summed)
        masked = net.builder.add(ops.Mask, q, mask)
        x = net.builder.add(ops.Add, x, self.token_layer(f"{name}.proj", masked, None))
        h = self.token_layer(f"{name}.fc1", net.fire(neuron, f"{name}.input_neuron", x), None)
        h = net.fire(neuron, f"{name}.hidden_neuron", h)
        return net.builder.add(ops.Add, x, self.token_layer(f"{name}.fc2", h, None))

    def attention_columns(self, name: str, x: int) -> int:
        """The score of every token in the block ``name``."""
        net, neuron = self.net, self.net.neuron
        s = net.fire(neuron, f"{name}.first", x) if self.membrane else x
        parts = "kv" if self.membrane else "qk"
        kind = ops.ScoreKind.PRODUCT if self.membrane else ops.ScoreKind.ATTENTION_COLUMNS
        first, second = (self.token_layer(f"{name}.{part}", s, neuron) for part in parts)
        return net.builder.add(ops.Score, first, second, kind=kind)


def _half(neuron: NeuronSettings) -> NeuronSettings:
    """Published: the neuron after the attention fires at half the threshold."""
    if neuron.kind is not NeuronKind.LIF:
        return neuron
    return replace(neuron, v_threshold=0.5 * neuron.v_threshold)
