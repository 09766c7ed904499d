"""The numpy executor against plain loops and PyTorch, op by op."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from spiketicket.engine import ops, reference
from spiketicket.engine.program import Builder, Kind, Value
from spiketicket.models.patches import PlainRanking, top_tokens
from spiketicket.neurons import lif

rng = np.random.default_rng(0)


def value(kind, steps, channels, height, width, largest):
    return Value(
        kind=kind, steps=steps, channels=channels, height=height, width=width, largest=largest
    )


def applied(op_type, *inputs, steps=4, **parameters):
    """What an op makes of arrays ``[N, S, C, H, W]``."""
    op = op_type(out=9, inputs=tuple(range(len(inputs))), **parameters)
    known = {"f": Kind.F32, "B": Kind.SPK, "H": Kind.INT}
    given = [
        value(known[x.dtype.char], *x.shape[1:], largest=int(x.max()) if x.dtype.char != "f" else 0)
        for x in inputs
    ]
    return reference.apply(op, inputs, op.infer(given, steps), len(inputs[0]))


def spikes(*shape, rate=0.4):
    return (rng.random(shape) < rate).astype(np.uint8)


@pytest.mark.parametrize(("stride", "pad", "k"), [(1, 1, 3), (2, 1, 3), (1, 2, 5), (2, 0, 1)])
def test_a_ternary_layer_on_whole_numbers_is_exact(stride, pad, k):
    x = rng.integers(0, 9, (2, 3, 4, 7, 6)).astype(np.uint16)
    signs = rng.integers(-1, 2, (5, 4, k, k)).astype(np.int8)
    a, b, bias = rng.normal(size=(3, 5)).astype(np.float32)
    out = applied(
        ops.Synapse, x, signs=signs, alpha=0.3, stride=stride, pad=pad, a=a, b=b, bias=bias
    )
    n = functional.conv2d(
        torch.from_numpy(x.reshape(-1, 4, 7, 6)).double(),
        torch.from_numpy(signs).double(),
        stride=stride,
        padding=pad,
    ).numpy()
    column = (slice(None), None, None)
    y = (n.astype(np.float32) * np.float32(0.3) + bias[column]) * a[column] + b[column]
    assert (out.reshape(y.shape) == y).all()


@pytest.mark.parametrize("ternary", [False, True])
def test_a_layer_on_float_adds_in_the_stated_order(ternary):
    x = rng.normal(size=(1, 1, 3, 3, 3)).astype(np.float32) * 1e3
    weight = rng.normal(size=(2, 3, 2, 2)).astype(np.float32)
    signs = np.sign(weight).astype(np.int8)
    given = {"signs": signs, "alpha": 0.7} if ternary else {"weight": weight}
    out = applied(ops.Synapse, x, **given)[0, 0]
    for o in range(2):
        for y in range(2):
            for at in range(2):
                total = np.float32(0)
                for c in range(3):
                    for ky in range(2):
                        for kx in range(2):
                            w = np.float32(signs[o, c, ky, kx]) if ternary else weight[o, c, ky, kx]
                            total = total + w * x[0, 0, c, y + ky, at + kx]
                assert out[o, y, at] == (np.float32(0.7) * total if ternary else total)


@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize("v_reset", [0.0, "soft", 0.3])
def test_lif_is_the_definition(v_reset, decay_input):
    config = lif.Config(decay=0.7, decay_input=decay_input, v_reset=v_reset, v_threshold=0.4)
    z = rng.normal(0.5, 2, (2, 6, 3, 4, 4)).astype(np.float32)
    rest = config.v_rest
    out = applied(
        ops.Neuron,
        z,
        steps=6,
        kind=ops.NeuronKind.LIF,
        decay=0.7,
        tau=config.tau,
        charge=2 if decay_input else 1 if rest else 0,
        soft=v_reset == "soft",
        v_threshold=0.4,
        v_reset=rest,
        v_rest=rest,
    )
    expected = lif.simulate(torch.from_numpy(z).transpose(0, 1), config).transpose(0, 1).numpy()
    assert (out == expected).all()
    assert 0.05 < out.mean() < 0.95


def test_attention_of_heads():
    q, k, v = (spikes(2, 3, 8, 2, 5) for _ in range(3))
    out = applied(ops.Attention, q, k, v, heads=2, scale=0.3)
    heads = [x.reshape(2, 3, 2, 4, 10).astype(int) for x in (q, k, v)]
    n = np.einsum("nshea,nsheb,nshdb->nshda", *heads).reshape(q.shape)
    assert (out == np.float32(0.3) * n.astype(np.float32)).all()


@pytest.mark.parametrize(("k", "pad"), [(2, 0), (3, 1)])
def test_max_pool(k, pad):
    x = rng.normal(-3, 1, (2, 3, 4, 7, 6)).astype(np.float32)
    out = applied(ops.MaxPool, x, k=k, stride=2, pad=pad)
    expected = functional.max_pool2d(torch.from_numpy(x).flatten(0, 1), k, 2, pad).numpy()
    assert (out.reshape(expected.shape) == expected).all()


def test_means_and_sums_of_spikes_are_exact():
    x = spikes(2, 3, 4, 5, 5)
    mean = applied(ops.Mean, x, time=True, positions=True)
    n = x.sum(axis=(1, 3, 4)).astype(np.float32)
    assert (mean.reshape(2, 4) == n / np.float32(75)).all()
    y = rng.normal(size=(1, 2, 1, 2, 2)).astype(np.float32)
    total = np.float32(0)
    for value in y.ravel():
        total = total + value
    assert applied(ops.Mean, y, time=True, positions=True)[0, 0, 0] == total / np.float32(8)


def test_the_same_patches_are_chosen_of_equal_scores():
    scores = rng.integers(0, 4, (40, 1, 1, 4, 4)).astype(np.float32)
    ids = applied(ops.TopK, scores, k=6)
    expected = top_tokens(torch.from_numpy(scores.reshape(40, 16)), 6)
    assert (ids.reshape(40, 6) == expected.numpy()).all()


def test_pixel_energy_is_the_ranking_without_a_selector():
    x = rng.normal(size=(3, 2, 3, 8, 12)).astype(np.float32)
    out = applied(ops.Score, x, kind=ops.ScoreKind.PIXEL_ENERGY, rows=4, columns=3)
    ranking = PlainRanking("pixel_energy", (4, 3), 0)
    expected = ranking(torch.from_numpy(x).transpose(0, 1)).numpy()
    np.testing.assert_allclose(out.reshape(3, 12), expected, rtol=1e-5)


def test_memory_is_bounded_by_blocks(monkeypatch):
    b = Builder(steps=2, frames=1, channels=1, height=4, width=4, classes=2)
    x = b.add(ops.Synapse, 0, weight=rng.normal(size=(3, 1, 3, 3)), pad=1)
    x = b.add(ops.Neuron, x, kind=ops.NeuronKind.LIF, decay=0.5, v_threshold=0.5)
    x = b.add(ops.Mean, x, time=True, positions=True)
    b.add(ops.Synapse, x, weight=rng.normal(size=(2, 3, 1, 1)))
    program = b.program()
    images = rng.normal(size=(23, 1, 1, 4, 4)).astype(np.float32)
    whole = reference.run(program, images)
    seen = []
    execute = reference._execute
    monkeypatch.setattr(reference, "_BLOCK_VALUES", 5 * math.prod((2, 3, 4, 4)))
    monkeypatch.setattr(
        reference, "_execute", lambda p, x, w: (seen.append(len(x)), execute(p, x, w))[1]
    )
    assert (reference.run(program, images) == whole).all()
    assert seen == [5, 5, 5, 5, 3]
