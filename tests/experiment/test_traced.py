"""A custom network's graph: the engine computes what PyTorch computes, or says why it does not."""

import copy
import warnings
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from custom_networks import PUBLISHED, images
from plain_c import run_c
from torch import nn

import spiketicket
from spiketicket.engine.compile import compile_ticket
from spiketicket.errors import UserError
from spiketicket.experiment.exactness import compare_spikes
from spiketicket.experiment.traced import with_graph
from spiketicket.export.c import export_c
from spiketicket.models.custom import mean_over_time, reset_state
from spiketicket.models.probe import copied
from spiketicket.models.traced import traced
from spiketicket.neurons import lif

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("spikingjelly", "snntorch", "norse")),
    reason="the libraries that the networks are written for are not installed",
)


def forward(net, x):
    reset_state(net)
    return mean_over_time(net(x))


def as_ticket(net, inputs, **options):
    """A ticket of the network as it is: every weight kept."""
    from spiketicket.models.of_ticket import to_ticket
    from spiketicket.models.prunable import TrainedWeight, prunable

    held = copied(net)
    for layer in prunable(held).values():
        mask = torch.ones_like(layer.weight, dtype=torch.bool)
        nn.utils.parametrize.register_parametrization(
            layer, "weight", TrainedWeight(mask, binary=False)
        )
    ticket = to_ticket(held, {"network": {"name": type(net).__name__}})
    return with_graph(ticket, net, inputs, **options)


