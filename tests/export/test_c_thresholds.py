"""Thresholds on whole numbers against the float32 neuron, for every sequence of sums there is."""

import itertools

import numpy as np
import pytest

from spiketicket.engine.program import Kind, Value
from spiketicket.export.c.chain import Affine, Layer
from spiketicket.export.c.thresholds import PlaneThresholds, plane_thresholds

STEPS = 4
F = np.float32


def layer(seed: int) -> Layer:
    """Few inputs, and scales that are 0, negative, tiny, or put sums exactly on the threshold."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 0, 1], (6, 3, 1, 1)).astype(np.int8)
    a = rng.choice([0.0, 1.0, -1.0, 0.5, 0.3, -0.7, 1e-3], 6).astype(F)
    b = rng.choice([0.0, 0.5, 1.0, 0.2, 0.3333], 6).astype(F)
    alpha = float(F(rng.choice([0.25, 0.5, 0.1, 1.0])))
    return Layer(
        name="layer",
        register=1,
        input=Value(kind=Kind.SPK, steps=STEPS, channels=3),
        output=Value(kind=Kind.SPK, steps=STEPS, channels=6),
        signs=signs,
        affine=Affine(alpha=alpha, bias=None, a=a, b=b),
        stride=1,
        pad=0,
        v_threshold=1.0,
        memory=True,
        pool=False,
    )


def follow(given: Layer, found: PlaneThresholds, o: int, sums: tuple[int, ...]) -> int:
    """Every decision on the way is the neuron's; returns how many were left to float32."""
    assert given.affine.a is not None
    assert given.affine.b is not None
    v, whole, since, open_ones = F(0), 0.0, 0, 0
    for n in sums:
        z = F(given.affine.a[o] * F(F(given.affine.alpha) * F(n))) + given.affine.b[o]
        u = F(v * F(0.5)) + z
        spike = bool(u >= F(given.v_threshold))
        whole = whole / 2 + (-n if found.turned[o] else n) + int(found.minus[o])
        number = int(whole * 2**since)
        high = int(found.thresholds[o, since])
        low = high - int(found.bands[o, since])
        assert not (number >= high) or spike
        assert not (number < low) or not spike
        open_ones += low <= number < high
        v, whole, since = (F(0), 0.0, 0) if spike else (u, whole, since + 1)
    return open_ones


@pytest.mark.parametrize("seed", range(8))
def test_every_sequence(seed: int) -> None:
    given = layer(seed)
    found = plane_thresholds(given, STEPS)
    assert found.fraction == STEPS - 1
    for o, signs in enumerate(given.signs):
        every = range(-int((signs < 0).sum()), int((signs > 0).sum()) + 1)
        count = sum(follow(given, found, o, sums) for sums in itertools.product(every, repeat=4))
        if not found.bands[o].any():
            assert count == 0
