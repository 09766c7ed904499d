"""The activations without a membrane."""

import numpy as np
import pytest
import torch

from spiketicket.neurons import quantised, relu, sign, step


def graded(neuron, values):
    x = torch.tensor(values, requires_grad=True)
    y = neuron(x)
    y.sum().backward()
    return y.tolist(), x.grad.tolist()


def test_relu():
    assert graded(relu.make(relu.Config()), [-1.0, 0.0, 2.0]) == ([0, 0, 2], [0, 0, 1])


def test_sign_has_no_zero_and_a_clipped_gradient():
    y, grad = graded(sign.make(sign.Config()), [-2.0, -1.0, -0.5, 0.0, 1.0, 1.5])
    assert y == [-1, -1, -1, 1, 1, 1]
    assert grad == [0, 1, 1, 1, 1, 0]


def test_step_is_zero_or_one_with_the_surrogates_gradient():
    config = step.Config(v_threshold=0.5, surrogate="triangle", alpha=1.0)
    y, grad = graded(step.make(config), [-1.0, 0.5, 0.75, 2.0])
    assert y == [0, 1, 1, 1]
    assert grad == [0, 1, 0.75, 0]


@pytest.mark.parametrize("bits", [1, 2, 3, 7])
@pytest.mark.parametrize("clip", [0.5, 2.0, 3.0])
def test_quantised_levels_and_gradient_against_numpy(bits, clip):
    rng = np.random.default_rng(bits)
    values = rng.normal(0, 2, 4000).astype(np.float32)
    values[:4] = 0, clip, -clip, np.nextafter(np.float32(clip), np.float32(10))
    y, grad = graded(quantised.make(quantised.Config(bits=bits, clip=clip)), values.tolist())
    levels = (1 << bits) - 1
    # another way to the same: the nearest of all levels, in float64
    grid = np.arange(levels + 1)
    expected = np.abs(values[:, None].astype(float) * levels / clip - grid).argmin(1)
    # where two levels are as near, either is right
    tie = np.abs((values.astype(float) * levels / clip) % 1 - 0.5) < 1e-5
    assert (np.array(y) == expected)[~tie].all()
    assert set(y) <= set(map(float, grid))
    inside = (values >= 0) & (values <= np.float32(clip))
    assert np.allclose(grad, np.where(inside, levels / clip, 0), rtol=1e-6)


def test_quantised_rounds_half_to_even():
    y, _ = graded(quantised.make(quantised.Config(bits=2, clip=3.0)), [0.5, 1.5, 2.5, 2.75])
    assert y == [0, 2, 2, 3]
