"""NIR: what is written is what fires, and what cannot be written is refused by name."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.export import readback
from spiketicket.export.folding import folded
from spiketicket.export.nir import DT_S, refusals, to_nir, write_nir
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import lif, sign

SHAPE = DataShape(channels=1, height=16, width=16, classes=10)
nir = pytest.importorskip("nir")
needs_readers = pytest.mark.skipif(
    not (importlib.util.find_spec("spikingjelly") and importlib.util.find_spec("snntorch")),
    reason="spikingjelly or snntorch is not installed",
)


def simulate(graph, frames):
    """The graph by NIR's own equations in float64, node after node; spikes and outputs."""
    state, spikes, outputs = {}, {}, []
    after, order = dict(graph.edges), ["input"]
    while order[-1] in after:
        order.append(after[order[-1]])
    assert set(order) == set(graph.nodes)
    for frame in frames.double():
        h = frame
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, nir.Conv2d):
                weight, bias = torch.tensor(node.weight).double(), torch.tensor(node.bias).double()
                stride, padding = tuple(node.stride), tuple(node.padding)
                h = nn.functional.conv2d(h, weight, bias, stride, padding)
            elif isinstance(node, nir.AvgPool2d):
                h = nn.functional.avg_pool2d(h, tuple(node.kernel_size), tuple(node.stride))
            elif isinstance(node, nir.Flatten):
                h = h.flatten(1)
            elif isinstance(node, nir.Affine):
                h = h @ torch.tensor(node.weight).double().T + torch.tensor(node.bias).double()
            elif isinstance(node, nir.LIF):
                assert node.tau.shape == tuple(h.shape[1:])
                tau, r, leak, threshold = (
                    torch.tensor(v).double()
                    for v in (node.tau, node.r, node.v_leak, node.v_threshold)
                )
                v = state.get(name, torch.zeros_like(h))
                v = v + DT_S / tau * (leak - v + r * h)
                h = (v >= threshold).double()
                state[name] = torch.where(h > 0, torch.tensor(node.v_reset).double(), v)
                spikes.setdefault(name, []).append(h)
        outputs.append(h)
    return spikes, torch.stack(outputs)


@pytest.mark.parametrize("pooling", ["average", "stride"])
@pytest.mark.parametrize(
    ("name", "neuron"),
    [
        ("convnet", lif.Config()),
        ("vgg9", lif.Config(decay=0.9, decay_input=True, v_threshold=0.2)),
    ],
)
def test_a_graph_read_from_its_file_fires_as_the_network(
    name, neuron, pooling, tmp_path, torch_network, images
):
    model = torch_network(name, neuron, width=0.25, pooling=pooling, bn_affine=True)
    write_nir(to_nir(model, SHAPE, {"timesteps": 4}), tmp_path / "net.nir")
    assert [p.name for p in tmp_path.iterdir()] == ["net.nir"]
    graph = nir.read(tmp_path / "net.nir")
    assert int(graph.metadata["timesteps"]) == 4
    x = images()
    spikes, outputs = simulate(graph, x.expand(4, *x.shape))
    ours = readback._ours(model, x)[1]
    assert list(spikes) == list(ours)
    for layer, fired in ours.items():
        assert 0.01 < fired.mean() < 0.9, "a layer that says nothing"
        assert torch.equal(torch.stack(spikes[layer]).float(), fired), layer
    with torch.no_grad():
        torch.testing.assert_close(outputs.mean(0).float(), model(x), rtol=1e-5, atol=1e-5)


@needs_readers
def test_spikingjelly_and_snntorch_read_it_spike_for_spike(torch_network, images):
    frames = DataShape(channels=2, height=8, width=8, classes=10, frames=4)
    for shape, model in (
        (SHAPE, torch_network("vgg9", width=0.25, pooling="stride")),
        (
            frames,
            torch_network("convnet", lif.Config(decay=0.75), frames, width=0.25, pooling="average"),
        ),
    ):
        x = images(shape=shape)
        x = x if shape.frames == 1 else torch.stack([x * k for k in range(4)])
        found = readback.read_back(to_nir(model, shape), model, x)
        assert [r.reader.split()[0] for r in found] == ["SpikingJelly", "snnTorch"]
        for result in found:
            assert result.mismatches == result.flipped_samples == result.changed_classes == 0
            assert result.samples == 6
            assert result.compared > 6 * 4 * 300


