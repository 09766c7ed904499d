"""NIR of custom networks: what is written, read from its file, fires as the network does."""

import warnings
from importlib.util import find_spec

import pytest
import torch
from torch import nn

import spiketicket
from spiketicket.errors import UserError
from spiketicket.export.nir import DT_S, read_nir, to_nir, write_nir
from spiketicket.export.readback_traced import read_back_traced
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import to_ticket
from spiketicket.models.probe import copied
from spiketicket.models.prunable import TrainedWeight, prunable
from spiketicket.neurons import lif

pytest.importorskip("nir")
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("spikingjelly", "snntorch", "norse")),
    reason="the libraries that the networks are written for are not installed",
)
SHAPE = DataShape(channels=2, height=8, width=8, classes=4)


def graph_net(net, x, batch=0):
    held = copied(net)
    for layer in prunable(held).values():
        mask = torch.ones_like(layer.weight, dtype=torch.bool)
        nn.utils.parametrize.register_parametrization(
            layer, "weight", TrainedWeight(mask, binary=False)
        )
    ticket = to_ticket(held, {"network": {"name": type(net).__name__}})
    return spiketicket.from_ticket(spiketicket.with_graph(ticket, net, x, batch=batch))


def own(**settings):
    return lif.LIF(lif.Config(**settings), "eager")


def jelly(kind, **settings):
    from spikingjelly.activation_based import neuron

    return getattr(neuron, kind)(step_mode="m", **settings)


def leaky(**settings):
    import snntorch

    return snntorch.Leaky(init_hidden=True, **settings)


def norse(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import norse.torch

    return getattr(norse.torch, kind)()


class Residual(nn.Module):
    """A residual sum, average pooling, a scale, BatchNorm after a layer and alone."""

    def __init__(self, neuron, *, stepped=False):
        super().__init__()
        self.stepped, self.steps = stepped, 5
        self.first, self.conv = nn.BatchNorm2d(2), nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm, self.same = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.pool, self.head = nn.AvgPool2d(2), nn.Linear(6 * 16, 4)
        self.one, self.two = neuron(), neuron()
        for norm in (self.first, self.norm):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.3, 1.5)
            nn.init.normal_(norm.bias, 0.4, 0.3)

    def features(self, x):
        return self.norm(self.conv(self.first(x) * 2)) * 1.5

    def forward(self, x):
        if self.stepped:
            steps = []
            for t in range(self.steps):
                one = self.one(self.features(x[t] if x.dim() == 5 else x))
                two = self.two(self.same(one) + one)
                steps.append(self.head(self.pool(two).flatten(1)))
            return torch.stack(steps)
        x = x if x.dim() == 5 else x[None].expand(self.steps, *x.shape)
        one = self.one(self.features(x.flatten(0, 1)).unflatten(0, x.shape[:2])).flatten(0, 1)
        two = self.two((self.same(one) + one).unflatten(0, x.shape[:2]))
        return self.head(self.pool(two.flatten(0, 1)).flatten(1).unflatten(0, x.shape[:2]).mean(0))


NEURONS = {
    "own": (lambda: own(decay=0.8), False),
    "own input": (lambda: own(decay=0.4, decay_input=True, v_threshold=0.4), False),
    "IF": (lambda: jelly("IFNode", v_reset=0.0), False),
    "LIF": (lambda: jelly("LIFNode", tau=1.7), False),
    "LIF add": (lambda: jelly("LIFNode", decay_input=False), False),
    "PLIF": (lambda: jelly("ParametricLIFNode", init_tau=1.3, decay_input=False), False),
    "Leaky zero": (lambda: leaky(beta=0.6, reset_mechanism="zero"), True),
    "Leaky none": (lambda: leaky(beta=0.6, reset_mechanism="none"), True),
}


def made(name, frames=False):
    make, stepped = NEURONS[name]
    torch.manual_seed(0)
    net = Residual(make, stepped=stepped).eval()
    x = torch.randn((5, 6, 2, 8, 8) if frames else (6, 2, 8, 8))
    return graph_net(net, x, int(frames)), net, x


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("name", NEURONS)
def test_the_file_fires_as_the_network(name, frames, tmp_path):
    net, given, x = made(name, frames)
    write_nir(to_nir(net, SHAPE), tmp_path / "own.nir")
    (check, *_), _ = read_back_traced(read_nir(tmp_path / "own.nir"), net, x, DT_S)
    assert check.samples == 6
    assert check.compared == 2 * 5 * 6 * 6 * 64
    assert check.mismatches < check.compared / 1000
    from spiketicket.models.custom import mean_over_time, reset_state

    reset_state(given)
    with torch.no_grad():
        assert torch.allclose(mean_over_time(given(x)), net(x), atol=1e-5)


def chain(neuron):
    torch.manual_seed(0)
    fires = neuron()

    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head, self.lif = nn.Conv2d(2, 6, 3), nn.Linear(216, 4), fires

        def forward(self, x):
            x = x[None].expand(5, *x.shape)
            y = self.lif((self.conv(x.flatten(0, 1)) * 2).unflatten(0, x.shape[:2]))
            return self.head(y.flatten(2)).mean(0)

    return Chain().eval()


@pytest.mark.parametrize("name", ["LIF", "LIF add", "IF"])
def test_spikingjelly_reads_a_chain(name):
    x = torch.randn(6, 2, 8, 8)
    net = graph_net(chain(NEURONS[name][0]), x)
    checks, notes = read_back_traced(to_nir(net, SHAPE), net, x, DT_S)
    names = [check.reader.split()[0] for check in checks]
    assert "SpikingJelly" in names, notes


def test_a_wrong_graph_is_noticed():
    net, _, x = made("LIF")
    graph = to_nir(net, SHAPE)
    node = graph.nodes["two"]
    node.tau = node.tau * 1.05
    with pytest.raises(UserError, match="fire differently"):
        read_back_traced(graph, net, x, DT_S)


@pytest.mark.parametrize(
    ("neuron", "does", "said"),
    [
        (lambda: own(v_reset="soft"), lambda s: s, r"lif \(soft reset\)"),
        (own, lambda s: nn.functional.max_pool2d(s, 2), r"max pooling"),
        (own, lambda s: s * s, "product of activations"),
        (own, lambda s: torch.cat([s, s], 1), "concatenation"),
        (lambda: jelly("IFNode", v_reset=-0.2), lambda s: s, "another potential than 0"),
    ],
)
def test_what_nir_has_no_node_for_is_named(neuron, does, said):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lif = nn.Conv2d(2, 6, 3), neuron()
            with torch.no_grad():
                size = does(torch.zeros(1, 6, 6, 6)).numel()
            self.head = nn.Linear(size, 4)

        def forward(self, x):
            x = x[None].expand(3, *x.shape)
            y = self.lif((self.conv(x.flatten(0, 1)) * 2).unflatten(0, x.shape[:2]))
            return self.head(does(y.flatten(0, 1)).flatten(1)).unflatten(0, x.shape[:2]).mean(0)

    torch.manual_seed(0)
    x = torch.randn(4, 2, 8, 8)
    net = graph_net(Net().eval(), x)
    with pytest.raises(UserError, match=said) as raised:
        to_nir(net, SHAPE)
    assert raised.value.where == "export"
