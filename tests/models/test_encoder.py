"""The fixed input encoder: what it computes, and that the network behind it is as ever."""

import numpy as np
import pytest
import torch

from spiketicket.models import convnet, encoder
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import EncodedNetwork, InputEncoder, build_model, encoder_of
from spiketicket.models.transformer import TransformerConfig
from spiketicket.neurons import lif, relu
from spiketicket.recipe import registry

SHAPE = DataShape(channels=3, height=16, width=16, classes=5)


def filters(channels=3, seed=0):
    count = min(12, 4 * channels)
    drawn = np.random.default_rng(seed).normal(size=(count, channels, 2, 2))
    return torch.from_numpy(drawn.astype(np.float32))


def fitted(channels=3, neuron=None):
    made = InputEncoder(channels, neuron)
    made.fit(filters(channels))
    return made


def slow(x, weights):
    """Every product by hand: [N, 2k, H, W] before ReLU or neuron, zeros below and to the right."""
    count, _, height, width = x.shape
    found = np.zeros((count, len(weights), height, width))
    for top in range(2):
        for left in range(2):
            part = x[:, :, top:, left:].astype(np.float64)
            sums = np.einsum("kc,nchw->nkhw", weights[:, :, top, left].astype(np.float64), part)
            found[:, :, : height - top, : width - left] += sums
    return np.concatenate([found, -found], 1)


def test_it_filters_every_patch_and_keeps_the_size():
    x = torch.randn(4, 3, 7, 5)
    found = fitted()(x, 4)
    expected = slow(x.numpy(), filters().numpy()).clip(0)
    assert found.shape == (4, 24, 7, 5)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_frames_are_filtered_one_by_one():
    x = torch.randn(3, 4, 2, 8, 8)
    made = fitted(2)
    found = made(x, 3)
    assert found.shape == (3, 4, 16, 8, 8)
    for frame, one in zip(x, found, strict=True):
        torch.testing.assert_close(made(frame, 3), one, rtol=1e-6, atol=1e-6)


def test_spikes_are_those_of_the_neuron_over_time():
    neuron = lif.LIF(lif.Config(), "eager")
    x = torch.randn(4, 3, 8, 8)
    found = fitted(neuron=neuron)(x, 3)
    drive = torch.from_numpy(slow(x.numpy(), filters().numpy())).float()
    assert found.shape == (3, 4, 24, 8, 8)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    expected = neuron(drive.expand(3, *drive.shape))
    assert (found != expected).float().mean() < 1e-4, "but for what rounding decides"


def test_bfloat16_autocast_changes_nothing_of_it():
    made, x = fitted(), torch.randn(4, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = made(x, 1)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, made(x, 1))
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", ["whiten", "whiten-lif"])
@pytest.mark.parametrize("name", registry.names("models"))
def test_every_network_learns_behind_it(name, kind):
    module = registry.load("models", name)
    size = {"dim": 16, "depth": 1, "heads": 2}
    options = size if issubclass(module.Config, TransformerConfig) else {"width": 0.125}
    config = module.Config(timesteps=2, encoder=kind, **options)
    net = build_model(config, lif.Config(), SHAPE, "eager")
    encoder_of(net).fit(filters())
    plain = module.build(
        config, lif.Config(), DataShape(channels=24, height=16, width=16, classes=5), "eager"
    )
    assert set(net.state_dict()) - set(plain.state_dict()) == {"input_encoder.filters"}
    assert {k: v.shape for k, v in net.named_parameters()} == {
        k: v.shape for k, v in plain.named_parameters()
    }
    x = torch.randn(4, 3, 16, 16)
    net(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert not any(name.startswith("input_encoder") for name, _ in net.named_parameters())
    net.eval()
    plain.load_state_dict(net.state_dict(), strict=False)
    with torch.no_grad():
        expected = plain.eval()(encoder_of(net)(x, 2))
        assert torch.equal(net(x), expected)


def test_a_static_image_is_encoded_once(monkeypatch):
    seen = []
    before = InputEncoder.filtered
    monkeypatch.setattr(
        InputEncoder, "filtered", lambda self, x: seen.append(tuple(x.shape)) or before(self, x)
    )
    for kind in ("whiten", "whiten-lif"):
        config = convnet.Config(timesteps=4, width=0.125, encoder=kind)
        build_model(config, lif.Config(), SHAPE, "eager")(torch.randn(2, 3, 16, 16))
    assert seen == [(2, 3, 16, 16), (2, 3, 16, 16)]


def test_the_ramp_reaches_its_neuron():
    config = convnet.Config(timesteps=4, width=0.125, encoder="whiten-lif")
    net = build_model(config, lif.Config(), SHAPE, "eager")
    net.timesteps = 1
    assert net(torch.randn(2, 3, 16, 16)).shape == (2, 5)


def test_without_an_encoder_there_is_none():
    net = build_model(convnet.Config(width=0.125), relu.Config(), SHAPE)
    assert encoder_of(net) is None
    assert encoder.ENCODER not in dict(net.named_children())


def test_a_custom_network_behind_it_keeps_its_time_steps():
    inner = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24 * 16, 5))
    net = EncodedNetwork(fitted(), inner)
    assert getattr(net, "timesteps", None) is None
    assert net(torch.randn(2, 3, 4, 4)).shape == (2, 5)
    inner.timesteps = 4
    net.timesteps = 2
    assert net.timesteps == inner.timesteps == 2