@needs_readers
@pytest.mark.parametrize("damage", ["threshold", "weight", "classifier"])
def test_a_wrong_graph_is_noticed(damage, torch_network, images):
    model = torch_network(width=0.25, pooling="average")
    graph = to_nir(model, SHAPE)
    if damage == "threshold":
        graph.nodes["features.1.neuron"].v_threshold += np.float32(0.05)
        message = "features.1.neuron: SpikingJelly .* reads another network"
    elif damage == "weight":
        graph.nodes["features.2.synapse"].weight[0] *= -1
        message = "features.2.neuron: SpikingJelly .* reads another network"
    else:
        graph.nodes["classifier"].bias += np.float32(0.1)
        message = "classifier: SpikingJelly .* computes other logits"
    with pytest.raises(UserError, match=message):
        readback.read_back(graph, model, images())


def test_a_flip_at_the_threshold_is_rounding_and_one_beside_it_is_not():
    steps, count = 3, 5
    ours = {"a": torch.zeros(steps, 2, count), "b": torch.zeros(steps, 2, count)}
    theirs = {k: v.clone() for k, v in ours.items()}
    theirs["a"][1, 0, 2] = 1
    theirs["b"][2, 0] = 1  # follows from the flip before it
    logits = torch.zeros(2, 4)
    output = torch.zeros(steps, 2, 4)

    def compared(distance):
        far = torch.full((steps, 2, count), distance)
        return readback.compared(
            "R", ours=ours, theirs=theirs, distance=lambda name: far, logits=logits, output=output
        )

    result = compared(1e-6)
    assert (result.mismatches, result.flipped_samples, result.compared) == (6, 1, 60)
    with pytest.raises(UserError, match="a: R reads another network: 1 neurons"):
        compared(1e-3)


def test_folding_does_what_both_layers_do():
    torch.manual_seed(0)
    for layer, norm, x in (
        (nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), torch.randn(4, 2, 5, 5)),
        (nn.Linear(6, 3, bias=False), nn.BatchNorm1d(3, affine=False), torch.randn(4, 6)),
    ):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        weight, bias = (torch.from_numpy(part) for part in folded(layer, norm.eval()))
        apply = nn.functional.conv2d if x.dim() == 4 else nn.functional.linear
        torch.testing.assert_close(apply(x, weight, bias), norm(layer(x)), rtol=1e-5, atol=1e-6)


SMALL = {"dim": 16, "depth": 1, "heads": 2}
REFUSED = [
    ("vgg9", {"width": 0.1}, None, r"features\.1 \(max pooling\); features\.3 \(max pooling\)"),
    ("resconv6", {"width": 0.1}, None, r"features\.0 \(max pooling\)"),
    ("spikformer", SMALL, None, r"attention, a product of activations"),
    ("spikformer", SMALL, None, r"conv_pep \(max pooling and a residual sum\)"),
    ("sdt", SMALL, None, "attention, a product of activations"),
    ("resnet19", {"width": 0.1}, None, r"blocks\.0 \(a residual sum of two branches\)"),
    ("convnet", {"pooling": "stride"}, lif.Config(v_reset="soft"), "soft reset"),
    ("convnet", {"pooling": "stride"}, lif.Config(v_reset=0.5), "reset to 0.5"),
    ("convnet", {"pooling": "stride"}, lif.Config(decay=0.0), "decay 0"),
    ("convnet", {"pooling": "stride"}, sign.Config(), r"features\.0\.neuron \(the activation sign"),
]


@pytest.mark.parametrize(("name", "options", "neuron", "message"), REFUSED)
def test_what_nir_cannot_say_is_refused_by_the_layers_name(
    name, options, neuron, message, torch_network
):
    with pytest.raises(UserError, match=message):
        to_nir(torch_network(name, neuron, **options), SHAPE)


def test_a_network_of_ones_own_is_refused():
    assert refusals(nn.Sequential(nn.Linear(2, 2))) == [
        "Sequential (not a chain of layers this package knows)"
    ]


def test_a_missing_package_is_named_with_its_extra(monkeypatch, torch_network):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(UserError, match=r"needs the Python package nir.*spiketicket\[nir\]"):
        to_nir(torch_network(pooling="stride"), SHAPE)


def test_readers_that_did_not_read_are_named():
    read = readback.ReadBack(
        reader="snnTorch 1.0.0",
        samples=2,
        compared=10,
        mismatches=0,
        flipped_samples=0,
        changed_classes=0,
    )
    (note,) = readback.missing_readers([read])
    assert "SpikingJelly" in note
    assert "pip install --no-deps spikingjelly" in note
    assert len(readback.missing_readers([])) == 2
