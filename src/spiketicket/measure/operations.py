"""Operations a spiking transformer really does, counted on the data that flows.

An operation is a pair of a non-zero input and a non-zero weight that meet (in a convolution: at a
position inside the image), or of two non-zero factors in an attention product. Where the inputs
of a layer are whole numbers, as spikes and their sums are, it is an accumulation (AC); else it is
a multiply-accumulate (MAC). What a static image lets ConvPEP do once is counted once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.models._encoder import SpikeDrivenProduct, SpikingProduct
from spiketicket.models._transformer import SpikingTransformer

GROUPS = ("conv_pep", "encoder_linear", "attention", "head", "selector")


@torch.no_grad()
def count_operations(
    model: SpikingTransformer, batches: Iterable[Tensor]
) -> dict[str, dict[str, float]]:
    """Per image and group: ``dense`` (as if nothing were zero), ``acs`` and ``macs``.

    ``batches`` are inputs as the model takes them, ``[b, C, H, W]`` or ``[T, b, C, H, W]``; the
    model is run in evaluation mode, which is put back afterwards.
    """
    found = {group: {"dense": 0.0, "acs": 0.0, "macs": 0.0} for group in GROUPS}
    training, images = model.training, 0
    handles = [
        module.register_forward_pre_hook(_hook(found[group], module))
        for module, group in _counted(model)
    ]
    model.eval()
    try:
        for x in batches:
            images += x.shape[0] if x.dim() == 4 else x.shape[1]
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    per_image = {g: {k: v / images for k, v in counts.items()} for g, counts in found.items()}
    return {g: counts for g, counts in per_image.items() if g != "selector" or counts["dense"]}


def _counted(model: nn.Module) -> list[tuple[nn.Module, str]]:
    kinds = (nn.Conv2d, nn.Linear, SpikingProduct, SpikeDrivenProduct)
    return [(m, _group(n, m)) for n, m in model.named_modules() if isinstance(m, kinds)]


def _group(name: str, module: nn.Module) -> str:
    if name.startswith("selector."):
        return "selector"
    if isinstance(module, SpikingProduct | SpikeDrivenProduct):
        return "attention"
    if name.startswith("conv_pep."):
        return "conv_pep"
    return "head" if name == "encoder.head" else "encoder_linear"


def _hook(counts: dict[str, float], module: nn.Module) -> Any:
    def count(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del layer
        dense, done = _COUNTERS[type(module)](module, *inputs)
        counts["dense"] += dense
        whole = all(bool((x == x.round()).all()) for x in inputs)
        counts["acs" if whole else "macs"] += done

    return count


def _linear(layer: nn.Module, x: Tensor) -> tuple[float, float]:
    weight = cast("Tensor", layer.weight)
    rows = x.reshape(-1, x.shape[-1])
    live = (rows != 0).sum(0).double()
    return rows.shape[0] * weight.numel(), float(live @ (weight != 0).sum(0).double())


def _conv(layer: nn.Module, x: Tensor) -> tuple[float, float]:
    conv = cast("nn.Conv2d", layer)
    fan_out = (conv.weight != 0).sum(0, keepdim=True).double()
    live = functional.conv2d((x != 0).double(), fan_out, None, conv.stride, conv.padding)
    return live.shape[0] * live.shape[2] * live.shape[3] * conv.weight.numel(), float(live.sum())


def _spiking_product(layer: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> tuple[float, float]:
    # Queries meet keys first, as in the formula, whatever order is the faster one here.
    del layer
    some_q, some_k, some_v = ((x != 0).double() for x in (q, k, v))
    first = (some_q.sum(-2) * some_k.sum(-2)).sum()
    met = ((some_q @ some_k.transpose(-1, -2)) != 0).double()
    second = (met.sum(-2) * some_v.sum(-1)).sum()
    products = q.shape[:-2].numel() * q.shape[-2] * k.shape[-2] * (q.shape[-1] + v.shape[-1])
    return products, float(first + second)


def _spike_driven_product(layer: nn.Module, k: Tensor, v: Tensor) -> tuple[float, float]:
    """``k * v`` and the mask on ``q``, which has as many elements."""
    del layer
    return 2 * k.numel(), float(((k != 0) & (v != 0)).sum())


_COUNTERS: dict[type, Any] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    SpikingProduct: _spiking_product,
    SpikeDrivenProduct: _spike_driven_product,
}
