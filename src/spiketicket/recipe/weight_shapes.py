"""The weights of this package's networks by their settings, one after another, without PyTorch.

So that what a file declares can be compared with what its network has before anything is built
or decoded: whoever compares stops at the first weight that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from spiketicket.errors import UserError
from spiketicket.recipe.shapes import (
    CONVNET_PLAN,
    RESNET19_STAGES,
    SCORES,
    TRANSFORMER_PRESETS,
    VGG9_PLAN,
    DataShape,
    behind_encoder,
    convnet_pools,
    resconv6_channels,
    resconv6_pools,
    resnet19_strides,
    scaled,
    token_grid,
    vgg9_pools,
)

Shape = tuple[int, ...]
Weights = Iterator[tuple[str, Shape]]
Settings = Mapping[str, Any]
"""The fields of a network's ``Config``; those that are absent have their default."""


def weight_shapes(name: str, model: Settings, shape: DataShape) -> Weights | None:
    """Layer and shape of its weight, for every convolution and linear layer; None for others.

    ``shape`` is that of the data. An encoder before the network has filters, and no such layer.

    Raises UserError where the settings do not go with the image.
    """
    make = _NETWORKS.get(name)
    return None if make is None else make(model, behind_encoder(model.get("encoder"), shape))


def _convnet(model: Settings, shape: DataShape) -> Weights:
    width = model.get("width", 1.0)
    outputs = _given_or(model, [scaled(plan, width) for plan in CONVNET_PLAN])
    pools = sum(convnet_pools(shape))
    yield from _convolutions(shape.channels, outputs)
    size = outputs[-1] * (shape.height >> pools) * (shape.width >> pools)
    yield "classifier", (shape.classes, size)


def _vgg9(model: Settings, shape: DataShape) -> Weights:
    width, hidden = model.get("width", 1.0), model.get("hidden", 256)
    plan = [scaled(p, width) for p in (*(p for p, _ in VGG9_PLAN), hidden, hidden)]
    outputs = _given_or(model, plan)
    pools, count = sum(vgg9_pools(shape, model.get("pools"))), len(VGG9_PLAN)
    yield from _convolutions(shape.channels, outputs[:count])
    size = outputs[count - 1] * (shape.height >> pools) * (shape.width >> pools)
    for i, (inputs, outs) in enumerate(pairwise((size, *outputs[count:]))):
        yield f"hidden.{i}.synapse", (outs, inputs)
    yield "classifier", (shape.classes, outputs[-1])


def _resconv6(model: Settings, shape: DataShape) -> Weights:
    resconv6_pools(shape)
    outputs = resconv6_channels(
        model.get("width", 1.0), model.get("channels"), model.get("shortcuts", False)
    )
    yield from _convolutions(shape.channels, outputs)
    yield "classifier", (shape.classes, outputs[-1])


def _given_or(model: Settings, plan: list[int]) -> list[int]:
    """The channels in force."""
    given = plan if model.get("channels") is None else list(model["channels"])
    if len(given) != len(plan):
        raise UserError(
            f"must be {len(plan)} numbers of channels", where="model.channels", value=given
        )
    return given


def _convolutions(channels: int, outputs: Iterable[int]) -> Weights:
    for i, (inputs, outs) in enumerate(pairwise((channels, *outputs))):
        yield f"features.{i}.synapse", (outs, inputs, 3, 3)


def _resnet19(model: Settings, shape: DataShape) -> Weights:
    factor = model.get("width", 1.0)
    inputs = scaled(64, factor)
    yield "stem.synapse", (inputs, shape.channels, 3, 3)
    plans = [plan for count, plan in RESNET19_STAGES for _ in range(count)]
    strides = resnet19_strides(model.get("first_stride", 1))
    for i, (plan, stride) in enumerate(zip(plans, strides, strict=True)):
        outs = scaled(plan, factor)
        yield f"blocks.{i}.first.synapse", (outs, inputs, 3, 3)
        yield f"blocks.{i}.second", (outs, outs, 3, 3)
        if stride != 1 or inputs != outs:
            yield f"blocks.{i}.shortcut", (outs, inputs, 1, 1)
        inputs = outs
    hidden = scaled(256, factor)
    yield "hidden.synapse", (hidden, inputs)
    yield "classifier", (shape.classes, hidden)


def _transformer(model: Settings, shape: DataShape) -> Weights:
    token_grid(shape, model.get("pools"))
    preset = TRANSFORMER_PRESETS[model.get("preset", "nano")]
    dim = preset[0] if model.get("dim") is None else int(model["dim"])
    depth = preset[1] if model.get("depth") is None else int(model["depth"])
    hidden, ranking = round(dim * model.get("mlp_ratio", 4.0)), model.get("ranking", "none")
    read = {"attention_first": min(depth, 1), "attention_last": depth}.get(ranking, 0)
    for prefix, blocks in (("", depth), ("selector.", read)):
        if prefix and (ranking not in SCORES or model.get("ranker") == "own"):
            continue  # else a trained selector: a second ConvPEP, and the blocks it reads
        for i, (inputs, outs) in enumerate(
            pairwise((shape.channels, dim // 8, dim // 4, dim // 2, dim))
        ):
            yield f"{prefix}conv_pep.convs.{i}", (outs, inputs, 3, 3)
        if model.get("rpe", True):
            yield f"{prefix}conv_pep.rpe_conv", (dim, dim, 3, 3)
        for i in range(blocks):
            block = f"{prefix or 'encoder.'}blocks.{i}"
            for part in ("q", "k", "v", "proj"):
                yield f"{block}.{part}.linear", (dim, dim)
            yield f"{block}.fc1.linear", (hidden, dim)
            yield f"{block}.fc2.linear", (dim, hidden)
    yield "encoder.head", (shape.classes, dim)


_NETWORKS: Mapping[str, Callable[[Settings, DataShape], Weights]] = {
    "convnet": _convnet,
    "vgg9": _vgg9,
    "resconv6": _resconv6,
    "resnet19": _resnet19,
    "sdt": _transformer,
    "spikformer": _transformer,
}
SHIPPED = frozenset(_NETWORKS)
"""Networks whose shapes are known here."""
