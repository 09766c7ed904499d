"""The programs of the spiking transformers: ConvPEP, token choice, encoder, head.

``models/_transformer.py``, ``_conv_pep.py`` and ``_encoder.py`` are the networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from spiketicket.engine import ops
from spiketicket.engine.compile._net import Net
from spiketicket.engine.compile._patches import choose_tokens
from spiketicket.engine.compile._settings import NEURONS, NeuronSettings, Table
from spiketicket.engine.ops import NeuronKind
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import (
    CONV_PEP_STAGES,
    TRANSFORMER_PRESETS,
    conv_pep_pools,
    kept_tokens,
    token_grid,
)

_RANKINGS = (
    "none",
    "random",
    "fixed",
    "center",
    "pixel_energy",
    "firing_rate",
    "embedding_norm",
    "attention_first",
    "attention_last",
)
_DEFAULTS = {
    "lif": NeuronSettings(NeuronKind.LIF, 1.0, 0.5),
    "step": NeuronSettings(NeuronKind.STEP),
    "sign": NeuronSettings(NeuronKind.SIGN),
}
"""The neurons as they are where only their name is given."""


@dataclass(frozen=True)
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


def compile_transformer(net: Net, model: Table, *, membrane: bool) -> None:
    """ConvPEP, the choice of tokens, the encoder and its head."""
    model.ignore("width", "dim", "qkv_bias", "mlp_ratio")
    parts = _read_parts(net, model, membrane)
    activation = _activation(net, model)
    ranking, seed = (
        model.text("ranking", _RANKINGS, "none"),
        model.whole("ranking_seed", 0, low=0, high=2**63 - 1),
    )
    keep = model.number("keep", 1.0)
    execution = model.text("execution", ("drop", "zero_fill", "isolated"), "drop")
    rescale = model.flag("rescale", False)
    grid = token_grid(net.shape, parts.pools)
    tokens = math.prod(grid)
    kept = tokens if ranking == "none" else kept_tokens(tokens, keep)

    image, ids = 0, None
    if ranking != "none":
        _refuse_isolated(execution)
        ids = choose_tokens(parts, ranking, seed, grid, kept)
        if execution == "zero_fill" and ids is not None:
            image = net.builder.add(ops.ZeroFill, 0, ids, rows=grid[0], columns=grid[1])
    x = parts.conv_pep("conv_pep", image, activation)
    if ids is not None:
        x = net.builder.add(ops.Gather, x, ids)
    gain = tokens / kept if rescale else 1.0
    for i in range(parts.depth):
        x = parts.block(f"encoder.blocks.{i}", x, parts.scale * gain)
    if membrane:
        x = net.fire(net.neuron, "encoder.last", x)
    x = net.builder.add(ops.Mean, x, time=True, positions=True)
    net.synapse("encoder.head", x)


def _read_parts(net: Net, model: Table, membrane: bool) -> Parts:
    preset = TRANSFORMER_PRESETS[model.text("preset", tuple(TRANSFORMER_PRESETS), "nano")]
    depth = model.maybe_whole("depth", low=0, high=1000)
    heads = model.maybe_whole("heads", low=1, high=65536)
    attention = model.text("attention", ("spiking", "softmax"), "spiking")
    pools = conv_pep_pools(net.shape, model.maybe_whole("pools", low=0, high=CONV_PEP_STAGES))
    parts = Parts(
        net=net,
        membrane=membrane,
        pools=pools,
        pool_kernel=model.whole("pool_kernel", 3, low=2, high=3),
        rpe=model.flag("rpe", True),
        heads=preset[2] if heads is None else heads,
        scale=model.maybe_number("scale") or (1.0 if membrane else preset[3]),
        depth=preset[1] if depth is None else depth,
    )
    if parts.depth and (attention == "softmax" or not net.neuron.spikes):
        value = attention if attention == "softmax" else net.neuron.kind.name.lower()
        raise UserError(
            "attention is computed of spikes only",
            where="model.attention" if attention == "softmax" else "neuron.name",
            value=value,
            remedy='Evaluate this ticket with PyTorch: "spiketicket eval"',
        )
    return parts


def _activation(net: Net, model: Table) -> NeuronSettings:
    """The neuron inside ConvPEP."""
    name = model.text("activation", ("as_neuron", "lif", "step", "sign"), "as_neuron")
    step = model.text("step", ("zero", "neuron"), "zero")
    neuron = net.neuron
    if name == "as_neuron" or NEURONS[name] is neuron.kind:
        return neuron
    if name == "step" and step == "neuron" and neuron.kind is NeuronKind.LIF:
        return replace(_DEFAULTS["step"], v_threshold=neuron.v_threshold)
    return _DEFAULTS[name]


def _refuse_isolated(execution: str) -> None:
    if execution == "isolated":
        raise UserError(
            "patches that are seen each alone cannot be run without PyTorch",
            where="model.execution",
            value=execution,
            remedy='Use "drop" or "zero_fill", or evaluate the ticket with "spiketicket eval"',
        )


def _half(neuron: NeuronSettings) -> NeuronSettings:
    """Published: the neuron after the attention fires at half the threshold."""
    if neuron.kind is not NeuronKind.LIF:
        return neuron
    return replace(neuron, v_threshold=0.5 * neuron.v_threshold)
