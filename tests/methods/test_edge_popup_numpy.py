"""edge-popup against numpy alone: masks, scale, scores and gradient over steps of SGD."""

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.methods.edge_popup import Config, attach

DENSITY, RATE, MOMENTUM = 0.4, 0.5, 0.9


def effective(w, s, *, binary):
    kept = int(DENSITY * s.size + 0.5)
    mask = np.zeros(s.size, dtype=bool)
    mask[np.argsort(-np.abs(s), axis=None, kind="stable")[:kept]] = True
    mask = mask.reshape(s.shape)
    alpha = np.abs(w)[mask].sum() / kept
    return mask, np.where(mask, alpha * np.where(w < 0, -1, 1) if binary else w, 0)


def gradients(first, second, x, y):
    """Of the mean cross entropy to both effective weights, through one ReLU."""
    h = x @ first.T
    logits = np.maximum(h, 0) @ second.T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    back = (p @ second) * (h > 0)
    return back.T @ x, p.T @ np.maximum(h, 0)


@pytest.mark.parametrize("binary", [True, False])
def test_steps_of_sgd_equal_numpys(binary):
    model = nn.Sequential(nn.Linear(12, 9, bias=False), nn.ReLU(), nn.Linear(9, 4, bias=False))
    model.double()
    config = Config(density=DENSITY, scope="layer", ramp_epochs=0, weight_init="kaiming_normal")
    popup = attach(model, config, binary=binary, seed=5, epochs=4)
    layers, popups = list(popup.layers.values()), list(popup.popups().values())
    weights = [x.parametrizations.weight.original.detach().numpy().astype(float) for x in layers]
    scores = [p.scores.detach().numpy().astype(float) for p in popups]
    speed = [np.zeros_like(s) for s in scores]
    rng = np.random.default_rng(1)
    optimizer = torch.optim.SGD(popup.parameters(), lr=RATE, momentum=MOMENTUM)
    changed = 0
    for step in range(6):
        x, y = rng.normal(size=(16, 12)), rng.integers(0, 4, size=16)
        made = [effective(w, s, binary=binary) for w, s in zip(weights, scores, strict=True)]
        for layer, own, (mask, w) in zip(layers, popups, made, strict=True):
            assert (own.mask.numpy() == mask).all()
            np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-6, atol=1e-7)
        optimizer.zero_grad()
        dtype = layers[0].weight.dtype
        loss = nn.functional.cross_entropy(model(torch.tensor(x, dtype=dtype)), torch.tensor(y))
        loss.backward()
        found = gradients(made[0][1], made[1][1], x, y)
        for i, (own, grad) in enumerate(zip(popups, found, strict=True)):
            grad = grad * weights[i] * np.sign(scores[i])
            np.testing.assert_allclose(own.scores.grad.numpy(), grad, rtol=1e-5, atol=1e-6)
            speed[i] = MOMENTUM * speed[i] + grad
            scores[i] = scores[i] - RATE * speed[i]
        optimizer.step()
        popup.on_step_end((step + 1) / 6 * popup.epochs)
        for own, s, (mask, _), w in zip(popups, scores, made, weights, strict=True):
            np.testing.assert_allclose(own.scores.detach().numpy(), s, rtol=1e-5, atol=1e-6)
            changed += int((effective(w, s, binary=binary)[0] != mask).sum())
    assert changed > 0
