"""How many operations one call of a layer is: exact counts, as Python integers.

A pair is a non-zero input that meets a non-zero weight; in a convolution at a position inside the
image, in an attention product where two non-zero factors meet. Every input of a layer meets the
same weights each time, so the inputs are first counted by their place, and only then multiplied
with the number of non-zero weights that the place meets: its fan-out. Nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from spiketicket.models.transformer_blocks import SpikeDrivenProduct, SpikingProduct

InputKind = Literal["spikes", "integers", "levels", "analog"]
"""Only 0, 1 and -1; only whole numbers; the levels of a quantised activation, each added at once;
anything else. The later word wins over several calls."""

KINDS: tuple[InputKind, ...] = ("spikes", "integers", "levels", "analog")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The operations of one call.

    ``dense`` counts as if nothing were zero, ``met`` the pairs, ``units`` every pair as often as
    its input is large (0 for analog input); ``inputs`` and ``nonzero`` count the input itself.
    """

    dense: int
    met: int
    units: int
    inputs: int
    nonzero: int
    kind: InputKind


@dataclass(frozen=True)
class Look:
    """What an input holds: its kind, and 1.0 where it is not zero, 0.0 where it is."""

    x: Tensor
    kind: InputKind
    ones: Tensor


def look(x: Tensor) -> Look:
    """Look at every entry of a tensor."""
    if torch.equal(x, x * x):
        return Look(x, "spikes", x)
    size = x.abs()
    if torch.equal(size, size * size):
        return Look(x, "spikes", size)
    kind: InputKind = "integers" if torch.equal(x, x.round()) else "analog"
    return Look(x, kind, torch.ne(x, 0, out=torch.empty_like(x)))


def count(ones: Tensor, dims: int | tuple[int, ...]) -> Tensor:
    """Sums of zeros and ones along ``dims``, int64; exact below 2^24 of them.

    A float sum is several times as fast as that of booleans.
    """
    return ones.sum(dims).to(torch.int64)


def weighted(layer: nn.Conv2d | nn.Linear, seen: Look, fan_out: Tensor) -> Pairs:
    """One call of a convolution on ``[N, H, W, C]`` or a linear layer on ``[N, C]``.

    ``fan_out`` is what :func:`conv_fan_out` or :func:`linear_fan_out` gives for the layer.
    """
    live = count(seen.ones, 0)
    met = int((live * fan_out).sum())
    units = met
    if seen.kind == "integers":
        size = seen.x.abs().sum(0, dtype=torch.float64).to(torch.int64)
        units = int((size * fan_out).sum())
    return Pairs(
        dense=len(seen.x) * positions(layer, seen.x) * layer.weight.numel(),
        met=met,
        units=0 if seen.kind == "analog" else units,
        inputs=seen.x.numel(),
        nonzero=int(live.sum()),
        kind=seen.kind,
    )


def of_levels(layer: nn.Conv2d | nn.Linear, pairs: Pairs) -> Pairs:
    """The operations of a call whose whole numbers are levels of a quantised activation.

    A level of k bits is one number: where all weights that are not zero have one magnitude it is
    added or subtracted, once a pair; else it is multiplied.
    """
    if pairs.kind != "integers":
        return pairs
    sizes = layer.weight[layer.weight != 0].abs()
    if sizes.numel() and bool((sizes == sizes[0]).all()):
        return replace(pairs, kind="levels", units=pairs.met)
    return replace(pairs, kind="analog", units=0)


def positions(layer: nn.Conv2d | nn.Linear, x: Tensor) -> int:
    """How often a call uses every weight for one row of the input, the border included."""
    if isinstance(layer, nn.Linear):
        return 1
    height, width = _output_size(layer, x.shape[1:3])
    return height * width


def linear_fan_out(layer: nn.Linear) -> Tensor:
    """Non-zero weights that every input meets, int64 ``[inputs]``."""
    return (layer.weight != 0).sum(0)


def conv_fan_out(layer: nn.Conv2d, size: Sequence[int]) -> Tensor:
    """Non-zero weights that every input meets, int64 ``[H, W, C]``; fewer near the border.

    Every output hands its weights back to the inputs it is made from: a transposed convolution of
    ones with the number of non-zero weights at each place of the kernel.
    """
    stride, padding, dilation = layer.stride, cast("tuple[int, int]", layer.padding), layer.dilation
    live = (layer.weight != 0).double().unflatten(0, (layer.groups, -1)).sum(1)
    kernel = live.flatten(0, 1).unsqueeze(1)
    out = _output_size(layer, size)
    rest = [
        size[i] - ((out[i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (k - 1) + 1)
        for i, k in enumerate(layer.kernel_size)
    ]
    ones = kernel.new_ones(1, kernel.shape[0], *out)
    fan_out = nn.functional.conv_transpose2d(
        ones, kernel, None, stride, padding, rest, kernel.shape[0], dilation
    )
    return fan_out[0].round().to(torch.int64).movedim(0, -1).contiguous()


def _output_size(layer: nn.Conv2d, size: Sequence[int]) -> tuple[int, int]:
    padding = cast("tuple[int, int]", layer.padding)
    height, width = (
        (size[i] + 2 * padding[i] - layer.dilation[i] * (layer.kernel_size[i] - 1) - 1)
        // layer.stride[i]
        + 1
        for i in range(2)
    )
    return height, width


def product_pairs(layer: nn.Module, factors: tuple[Tensor, ...]) -> Pairs:
    """One call of an attention product.

    ``SpikingProduct``: ``q k^T`` first, as in the formula, whatever order is the faster one here;
    then its non-zero sums with ``v``. Softmax leaves none of them zero. ``SpikeDrivenProduct``:
    ``k v`` element by element; the mask on ``q``, which lets spikes through and adds up nothing,
    counts in ``dense`` alone.
    """
    looks = [look(x) for x in factors]
    kind = KINDS[max(KINDS.index(seen.kind) for seen in looks)]
    if isinstance(layer, SpikeDrivenProduct):
        k, v = (seen.ones for seen in looks)
        dense, met = 2 * k.numel(), int(count(k * v, -1).sum())
    elif isinstance(layer, SpikingProduct):
        dense, met = _spiking_product(looks, softmax=layer.kind == "softmax")
    else:
        raise TypeError(type(layer).__name__)
    return Pairs(
        dense=dense,
        met=met,
        units=0 if kind == "analog" else met,
        inputs=sum(x.numel() for x in factors),
        nonzero=sum(int(count(seen.ones, -2).sum()) for seen in looks),
        kind=kind,
    )


def _spiking_product(looks: Sequence[Look], *, softmax: bool) -> tuple[int, int]:
    q, k, v = looks
    queries, keys, size = q.x.shape[-2], k.x.shape[-2], q.x.shape[-1]
    first = (count(q.ones, -2) * count(k.ones, -2)).sum()
    columns = count(v.ones, -1)
    if softmax:
        second = queries * columns.sum()
    else:
        second = (count((q.x @ k.x.transpose(-1, -2)).ne_(0), -2) * columns).sum()
    dense = q.x.shape[:-2].numel() * queries * keys * (size + v.x.shape[-1])
    return dense, int(first + second)
