"""The activations without a membrane."""

import torch

from spiketicket.neurons import relu, sign, step


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
