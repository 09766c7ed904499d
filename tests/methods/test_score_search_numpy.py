"""Searches over scores against a second implementation in plain numpy, float64, over steps."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.methods import edge_popup, signed_supermask

INPUTS, HIDDEN, CLASSES, SAMPLES = 8, 10, 4, 16
STEPS, RATE, MOMENTUM = 8, 0.2, 0.9


class Numpy:
    """Two linear layers with a ReLU between, cross-entropy, SGD with momentum on the scores.

    ``kept`` says how many weights each layer keeps at a step, largest absolute scores first, by
    one threshold per layer, or one of both layers (one number).
    """

    def __init__(self, weights, scores, *, binary, signed):
        self.weights, self.scores, self.binary, self.signed = weights, scores, binary, signed
        self.moments = [np.zeros_like(s) for s in scores]

    def mask(self, kept):
        if isinstance(kept, int):
            every = np.concatenate([np.abs(s).ravel() for s in self.scores])
            first = np.argsort(-every, kind="stable")[:kept]
            flat = np.zeros(every.size)
            flat[first] = 1
            parts = np.split(flat, [self.scores[0].size])
            self.masks = [p.reshape(s.shape) for p, s in zip(parts, self.scores, strict=True)]
            return
        self.masks = []
        for s, count in zip(self.scores, kept, strict=True):
            flat = np.zeros(s.size)
            flat[np.argsort(-np.abs(s).ravel(), kind="stable")[:count]] = 1
            self.masks.append(flat.reshape(s.shape))

    def effective(self):
        self.alphas, values = [], []
        for w, s, m in zip(self.weights, self.scores, self.masks, strict=True):
            alpha = (np.abs(w) * m).sum() / m.sum()
            self.alphas.append(alpha if self.binary else 1.0)
            value = alpha * np.where(w < 0, -1.0, 1.0) * m if self.binary else w * m
            if self.signed:  # keep, hide or invert
                value = np.where(s < 0, -value, value)
            values.append(value)
        return values

    def step(self, x, y):
        """The loss, and one step on the scores by the straight-through gradient."""
        first, second = self.effective()
        before = x @ first.T
        hidden = np.maximum(before, 0)
        logits = hidden @ second.T
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponents / exponents.sum(axis=1, keepdims=True)
        places = np.arange(len(y))
        loss = -np.log(shares[places, y]).mean()
        back = shares.copy()
        back[places, y] -= 1
        back /= len(y)
        towards_second = back.T @ hidden
        towards_first = ((back @ second) * (before > 0)).T @ x
        self.gradients = []
        for i, towards in enumerate((towards_first, towards_second)):
            # dL/ds = dL/dW_eff * W * sign(s), signed without sign(s): without mask and scale
            gradient = towards * self.weights[i]
            if not self.signed:
                gradient = gradient * np.where(self.scores[i] < 0, -1.0, 1.0)
            self.gradients.append(gradient)
            self.moments[i] = MOMENTUM * self.moments[i] + gradient
            self.scores[i] = self.scores[i] - RATE * self.moments[i]
        return loss


def counts(density, scope):
    sizes = (INPUTS * HIDDEN, HIDDEN * CLASSES)
    if scope == "global":
        return math.floor(density * sum(sizes) + 0.5)
    return [math.floor(density * size + 0.5) for size in sizes]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "float"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("ramp", [0, 2], ids=["no ramp", "ramp"])
@pytest.mark.parametrize("signed", [False, True], ids=["edge_popup", "signed"])
def test_masks_scales_gradients_and_scores_are_those_of_numpy(binary, scope, ramp, signed):
    epochs, density = 4, 0.4
    model = nn.Sequential(
        nn.Linear(INPUTS, HIDDEN, bias=False), nn.ReLU(), nn.Linear(HIDDEN, CLASSES, bias=False)
    )
    # kaiming_normal: with a signed constant the scale would be the same for every mask
    method = signed_supermask if signed else edge_popup
    config = method.Config(
        density=density, scope=scope, ramp_epochs=ramp, weight_init="kaiming_normal"
    )
    kind = method.SignedSupermask if signed else method.EdgePopup
    search = kind(model, config, binary=binary, seed=3, epochs=epochs)
    popups = list(search.popups().values())
    weights = [
        layer.parametrizations.weight.original.detach().numpy().astype(np.float64)
        for layer in search.layers.values()
    ]
    own = Numpy(
        weights,
        [p.scores.detach().numpy().astype(np.float64) for p in popups],
        binary=binary,
        signed=signed,
    )
    draw = np.random.default_rng(5)
    x, y = draw.standard_normal((SAMPLES, INPUTS)), np.arange(SAMPLES) % CLASSES
    optimizer = torch.optim.SGD(search.parameters(), lr=RATE, momentum=MOMENTUM)
    changed = inverted = 0
    for step in range(STEPS + 1):
        epoch = step * epochs / STEPS
        share = (1 - epoch / ramp) if epoch < ramp else 0.0
        own.mask(counts(1 - (1 - density) * (1 - share**3), scope))
        effective = own.effective()
        for i, popup in enumerate(popups):
            assert np.array_equal(popup.mask.numpy(), own.masks[i] == 1), step
            assert float(popup.alpha) == pytest.approx(own.alphas[i], abs=1e-6)
            np.testing.assert_allclose(popup.effective.numpy(), effective[i], rtol=0, atol=1e-6)
        before, signs = [m.copy() for m in own.masks], [s < 0 for s in own.scores]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.from_numpy(x).float()), torch.from_numpy(y))
        loss.backward()
        assert float(loss.detach()) == pytest.approx(own.step(x, y), abs=1e-6)
        for i, popup in enumerate(popups):
            np.testing.assert_allclose(
                popup.scores.grad.numpy(), own.gradients[i], rtol=0, atol=1e-6
            )
        optimizer.step()
        search.on_step_end((step + 1) * epochs / STEPS)
        for i, popup in enumerate(popups):
            np.testing.assert_allclose(
                popup.scores.detach().numpy(), own.scores[i], rtol=0, atol=1e-6
            )
        changed += any(
            not np.array_equal(p.mask.numpy(), b == 1) for p, b in zip(popups, before, strict=True)
        )
        inverted += sum(
            np.count_nonzero(s != (o < 0)) for s, o in zip(signs, own.scores, strict=True)
        )
    assert changed > 3  # the masks moved, so the scores mattered
    assert inverted or not signed  # and so did the signs