def require_equal(net, ticket, x, batch=0):
    """Every spike of every neuron is PyTorch's, but for rounding at a threshold; and the logits."""
    program = compile_ticket(ticket)
    trace = traced(copied(net).eval(), x, forward, batch=batch)
    given = x.movedim(batch, 0).numpy().astype(np.float32)
    shape = (len(given), program.frames, program.channels, program.height, program.width)
    found = compare_spikes(program, given.reshape(shape), trace.spikes, trace.logits.numpy())
    assert found.neuron_steps > 0
    assert found.wrong == 0, found
    assert found.different <= max(3, found.neuron_steps // 2000), found
    assert found.logit_difference < 1e-5
    engine = spiketicket.Engine(ticket)
    logits = engine.run(given.reshape(len(given), *engine.input_shape))
    with torch.no_grad():
        wanted = forward(copied(net).eval(), x).numpy()
    # a spike that rounding decides changes the logits of its sample
    same = np.abs(logits - wanted).max(axis=1) < 1e-4 * max(1, np.abs(wanted).max())
    assert np.count_nonzero(~same) <= found.different
    assert same.mean() >= 0.8
    assert (logits[same].argmax(1) == wanted[same].argmax(1)).all()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_searched_and_run_by_the_engine(name, tmp_path):
    make, data, batch = PUBLISHED[name]
    torch.manual_seed(0)
    net, (x, y) = make(), data()
    ticket = spiketicket.search(net, [(x, y)] * 4, epochs=6, density=0.5)
    assert "untraced" not in ticket.metadata["network"], ticket.metadata["network"]
    ticket.save(tmp_path / "own.ticket")
    ticket = spiketicket.Ticket.load(tmp_path / "own.ticket")
    found = require_equal(spiketicket.load_into(make(), ticket), ticket, x, batch)
    assert found.different == 0 or found.rounding
    program = compile_ticket(ticket)
    export_c(program, tmp_path / "c", "net")
    given = x.movedim(batch, 0).numpy()
    shape = (len(given), program.frames, program.channels, program.height, program.width)
    made = run_c(tmp_path / "c", program, given.reshape(shape))
    engine = spiketicket.Engine(ticket)
    wanted = engine.run(given.reshape(len(given), *engine.input_shape))
    assert np.array_equal(made, wanted)
    assert wanted.std(axis=0).max() > 0.01, "the network says the same of everything"


# ---- neurons of four libraries, [T, B, ...] and step by step


def plain_lif(**settings):
    return lif.LIF(lif.Config(**settings), "eager")


def jelly(kind, mode="s", **settings):
    from spikingjelly.activation_based import neuron

    return getattr(neuron, kind)(step_mode=mode, **settings)


def torch_leaky(kind="Leaky", **settings):
    import snntorch

    return getattr(snntorch, kind)(**settings)


def norse(kind, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, as it is imported
        import norse.torch

    return getattr(norse.torch, kind)(**settings)


def norse_box(reset="reset_value", **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from norse.torch.functional import reset as resets
        from norse.torch.functional.lif_box import LIFBoxParameters

    p = LIFBoxParameters(
        tau_mem_inv=torch.tensor(300.0), reset_method=getattr(resets, reset), **settings
    )
    return norse("LIFBoxCell", p=p)


WHOLE = {
    "own": plain_lif,
    "own soft": lambda: plain_lif(v_reset="soft", decay=0.8),
    "own rest": lambda: plain_lif(v_reset=-0.3, decay_input=True, decay=0.2),
    "IF": lambda: jelly("IFNode", "m"),
    "IF soft": lambda: jelly("IFNode", "m", v_reset=None, v_threshold=0.7),
    "LIF": lambda: jelly("LIFNode", "m", tau=1.7),
    "LIF rest": lambda: jelly("LIFNode", "m", decay_input=False, v_reset=-0.2),
    "PLIF": lambda: jelly("ParametricLIFNode", "m", init_tau=1.3),
    "PLIF add": lambda: jelly("ParametricLIFNode", "m", decay_input=False, v_reset=0.1),
}
STEPPED = {
    "IF": lambda: jelly("IFNode"),
    "LIF": lambda: jelly("LIFNode", decay_input=False),
    "PLIF": lambda: jelly("ParametricLIFNode", v_reset=None),
    "Leaky": lambda: torch_leaky(beta=0.8, init_hidden=True),
    "Leaky zero": lambda: torch_leaky(beta=0.6, reset_mechanism="zero", init_hidden=True),
    "Leaky none": lambda: torch_leaky(beta=0.6, reset_mechanism="none", init_hidden=True),
    "Leaky learned": lambda: torch_leaky(
        beta=0.7, threshold=0.6, learn_beta=True, learn_threshold=True, init_hidden=True
    ),
    "Synaptic": lambda: torch_leaky("Synaptic", alpha=0.5, beta=0.8, init_hidden=True),
}
STATES = {
    "Leaky": lambda: torch_leaky(beta=0.8),
    "Synaptic": lambda: torch_leaky("Synaptic", alpha=0.4, beta=0.9),
    "norse LIF": lambda: norse("LIFCell"),
    "norse box": norse_box,
    "norse box soft": lambda: norse_box("reset_subtract"),
    "norse IAF": lambda: norse("IAFCell"),
}


class Whole(nn.Module):
    """``[T, B, ...]`` in one call, of frames or of a picture that is the same at every step."""

    def __init__(self, neuron, steps=5):
        super().__init__()
        self.steps = steps
        self.conv, self.norm, self.fc = nn.Conv2d(2, 6, 3, 2), nn.BatchNorm2d(6), nn.Linear(54, 4)
        self.one, self.two = neuron(), neuron()

    def forward(self, x):
        if x.dim() == 4:
            x = x[None].expand(self.steps, *x.shape)
        y = self.norm(self.conv(x.flatten(0, 1) * 3))
        y = self.one(y.unflatten(0, x.shape[:2])).flatten(0, 1)
        return self.two(self.fc(y.flatten(1) * 2).view(*x.shape[:2], -1)).mean(0)


class Stepped(nn.Module):
    """One step after the other; ``stack`` keeps the outputs, else they are added up."""

    def __init__(self, neuron, *, steps=5, stack=True, states=False):
        super().__init__()
        self.steps, self.stack, self.states = steps, stack, states
        self.conv, self.norm, self.fc = nn.Conv2d(2, 6, 3, 2), nn.BatchNorm2d(6), nn.Linear(54, 4)
        self.one, self.two = neuron(), neuron()

    def fires(self, neuron, x, state):
        if not self.states:
            return neuron(x), None
        out, *state = neuron(x, *state) if isinstance(state, list) else neuron(x, state)
        return out, state if len(state) > 1 else state[0]

    def forward(self, x):
        spikes, one, two = [], None, None
        for t in range(len(x) if x.dim() == 5 else self.steps):
            y = self.norm(self.conv((x[t] if x.dim() == 5 else x) * 3))
            y, one = self.fires(self.one, y, one)
            y, two = self.fires(self.two, self.fc(torch.flatten(y, 1)) * 3, two)
            spikes.append(y)
        return torch.stack(spikes).mean(0) if self.stack else sum(spikes) / len(spikes)


def drawn(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (5, 6, 2, 8, 8) if frames else (6, 2, 8, 8)
    return torch.randn(shape, generator=generator) * 1.5


def trained_statistics(net, x):
    """BatchNorm statistics of the data, so that neurons fire."""
    torch.manual_seed(1)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.3, 1.5)
        nn.init.normal_(norm.weight, 1, 0.5)
        nn.init.normal_(norm.bias, 0.4, 0.3)
    del x
    return net.eval()


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_neurons_that_take_all_steps(name, frames):
    x = drawn(frames)
    torch.manual_seed(0)
    net = trained_statistics(Whole(WHOLE[name]), x)
    batch = int(frames)
    require_equal(net, as_ticket(net, x, batch=batch), x, batch)


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("name", STEPPED)
def test_neurons_that_take_one_step(name, frames):
    x = drawn(frames)
    torch.manual_seed(0)
    net = trained_statistics(Stepped(STEPPED[name], stack=frames), x)
    batch = int(frames)
    require_equal(net, as_ticket(net, x, batch=batch), x, batch)


@pytest.mark.parametrize("name", STATES)
def test_neurons_that_are_handed_their_state(name):
    x = drawn(True)
    torch.manual_seed(0)
    net = trained_statistics(Stepped(STATES[name], states=True), x)
    require_equal(net, as_ticket(net, x, batch=1), x, 1)


# ---- layers


class Branches(nn.Module):
    """Concatenation, residual sums, grouped, dilated and strided convolutions, average pooling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, (3, 1), padding=(1, 0), groups=2)
        self.right = nn.Conv2d(4, 2, 3, padding="same", dilation=2)
        self.depth = nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6, bias=False)
        self.head = nn.Linear(6, 5)
        self.fires = nn.ModuleList(plain_lif(decay=0.7, v_threshold=0.4) for _ in range(4))

    def over(self, layer, x):
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def forward(self, x):
        x = x.unsqueeze(0).repeat(4, 1, 1, 1, 1)
        s = self.fires[0](self.over(self.stem, x) * 2)
        left, right = self.over(self.left, s), self.over(self.right, s)
        y = torch.cat([left + s, right], dim=2)
        s = self.fires[1](y * 2)
        pooled = self.over(nn.AvgPool2d(3, 1, 1), s)
        s = self.fires[2](self.over(self.depth, pooled + s) * 2)
        s = self.over(nn.MaxPool2d(2, 2), s) * self.over(nn.MaxPool2d(2, 2), s)
        return self.head(s.mean((-2, -1))).mean(0)


class Signal(nn.Module):
    """Along one axis: ``[B, C, L]``."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv1d(3, 6, 5, stride=2, padding=2), nn.Conv1d(6, 4, 3)
        self.norm, self.head = nn.BatchNorm1d(6), nn.Linear(8, 3)
        self.first, self.second = jelly("IFNode"), jelly("IFNode")

    def forward(self, x):
        counts = 0
        for _ in range(4):
            s = nn.functional.max_pool1d(self.first(self.norm(self.one(x)) * 2), 2)
            s = nn.functional.avg_pool1d(self.second(self.two(s) * 2), 2, 2, 1)
            counts = counts + self.head(s.flatten(1))
        return counts


class Features(nn.Module):
    """Of a table: ``[B, F]``."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(7, 20), nn.Linear(20, 3)
        self.lif = torch_leaky(beta=0.9, init_hidden=True)

    def forward(self, x):
        return torch.stack([self.two(self.lif(self.one(x) * 2)) for _ in range(6)])


@pytest.mark.parametrize(
    ("make", "shape"),
    [(Branches, (5, 3, 9, 9)), (Signal, (5, 3, 20)), (Features, (5, 7))],
)
def test_layers(make, shape):
    torch.manual_seed(2)
    net, x = make().eval(), torch.randn(shape)
    require_equal(net, as_ticket(net, x), x)


def test_blocks_of_this_package_in_a_network_of_ones_own():
    from spiketicket.models.blocks import conv_block

    class Blocks(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = conv_block(1, 6, plain_lif(), bn_affine=True, halve=True)
            self.two = conv_block(6, 6, plain_lif(), bn_affine=True, halve=True, pooling="average")
            self.head = nn.Linear(24, 3)

        def forward(self, x):
            return self.head(self.two(self.one(x[None], 4), 4).flatten(2)).mean(0)

    torch.manual_seed(0)
    x = torch.randn(5, 1, 8, 8)
    net = trained_statistics(Blocks(), x)
    ticket = as_ticket(net, x)
    with torch.no_grad():
        wanted = net(x).numpy()
    np.testing.assert_allclose(spiketicket.Engine(ticket).run(x.numpy()), wanted, atol=1e-5)
    assert wanted.std() > 0


# ---- what is not known


class Odd(nn.Module):
    """A network that does one thing that is not known."""

    def __init__(self, does, neuron=None):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(16, 3)
        self.lif, self.does = neuron or plain_lif(v_threshold=0.2), does

    def forward(self, x):
        y = self.conv(x).unsqueeze(0).repeat(3, 1, 1, 1, 1)
        return self.head(self.does(self.lif(y)).flatten(2)).mean(0)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (torch.tanh, "tanh"),
        (lambda s: s + 1, "adds a constant"),
        (lambda s: s * torch.arange(4.0)[:, None, None], "multiplies by a tensor"),
        (lambda s: s.roll(1, 0), "roll"),
        (lambda s: s[:, :, :, :1].expand(s.shape), "part of an axis"),
    ],
)
def test_what_is_not_known_is_named(does, said):
    net, x = Odd(does).eval(), torch.randn(4, 1, 4, 4)
    with pytest.raises(UserError, match=said) as raised:
        as_ticket(net, x)
    assert raised.value.where == "Odd"
    assert "Known are convolutions" in raised.value.remedy


def test_a_neuron_that_is_not_known_is_named():
    net, x = Odd(lambda s: s, jelly("KLIFNode", "m")).eval(), torch.randn(4, 1, 4, 4)
    with pytest.raises(UserError, match="KLIFNode is a neuron of spikingjelly that is not") as e:
        as_ticket(net, x)
    assert e.value.where == "lif"


def test_recurrent_connections_are_named():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.back, self.lif = nn.Linear(5, 4), nn.Linear(4, 4), jelly("IFNode")

        def forward(self, x):
            spikes = [self.lif(self.one(x))]
            spikes += [self.lif(self.one(x) + self.back(spikes[0]))]
            return torch.stack(spikes)

    with pytest.raises(UserError, match="recurrent connections are not known"):
        as_ticket(Recurrent().eval(), torch.randn(4, 5))


def test_a_search_goes_on_without_a_graph_and_its_ticket_says_why():
    net = Odd(torch.tanh)
    x, y = torch.randn(8, 1, 4, 4), torch.randint(0, 3, (8,))
    ticket = spiketicket.search(net, [(x, y)] * 2, epochs=1)
    assert ticket.metadata["network"]["untraced"] == "Odd: calls torch's tanh, which is not known"
    with pytest.raises(UserError, match="without PyTorch: Odd: calls torch's tanh"):
        spiketicket.Engine(ticket)


def test_a_network_that_is_read_wrongly_is_refused(monkeypatch):
    """The comparison finds an error in a reader that is of one neuron in a hundred."""
    from spiketicket.models.traced import neurons

    torch.manual_seed(0)
    x = drawn(False)
    net = trained_statistics(Whole(WHOLE["IF"]), x)
    monkeypatch.setitem(
        neurons._READERS["spikingjelly"], "IFNode", lambda m: neurons._jelly(m, charge=0, decay=0.9)
    )
    with pytest.raises(UserError, match="computes something else than the network"):
        as_ticket(net, x)


def test_logits_that_are_no_numbers_are_equal_to_nothing():
    """Sums that overflow in both are no proof that both compute the same."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).eval()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([3e38, -3e38]).repeat(4, 32))
    with pytest.raises(UserError, match="computes something else than the network"):
        as_ticket(net, torch.rand(4, 1, 8, 8) + 10)


def test_the_network_is_left_as_it_is():
    x, _ = images(4)
    torch.manual_seed(0)
    net = PUBLISHED["plif_net"][0]().eval()
    before = copy.deepcopy(net.state_dict())
    as_ticket(net, x)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all("forward" not in vars(module) for module in net.modules())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"version": 99}, "version"),
        ({"ops": "x"}, "ops"),
        ({"ops": []}, "ops"),
        ({"ops": [{"op": "run", "in": [0]}]}, "op"),
        ({"ops": [{"op": "mean", "in": [3], "time": True, "positions": False}]}, "in"),
        ({"ops": [{"op": "add", "in": [0]}]}, "reads 2"),
        ({"ops": [{"op": "synapse", "in": [0], "name": "nowhere", "flatten": True}]}, "missing"),
        ({"channels": 10**9}, "channels"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_damaged_graph_is_an_error(change, said):
    net, x = Odd(lambda s: s).eval(), torch.randn(4, 1, 4, 4)
    ticket = as_ticket(net, x)
    graph = {**ticket.metadata["network"]["graph"], **change}
    network = {**ticket.metadata["network"], "graph": graph}
    with pytest.raises(UserError, match=said):
        compile_ticket(replace(ticket, metadata={**ticket.metadata, "network": network}))


# ---- in PyTorch again, without the network's code


@pytest.mark.parametrize(
    ("make", "shape"),
    [(Branches, (5, 3, 9, 9)), (Signal, (5, 3, 20)), (Features, (5, 7))],
)
def test_the_graph_is_a_network_of_pytorch(make, shape):
    torch.manual_seed(2)
    net, x = make().eval(), torch.randn(shape)
    again = spiketicket.from_ticket(as_ticket(net, x))
    with torch.no_grad():
        assert torch.allclose(again(x), forward(copied(net), x), atol=1e-5)


@pytest.mark.parametrize("name", [*WHOLE, *STEPPED])
def test_neurons_of_the_graph_in_pytorch(name):
    x = drawn(True)
    torch.manual_seed(0)
    made = Whole(WHOLE[name]) if name in WHOLE else Stepped(STEPPED[name])
    net = trained_statistics(made, x)
    again = spiketicket.from_ticket(as_ticket(net, x, batch=1))
    with torch.no_grad():
        assert torch.allclose(again(x), forward(copied(net), x), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"padding": [60000, 60000]},
        {"groups": 3},
        {"name": "forward"},
        {"name": "head.weight"},
        {"in": [7]},
        {"stride": [0, 0]},
        {"op": "eval"},
    ],
)
def test_a_hostile_graph_is_an_error_in_pytorch_too(change):
    net, x = Odd(lambda s: s).eval(), torch.randn(4, 1, 4, 4)
    ticket = as_ticket(net, x)
    graph = ticket.metadata["network"]["graph"]
    ops = [{**graph["ops"][0], **change}, *graph["ops"][1:]]
    network = {**ticket.metadata["network"], "graph": {**graph, "ops": ops}}
    hostile = replace(ticket, metadata={**ticket.metadata, "network": network})
    with pytest.raises(UserError):
        spiketicket.from_ticket(hostile)
    with pytest.raises(UserError):
        compile_ticket(hostile)
