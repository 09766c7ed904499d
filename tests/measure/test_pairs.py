"""Pairs of a layer against a count that looks at every pair, one at a time."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spiketicket.measure.pairs import conv_fan_out, linear_fan_out, look, product_pairs, weighted
from spiketicket.models.transformer_blocks import SpikeDrivenProduct, SpikingProduct

KINDS = ("zeros", "spikes", "signs", "integers", "signed integers", "fractions")


def values(kind, shape, seed):
    g = torch.Generator().manual_seed(seed)
    some = (torch.rand(shape, generator=g) < 0.4).float()
    whole = torch.randint(1, 6, shape, generator=g).float()
    sign = torch.randint(0, 2, shape, generator=g).float() * 2 - 1
    return {
        "zeros": some * 0,
        "spikes": some,
        "signs": some * sign,
        "integers": some * whole,
        "signed integers": some * whole * sign,
        "fractions": some * (whole + 0.25),
    }[kind]


def slow_conv(layer, x):
    """Pairs, and pairs weighted by the input, of every output position and weight."""
    met = units = dense = 0
    height, width = layer(x).shape[2:]
    weight, values = layer.weight.detach().numpy(), x.numpy()
    (sh, sw), (ph, pw), (dh, dw) = layer.stride, layer.padding, layer.dilation
    outputs, inputs, kh, kw = layer.weight.shape
    each = outputs // layer.groups
    places = (range(height), range(width), range(outputs), range(inputs), range(kh), range(kw))
    for n, (i, j, o, c, a, b) in itertools.product(range(len(x)), itertools.product(*places)):
        dense += 1
        row, column = i * sh - ph + a * dh, j * sw - pw + b * dw
        if not (0 <= row < x.shape[2] and 0 <= column < x.shape[3]):
            continue
        value = float(values[n, o // each * inputs + c, row, column])
        if value and weight[o, c, a, b]:
            met += 1
            units += abs(value)
    return dense, met, units


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    kernel=st.sampled_from([1, 2, 3]),
    height=st.integers(5, 7),
    width=st.integers(5, 6),
    seed=st.integers(0, 10**6),
    channels_last=st.booleans(),
)
def test_a_convolution_is_counted_pair_by_pair(
    kind, stride, padding, dilation, groups, kernel, height, width, seed, channels_last
):
    layer = nn.Conv2d(
        2, 2, kernel, (stride, 1), (padding, 0), dilation=dilation, groups=groups, bias=True
    )
    with torch.no_grad():
        layer.weight.mul_(torch.rand_like(layer.weight) < 0.6)
    x = values(kind, (2, 2, height, width), seed)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    pairs = weighted(layer, look(x.movedim(1, -1)), conv_fan_out(layer, (height, width)))
    dense, met, units = slow_conv(layer, x)
    assert (pairs.dense, pairs.met) == (dense, met)
    assert pairs.units == (0 if pairs.kind == "analog" else units)
    assert (pairs.inputs, pairs.nonzero) == (x.numel(), int((x != 0).sum()))
    assert (pairs.kind == "analog") == bool((x != x.round()).any())


@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_layer_is_counted_pair_by_pair(kind):
    layer = nn.Linear(6, 5)
    with torch.no_grad():
        layer.weight.mul_(torch.rand_like(layer.weight) < 0.6)
    x = values(kind, (7, 6), 3)
    pairs = weighted(layer, look(x), linear_fan_out(layer))
    met = units = 0
    weight = layer.weight.detach().numpy()
    for row, output, i in itertools.product(x.numpy(), range(5), range(6)):
        if row[i] and weight[output, i]:
            met += 1
            units += abs(float(row[i]))
    assert (pairs.dense, pairs.met) == (7 * 30, met)
    assert pairs.units == (0 if kind == "fractions" else units)


def test_kinds_of_input():
    expected = ["spikes", "spikes", "spikes", "integers", "integers", "analog"]
    assert [look(values(kind, (40, 3), 1)).kind for kind in KINDS] == expected


def test_counts_are_exact_where_float32_sums_are_not():
    layer = nn.Linear(1, 3)
    x = torch.full((9, 1), 2.0**22 + 1)
    assert weighted(layer, look(x), linear_fan_out(layer)).units == 27 * (2**22 + 1)
    wide = nn.Linear(1, 40_000, bias=False)
    ones = torch.ones(3001, 1)
    assert weighted(wide, look(ones), linear_fan_out(wide)).met == 3001 * 40_000


def slow_product(q, k, v, *, softmax=False):
    met = 0
    for head in range(q.shape[2]):
        for t, b in itertools.product(range(q.shape[0]), range(q.shape[1])):
            a, c, d = q[t, b, head], k[t, b, head], v[t, b, head]
            for n, m in itertools.product(range(len(a)), range(len(c))):
                met += int(((a[n] != 0) & (c[m] != 0)).sum())
                if softmax or float((a[n] * c[m]).sum()) != 0:
                    met += int((d[m] != 0).sum())
    return met


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [3, 6])
@pytest.mark.parametrize("form", ["spiking", "softmax"])
def test_attention_is_counted_pair_by_pair(kind, tokens, form):
    q, k, v = (values(kind, (2, 2, 2, tokens, 4), seed) for seed in (1, 2, 3))
    pairs = product_pairs(SpikingProduct(0.125, form), (q, k, v))
    assert pairs.met == slow_product(q, k, v, softmax=form == "softmax")
    assert pairs.dense == 2 * 2 * 2 * 2 * tokens * tokens * 4
    assert pairs.nonzero == sum(int((x != 0).sum()) for x in (q, k, v))


@pytest.mark.parametrize("kind", KINDS)
def test_spike_driven_attention_is_counted_pair_by_pair(kind):
    k, v = (values(kind, (2, 2, 5, 4), seed) for seed in (1, 2))
    pairs = product_pairs(SpikeDrivenProduct(1.0), (k, v))
    assert (pairs.dense, pairs.met) == (160, int(((k != 0) & (v != 0)).sum()))
