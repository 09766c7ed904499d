"""What an input encoder costs, counted by hand; and that it is named where nets are."""

import numpy as np
import pytest
import torch
from recipes import varied

from spiketicket.experiment.threads import batch_macs
from spiketicket.measure.energy import DEFAULT, TABLES, price
from spiketicket.measure.memory import traffic
from spiketicket.measure.observe import observed
from spiketicket.measure.traces import trace
from spiketicket.methods.stages import condition, stages_of
from spiketicket.models import convnet, spikformer
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import build_model, encoder_of
from spiketicket.neurons import lif

SHAPE = DataShape(channels=3, height=8, width=8, classes=5)
WORDS = "data-dependent, frozen, not searched"


def net_behind(encoder, module=convnet, **options):
    config = module.Config(timesteps=3, encoder=encoder, **(options or {"width": 0.125}))
    torch.manual_seed(1)
    net = build_model(config, lif.Config(), SHAPE, "eager").eval()
    drawn = np.random.default_rng(0).normal(0, 1, (12, 3, 2, 2)).astype(np.float32)
    drawn[3] = 0
    drawn[5, 1, 0, 1] = 0
    encoder_of(net).fit(torch.from_numpy(drawn))
    return net, drawn


def pairs(x, filters):
    """Every pixel that is not zero with every weight of filters and negatives it meets."""
    met = 0
    for image in x:
        for channel, row, column in zip(*np.nonzero(image), strict=True):
            for a in range(2):
                for b in range(2):
                    inside = row - a >= 0 and column - b >= 0
                    met += inside * 2 * int((filters[:, channel, a, b] != 0).sum())
    return met


@pytest.mark.parametrize("encoder", ["whiten", "whiten-lif"])
def test_its_products_are_counted_pair_by_pair(encoder):
    net, filters = net_behind(encoder)
    x = torch.randn(2, 3, 8, 8)
    x[:, :, :3, :2] = 0
    with torch.no_grad():
        plain = net(x)
    with observed(net) as seen:
        assert torch.equal(net(x), plain)
    counted = seen.operations()
    first, second = counted.layers[:2]
    assert (first.name, first.group, first.kind) == ("input_encoder", "input_encoder", "conv")
    assert first.macs == pairs(x.numpy(), filters) / 2
    assert first.acs == 0
    assert first.calls == 1
    assert first.dense == 24 * 3 * 4 * 8 * 8
    assert first.inputs == 3 * 8 * 8
    neurons = counted.neurons[0]
    assert (neurons.name, neurons.group) == ("input_encoder.neuron", "input_encoder")
    assert neurons.size == 24 * 8 * 8
    spikes = encoder == "whiten-lif"
    assert neurons.updates == (3 * 24 * 8 * 8 if spikes else 0)
    assert neurons.kind == ("lif" if spikes else "relu")
    # What comes behind a ReLU is multiplied, and once; spikes are added, at every step.
    assert second.input == ("spikes" if spikes else "analog")
    assert second.calls == (3 if spikes else 1)
    assert counted.total()["dense"] == sum(layer.dense for layer in counted.layers)
    assert counted.groups()["input_encoder"]["macs"] == first.macs


def test_frames_are_each_encoded():
    net, filters = net_behind("whiten")
    x = torch.randn(3, 2, 3, 8, 8)
    with observed(net) as seen:
        net(x)
    first = seen.operations().layers[0]
    assert first.calls == 3
    assert first.macs == pairs(x.flatten(0, 1).numpy(), filters) / 2


def test_a_transformers_traces_rank_the_patches_of_what_it_sees():
    options = {"dim": 16, "depth": 1, "heads": 2, "pools": 1, "ranking": "pixel_energy"}
    net, _ = net_behind("whiten", spikformer, keep=0.25, **options)
    x = torch.randn(2, 3, 8, 8)
    found = trace(net, x, 0)
    chosen = net.choose(encoder_of(net)(x, 3)[None], 3)
    assert np.array_equal(found["kept"], chosen.numpy())
    assert not np.array_equal(found["kept"], net.choose(x[None], 3).numpy())


BASE = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "convnet", "width": 0.125, "timesteps": 2, "encoder": "whiten"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 64, "tune": "off"},
    "controls": {"quantised_ann": True},
}


def test_threads_are_chosen_with_its_products():
    shape = DataShape(channels=1, height=8, width=8, classes=10)
    behind = varied(BASE)
    whole = batch_macs(behind, shape)
    # 8 channels of the encoder: 4 filters and their negatives
    shape = DataShape(channels=8, height=8, width=8, classes=10)
    plain = batch_macs(varied(BASE, model={"encoder": "none"}), shape)
    assert whole - plain == 64 * 8 * 4 * 8 * 8


def test_every_kind_of_net_behind_it_is_named_so():
    named = varied(BASE)
    plain = varied(BASE, model={"encoder": "none"})
    assert condition(plain) == "BinW-SNN"
    assert condition(named) == f"BinW-SNN behind an encoder (whiten: {WORDS})"
    for stage in stages_of(named):
        assert condition(named, stage).endswith(f"behind an encoder (whiten: {WORDS})")


def test_its_bytes_and_energy_are_priced():
    row = {
        "name": "input_encoder",
        "weights": 144,
        "kept": 144,
        "binary": False,
        "dense": 18432.0,
        "macs": 9000.0,
        "acs": 0.0,
        "ac_units": 0.0,
        "inputs": 192.0,
        "input_bits": 0,
        "calls": 1.0,
    }
    measured = {"layers": [row], "neurons": []}
    weights = next(t for t in traffic(measured) if t.what == "weights")
    assert weights.read == 9000 * 4
    assert weights.level.name == "sram-8k"
    assert price(measured, TABLES[DEFAULT])["macs_pj"] == pytest.approx(4.6 * 9000)
