"""edge-popup against a slow, obvious reference of its two papers' equations."""

import copy
import itertools

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from spiketicket.errors import UserError
from spiketicket.methods.edge_popup import Config, attach


def net():
    return nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.Flatten(), nn.Linear(96, 5))


def search(binary=True, model=None, epochs=4, **options):
    model = net() if model is None else model
    config = Config(**{"density": 0.3, **options})
    return model, attach(model, config, binary=binary, seed=7, epochs=epochs)


def original(layer):
    return layer.parametrizations.weight.original


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("init", ["signed_constant", "kaiming_normal"])
def test_effective_weight_and_gradient_equal_the_papers_equations(binary, scope, init):
    model, popup = search(binary, scope=scope, weight_init=init, ramp_epochs=0)
    layers = list(popup.layers.values())
    scores = [p.scores.detach().clone() for p in popup.popups().values()]
    every = torch.cat([s.abs().flatten() for s in scores])
    for layer, s in zip(layers, scores, strict=True):
        pool = every if scope == "global" else s.abs().flatten()
        kept = int(0.3 * pool.numel() + 0.5)
        threshold = pool.sort(descending=True).values[kept - 1]
        mask = (s.abs() >= threshold).float()
        w = original(layer).detach()
        alpha = (w.abs() * mask).sum() / mask.sum()
        expected = alpha * torch.where(w < 0, -1.0, 1.0) * mask if binary else w * mask
        torch.testing.assert_close(layer.weight, expected, rtol=1e-6, atol=0)
    x = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    copied = copy.deepcopy([layer.weight.detach() for layer in layers])
    model(x).square().sum().backward()
    # the same net with plain weights gives dL/dW_eff
    conv, linear = (w.requires_grad_() for w in copied)
    out = nn.functional.conv2d(x, conv).flatten(1)
    nn.functional.linear(out, linear, model[2].bias).square().sum().backward()
    for layer, s, w in zip(layers, scores, (conv, linear), strict=True):
        found = layer.parametrizations.weight[0].scores.grad
        torch.testing.assert_close(found, w.grad * original(layer) * s.sign(), rtol=1e-4, atol=1e-6)


def steps(model, popup, count=5, lr=0.1):
    optimizer = torch.optim.Adam(popup.parameters(), lr=lr)
    x = torch.randn(8, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    y = torch.arange(8) % 5
    masks = []
    for step in range(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        popup.on_step_end((step + 1) / count * popup.epochs)
        masks.append([p.mask.clone() for p in popup.popups().values()])
    return masks


def test_search_touches_no_weight():
    model, popup = search()
    before = [original(layer).numpy().tobytes() for layer in popup.layers.values()]
    bias = model[2].bias.detach().clone()
    masks = steps(model, popup)
    assert [original(layer).numpy().tobytes() for layer in popup.layers.values()] == before
    assert not any(original(layer).requires_grad for layer in popup.layers.values())
    assert torch.equal(model[2].bias, bias)
    assert any(not torch.equal(a, b) for a, b in zip(masks[0], masks[-1], strict=True))


@pytest.mark.parametrize("density", [0.23, 0.3, 0.5, 0.77, 0.999])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_density_is_exact_after_every_step(density, scope):
    model, popup = search(density=density, scope=scope, ramp_epochs=0)
    for masks in steps(model, popup, 3):
        sizes = [m.numel() for m in masks]
        if scope == "global":
            assert sum(int(m.sum()) for m in masks) == int(density * sum(sizes) + 0.5)
        else:
            assert [int(m.sum()) for m in masks] == [int(density * n + 0.5) for n in sizes]


def test_ratchet_never_brings_a_connection_back_and_regrowing_does():
    def returns(regrow):
        model, popup = search(regrow=regrow, ramp_epochs=4, density=0.2)
        history = steps(model, popup, 12, lr=0.5)
        return any(
            bool((b & ~a).any())
            for x, y in itertools.pairwise(history)
            for a, b in zip(x, y, strict=True)
        )

    assert returns(regrow=True)
    assert not returns(regrow=False)


def test_ramp_is_cubic_and_ends_at_the_density():
    _, popup = search(scope="global", density=0.5, epochs=8)
    assert popup.density_at(0) == 1
    assert popup.density_at(1) == pytest.approx(1 - 0.5 * (1 - 0.5**3))
    assert popup.density_at(2) == popup.density_at(8) == 0.5
    assert search(scope="global", density=0.6)[1].density_at(0) == 0.6
    assert search(scope="layer", density=0.1)[1].density_at(0) == 0.1


def test_a_ramp_longer_than_the_training_is_refused_and_only_the_end_is_complete():
    with pytest.raises(UserError, match="does not end within the 4 epochs"):
        search(ramp_epochs=5, epochs=4)
    _, popup = search(ramp_epochs=3, epochs=4)
    assert [popup.is_complete(epoch) for epoch in range(4)] == [False, False, True, True]


def test_float_tickets_start_from_a_normal_so_that_they_are_not_the_binary_ones():
    weights = [search(binary=b)[0][0].weight.detach().unique().numel() for b in (True, False)]
    assert weights[0] == 3
    assert weights[1] > 10


def test_mask_is_not_recomputed_in_the_forward_pass(monkeypatch):
    from spiketicket.methods import score_search

    model, _ = search()
    calls = []
    monkeypatch.setattr(score_search, "largest_masks", lambda *a: calls.append(a))
    for _ in range(3):
        model(torch.randn(2, 2, 6, 6))
    assert calls == []


def test_same_seed_same_start_and_another_seed_another():
    def start(seed):
        model = net()
        attach(model, Config(density=0.5), binary=True, seed=seed, epochs=1)
        return [p.detach().clone() for n, p in model.named_parameters() if "bias" not in n]

    assert all(map(torch.equal, start(3), start(3)))
    assert not any(map(torch.equal, start(3), start(4)))


def test_scale_fan_counts_only_the_kept_inputs():
    model, _ = search(density=0.25, scale_fan=True, weight_init="signed_constant")
    assert float(original(model[0]).abs().max()) == pytest.approx((2 / (18 * 0.25)) ** 0.5)


def test_densities_without_a_search_are_refused():
    with pytest.raises(ValidationError, match="nothing to search"):
        Config(density=1)
    with pytest.raises(ValidationError):
        Config(density=0)
    with pytest.raises(ValidationError, match="regrow=false needs ramp_epochs"):
        Config(density=0.5, regrow=False)
    with pytest.raises(UserError, match="keeps no weight of the 108 of layer 0"):
        search(density=0.001)


def test_a_global_threshold_that_empties_a_layer_is_an_error():
    _, popup = search(scope="global", density=0.1, ramp_epochs=4)
    with torch.no_grad():
        popup.popups()["2"].scores.mul_(1e-3)
    with pytest.raises(UserError, match="2: the global threshold removed every weight"):
        popup.on_step_end(4)
