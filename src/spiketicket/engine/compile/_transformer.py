"""The programs of the spiking transformers: ConvPEP, token choice, encoder, head.

``transformer.py``, ``conv_pep.py`` and ``transformer_blocks.py`` in ``models`` are the networks.
"""

from __future__ import annotations

import math
from dataclasses import replace

from spiketicket.engine import ops
from spiketicket.engine.compile._parts import Parts
from spiketicket.engine.compile._patches import choose_tokens, token_scores
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import NEURONS, NeuronSettings, Table
from spiketicket.engine.ops import NeuronKind
from spiketicket.engine.program import Kind
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import (
    CONV_PEP_STAGES,
    OWN_SCORES,
    RANKER_OF_OLD,
    RANKERS,
    TRANSFORMER_PRESETS,
    conv_pep_pools,
    is_learned,
    kept_tokens,
    token_grid,
)
from spiketicket.ticket import TicketError

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
    "lif": NeuronSettings(kind=NeuronKind.LIF, v_threshold=1.0, decay=0.5),
    "step": NeuronSettings(kind=NeuronKind.STEP),
    "sign": NeuronSettings(kind=NeuronKind.SIGN),
}
"""The neurons as they are where only their name is given."""


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

    own = model.text("ranker", RANKERS, RANKER_OF_OLD) == "own" and is_learned(ranking)
    image, ids = net.input, None
    if own and (ranking not in OWN_SCORES or execution != "drop"):
        raise TicketError(
            "patches ranked by the network's own ConvPEP cannot be chosen so",
            where="model.ranking",
            value=ranking if execution == "drop" else execution,
            remedy=f'They are ranked by {", ".join(OWN_SCORES)}, with execution "drop"',
        )
    if ranking != "none" and not own:
        _refuse_isolated(execution)
        _refuse_spikes(net, ranking, execution)
        ids = choose_tokens(parts, ranking, seed, grid, kept)
        if execution == "zero_fill" and ids is not None:
            image = net.builder.add(ops.ZeroFill, image, ids, rows=grid[0], columns=grid[1])
    x = parts.conv_pep("conv_pep", image, activation)
    if own and kept < tokens:
        ids = net.builder.add(ops.TopK, token_scores(parts, ranking, x, "ranking_neuron"), k=kept)
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


def _refuse_spikes(net: Net, ranking: str, execution: str) -> None:
    """Refuse what is done to the numbers of an image, where an encoder gives spikes."""
    if net.builder.value(net.input).kind is Kind.F32:
        return
    setting, value = ("ranking", ranking) if ranking == "pixel_energy" else ("execution", execution)
    if value in ("pixel_energy", "zero_fill"):
        raise UserError(
            "spikes of an encoder are no image of numbers to the engine",
            where=f"model.{setting}",
            value=value,
            remedy='Use model.encoder = "whiten", or evaluate this ticket with PyTorch:'
            ' "spiketicket eval"',
        )
