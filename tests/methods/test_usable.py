"""Networks that a search would not do justice to, and custom networks in a recipe."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from places import EXAMPLES
from torch import nn
from torch.nn import functional as F

import spiketicket
from spiketicket.errors import UserError
from spiketicket.experiment.verify import Place, verify_ticket
from spiketicket.methods.usable import require_usable
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket
from spiketicket.models.probe import Probe, copied
from spiketicket.recipe import parse_recipe, registry
from spiketicket.recipe.consent import Consent, given
from spiketicket.ticket import Ticket, TicketError

x8 = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Parts(nn.Module):
    """``forward`` and parts given from outside."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, x):
        return self.function(self, x)


def usable(model):
    probe = Probe(
        model=copied(model),
        x=x8,
        forward=lambda net, x: net(x),
        where=type(model).__name__,
        inputs="[B, 1, 8, 8]",
    )
    require_usable(model, probe)


def tied_weights():
    net = Parts(lambda s, x: s.b(s.a(x.flatten(1))), a=nn.Linear(64, 64), b=nn.Linear(64, 64))
    net.b.weight = net.a.weight
    return net


def tied_bias():
    net = Parts(lambda s, x: s.b(s.a(x.flatten(1))), a=nn.Linear(64, 64), b=nn.Linear(64, 64))
    net.b.bias = net.a.bias
    return net


def two_names():
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)


def transposed():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2), nn.Flatten(), nn.Linear(256, 10)
    )


def never_called():
    return Parts(
        lambda s, x: s.used(x.flatten(1)),
        used=nn.Linear(64, 10),
        spare=nn.Linear(64, 10),
        more=nn.Linear(3, 3),
    )


def result_unused():
    return Parts(
        lambda s, x: (s.aside(x.flatten(1)), s.used(x.flatten(1)))[1],
        used=nn.Linear(64, 10),
        aside=nn.Linear(64, 10),
    )


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.membrane = 0

    def forward(self, x):
        self.membrane = 0.5 * self.membrane + self.layer(x.flatten(1))
        return self.membrane


class LIF(nn.Module):
    """Written by hand; fires at ``threshold``, and forgets only if told so."""

    def __init__(self, threshold=1.0, forgets=False, keep=lambda v: v):
        super().__init__()
        self.threshold, self.forgets, self.keep = threshold, forgets, keep
        self.v = self.state = None

    def forward(self, x):
        v = x.sum() * 0 if self.v is None or self.forgets else self.v
        v = 0.5 * v + x
        self.v = v
        # A fast sigmoid's gradient.
        soft = (v - self.threshold) / (1 + (v - self.threshold).abs())
        return (v > self.threshold).float() + soft - soft.detach()


class TupleLIF(nn.Module):
    def __init__(self):
        super().__init__()
        self.state = (torch.zeros(()), 0)

    def forward(self, x):
        self.state = (0.5 * self.state[0] + x, 0)
        return x * 0 + torch.relu(self.state[0] - 1e6)


class HiddenLIF(nn.Module):
    """Its state is in an object that no module knows, and it never fires."""

    def __init__(self):
        super().__init__()
        self.box = type("Box", (), {"v": 0})()

    def forward(self, x):
        self.box.v = 0.5 * self.box.v + x
        return torch.relu(self.box.v - 1e6)


def silent():
    """No neuron ever fires, so that two calls give the same."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        LIF(1e6),
        nn.Conv2d(4, 4, 3, padding=1),
        LIF(1e6),
        nn.Flatten(),
        nn.Linear(256, 10),
        LIF(1e6),
    )


def in_a_tuple():
    return nn.Sequential(nn.Conv2d(1, 4, 3), TupleLIF(), nn.Flatten(), nn.Linear(144, 10))


def out_of_sight():
    return Parts(
        lambda s, x: s.b(s.n(s.a(x.flatten(1)))),
        a=nn.Linear(64, 64),
        n=HiddenLIF(),
        b=nn.Linear(64, 10),
    )


class Counts(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def answers_differ():
    """The last layer hides it, the first that differs is named."""
    return nn.Sequential(nn.Flatten(), Counts(), nn.Linear(64, 10), nn.Softsign())


def attention():
    return Parts(
        lambda s, x: s.head(s.mix(x[:, 0], x[:, 0], x[:, 0])[0].flatten(1)),
        mix=nn.MultiheadAttention(8, 2, batch_first=True),
        head=nn.Linear(64, 10),
    )


def no_statistics():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm, nn.Flatten(), nn.Linear(256, 10))


def noise():
    return Parts(lambda s, x: s.a(x.flatten(1)) + torch.rand(1), a=nn.Linear(64, 10))


class TimeSecond(nn.Module):
    """Gives [B, T, classes]."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.layer = steps, nn.Linear(64, 10)

    def forward(self, x):
        return torch.stack([self.layer(x.flatten(1))] * self.steps, dim=1)


class Standardised(nn.Linear):
    def forward(self, x):
        w = self.weight
        return F.linear(
            x, (w - w.mean(1, keepdim=True)) / (w.std(1, keepdim=True) + 1e-5), self.bias
        )


class StandardisedConv(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        weight = weight - weight.mean((1, 2, 3), keepdim=True)
        return super()._conv_forward(x, weight, bias)


class Quantised(nn.Linear):
    """Makes +-1 of any weight, of zeros too."""

    def forward(self, x):
        hard = torch.where(self.weight < 0, -1.0, 1.0)
        return F.linear(x, self.weight + (hard - self.weight).detach(), self.bias)


class NoisyInTraining(nn.Linear):
    def forward(self, x):
        weight = self.weight + 0.1 if self.training else self.weight
        return F.linear(x, weight, self.bias)


def with_layer(layer):
    return lambda: Parts(lambda s, x: s.b(s.a(x.flatten(1))), a=layer(64, 64), b=nn.Linear(64, 10))


def standardised_conv():
    return nn.Sequential(StandardisedConv(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))


def standardised_by_the_parent():
    def forward(s, x):
        return s.b(F.linear(x.flatten(1), s.a.weight - s.a.weight.mean()))

    return Parts(forward, a=nn.Linear(64, 64), b=nn.Linear(64, 10))


def dense_beside_the_call():
    def forward(s, x):
        x = x.flatten(1)
        return s.b(F.linear(x, s.a.weight - s.a.weight.mean()) + s.a(x))

    return Parts(forward, a=nn.Linear(64, 64), b=nn.Linear(64, 10))


def read_without_a_gradient():
    def forward(s, x):
        x = s.a(x.flatten(1))
        return s.b(x) + F.linear(x, s.b.weight.data.sign())

    return Parts(forward, a=nn.Linear(64, 64), b=nn.Linear(64, 10))


def filled_by_the_parent():
    def forward(s, x):
        s.a.weight.data.copy_(torch.where(s.a.weight < 0, -1.0, 1.0))
        return s.b(s.a(x.flatten(1)))

    net = Parts(forward, a=nn.Linear(64, 64), b=nn.Linear(64, 10))
    net(x8)  # which changes nothing afterwards
    return net


def called_with_another_weight():
    def forward(s, x):
        other = {"weight": s.a.weight - 0.1, "bias": s.a.bias}
        return s.b(torch.func.functional_call(s.a, other, (x.flatten(1),)))

    return Parts(forward, a=nn.Linear(64, 64), b=nn.Linear(64, 10))


def changed_by_a_hook():
    def fill(layer, _):
        layer.weight.data = torch.where(layer.weight < 0, -1.0, 1.0)

    net = with_layer(nn.Linear)()
    net.a.register_forward_pre_hook(fill)
    return net


REFUSED = [
    (with_layer(Standardised), r"^a: does not compute with its weight as it is: .* off .*'Standar"),
    (
        standardised_conv,
        r"^0: does not compute with its weight as it is: .*'StandardisedConv'.*lea",
    ),
    (with_layer(Quantised), r"^a: does not compute with its weight"),
    (with_layer(NoisyInTraining), r"^a: does not compute with its weight"),
    (changed_by_a_hook, r"^a: does not compute with its weight"),
    (standardised_by_the_parent, r"^a: is never called: a module around it uses its weight"),
    (dense_beside_the_call, r"^a: a module around it uses or changes its weight beside calling"),
    (read_without_a_gradient, r"^b: a module around it uses or changes its weight"),
    (filled_by_the_parent, r"^a: a module around it uses or changes its weight"),
    (called_with_another_weight, r"^a: does not compute with .* is called with another weight"),
    (tied_weights, r"^b: shares its weight with a"),
    (tied_bias, r"^b\.bias: is the same parameter as a\.bias"),
    (two_names, r"^3\.weight: is the same parameter as 1\.weight"),
    (transposed, r"^1: is a transposed convolution.*nn\.Upsample"),
    (never_called, r"^spare, more: takes no part in the output"),
    (result_unused, r"^aside: takes no part in the output"),
    (Remembers, r"^Remembers: keeps state between calls: .* its membrane is not the same"),
    (silent, r"^1: keeps state between calls: .* its v is not the same.*Forget the state"),
    (in_a_tuple, r"^1: keeps state between calls: .* its state\[0\] is not the same"),
    (out_of_sight, r"^Parts: has no gradient, or none the second time: .*backward.*Forget"),
    (answers_differ, r"^1: answers the same input differently.*state between calls"),
    (noise, r"^Parts: .*draws random numbers"),
    (attention, r"^mix\.in_proj_weight: is a weight of MultiheadAttention"),
    (no_statistics, r"^1: has no running statistics"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=lambda v: getattr(v, "__name__", ""))
def test_what_a_search_would_do_wrong_is_refused_by_name(make, message):
    model = make()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(UserError, match=message):
        usable(model)
    after = model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


class OnePerStep(nn.Conv2d):
    """Takes frames too, as SpikingJelly's layers do."""

    def forward(self, x):
        if x.dim() == 5:
            return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return super().forward(x)


class Bare(nn.Linear):
    def forward(self, input):  # noqa: A002
        return input @ self.weight.T + self.bias


def test_layers_of_ones_own_that_compute_with_their_weight_are_taken():
    usable(
        Parts(
            lambda s, x: s.d(s.c(s.b(s.a(torch.stack([x, x]))).flatten(2)).mean(0)),
            a=OnePerStep(1, 4, 3, padding=1, padding_mode="circular", groups=1),
            b=OnePerStep(4, 4, 3, stride=2, dilation=2, padding=2, groups=2, bias=False),
            c=Bare(64, 12),
            d=nn.Linear(12, 10),
        )
    )


def test_a_layer_left_as_it_is_may_do_what_it_likes_with_its_weight():
    ticket = spiketicket.search(with_layer(Standardised)(), loader(), epochs=1, leave=("a",))
    assert [layer.name for layer in ticket.layers] == ["b"]


@pytest.mark.parametrize("batch", [8, 4, 16])
def test_time_second_is_refused_whatever_the_batch(batch):
    x, y = loader()[0]
    batches = list(zip(x.split(batch), y.split(batch), strict=True))
    for steps in (7, 8, 9):
        with pytest.raises(
            UserError, match=r"\[B, T, classes\].* gives \[\d, \d, 10\] for.*mean\(1\)"
        ):
            spiketicket.search(TimeSecond(steps), batches, epochs=1)
    spiketicket.search(TimeSecond(8), batches, epochs=1, logits=lambda output: output.mean(1))


def test_the_batch_of_a_loader_may_be_the_second_axis():
    x, y = loader()[0]
    net = lambda: Parts(lambda s, x: s.a(x.flatten(2)), a=nn.Linear(64, 10))  # noqa: E731
    frames = [(x[:8].unsqueeze(0).repeat(steps, 1, 1, 1, 1), y[:8]) for steps in (8, 3)]
    for batch in frames:  # as many steps as samples, and fewer
        spiketicket.search(net(), [batch], epochs=1)


def test_frames_with_the_batch_first_keep_all_their_steps():
    seen = []

    def forward(s, x):
        seen.append(x.shape[1])
        return s.a(x.mean(1).flatten(1))

    x, y = loader()[0]
    frames = x.unsqueeze(1).repeat(1, 5, 1, 1, 1)
    batches = [
        (frames[:8], y[:8]),
        (frames[8:10], y[8:10]),
    ]  # the last has fewer samples than steps
    spiketicket.search(Parts(forward, a=nn.Linear(64, 10)), batches, epochs=1)
    assert set(seen) == {5}


class Recorder(nn.Module):
    """Keeps what it saw, and how often; that changes no answer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.all, self.last = [], None

    def forward(self, x):
        self.calls += 1
        self.all.append(x)
        self.last = x
        return x


def library_neuron(monkeypatch):
    """A neuron as SpikingJelly's: state in a dict, forgotten by ``reset``."""
    monkeypatch.setattr(LIF, "__module__", "spikingjelly.activation_based.neuron")
    monkeypatch.setattr(LIF, "reset", lambda self: setattr(self, "v", None), raising=False)
    return silent()


def test_neurons_that_forget_are_taken():
    usable(
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            LIF(forgets=True),
            nn.BatchNorm2d(4),
            nn.Dropout(0.5),
            Recorder(),
            nn.Flatten(),
            nn.Linear(256, 10),
            LIF(1e6, forgets=True),
        )
    )


def test_neurons_that_are_reset_are_taken(monkeypatch):
    net = library_neuron(monkeypatch)
    ticket = spiketicket.search(net, loader(), epochs=2)
    assert [layer.name for layer in ticket.layers] == ["0", "2", "5"]
    with pytest.raises(UserError, match=r"^1: keeps state"):
        usable(library_neuron(monkeypatch))


def used(net):
    net(x8)
    return net


FAILS = [
    (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(63, 10)),
        r"^1: fails in forward: RuntimeError: mat1 and mat2.*inputs \[B, 1, 8, 8\]",
    ),
    (lambda: nn.Conv2d(1, 10, 3), r"must return logits \[B, classes\]"),
    (
        lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.LazyLinear(10))),
        r"^1\.0: is a LazyLinear whose shape is not known yet.*with one batch.*Linear with",
    ),
    (
        lambda: nn.Sequential(nn.Flatten(), torch.nn.utils.weight_norm(nn.Linear(64, 10))),
        r"^1: has a weight that is computed from others.*remove_weight_norm",
    ),
    (
        lambda: nn.Sequential(nn.Flatten(), torch.nn.utils.spectral_norm(nn.Linear(64, 10))),
        r"^1: has a weight that is computed from others",
    ),
    (lambda: used(Remembers()), r"^Remembers: keeps membrane, the result of an earlier call"),
    (lambda: Parts(lambda s, x: s.a(x.flatten(1)) > 0, a=nn.Linear(64, 10)), r"torch\.bool"),
]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Lazy modules")
@pytest.mark.parametrize(("make", "message"), FAILS)
def test_a_network_that_cannot_be_called_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        spiketicket.search(make(), loader(), epochs=1)
    if "must return" not in message:
        with pytest.raises(UserError, match=message):
            usable(make())


def loader(count=64):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(count, 1, 8, 8, generator=generator)
    return [(x, torch.arange(count) % 10)]


def test_grouped_convolutions_are_searched_with_their_own_fan_in():
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    ticket = spiketicket.search(net, loader(), epochs=1)
    layers = {layer.name: layer for layer in ticket.layers}
    assert layers["1"].shape == (8, 1, 3, 3)
    assert layers["1"].kept == 36
    # The signed constant of 9 inputs and not of 72.
    assert layers["1"].alpha == pytest.approx(np.sqrt(2 / 9), rel=1e-6)


def test_layers_left_as_they_are_stay_so_and_load_again():
    net = transposed()
    ticket = spiketicket.search(net, loader(), epochs=1, leave=("1",))
    assert [layer.name for layer in ticket.layers] == ["0", "3"]
    assert np.array_equal(ticket.tensors["1.weight"], net[1].weight.detach().numpy())
    loaded = spiketicket.load_into(transposed(), ticket).eval()
    assert torch.equal(loaded[1].weight, net[1].weight)
    with pytest.raises(UserError, match=r"leave: no such layer \(got '9'\).*Known: 0, 1, 2, 3"):
        spiketicket.search(net, loader(), leave=("9",))


def test_a_search_leaves_torchs_random_numbers_alone():
    net, state = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.random.get_rng_state()
    spiketicket.search(net, loader(), epochs=1)
    assert torch.equal(state, torch.random.get_rng_state())


MODULE = """
from torch import nn
def build(hidden=32, shape=None, timesteps=None):
    assert shape.classes == 10 and timesteps == 3
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def spiking():
    import snntorch
    neuron = snntorch.Leaky(beta=0.9, init_hidden=True, output=False)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), neuron)
def fails():
    raise RuntimeError("no luck")
def text():
    return "net"
def sized(inputs=64, outputs=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))
def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10), nn.LazyBatchNorm1d())
def weight_norm():
    return nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(64, 10)))
def time_second(steps=2):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)
        def forward(self, x):
            import torch
            return torch.stack([self.layer(x.flatten(1))] * steps, 1)
    return Net()
def dropout():
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
def no_layer():
    return nn.Flatten()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "mynet_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mynet_of_a_test", None)


def recipe(function="build", neuron="own", **model):
    name = f"mynet_of_a_test:{function}"
    return parse_recipe(
        {
            "name": "own",
            "data": {"name": "digits"},
            "model": {"name": name, **model},
            "neuron": {"name": neuron},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": 64, "tune": "off"},
        }
    )


def built(made):
    """The network of a recipe of one's own."""
    with given(Consent(made.model.name, trust_options=True)):
        build = registry.load_network(made.model.name).build
        return build(made.model, made.neuron, DataShape(channels=1, height=8, width=8, classes=10))


def test_find_with_a_network_of_ones_own(here):
    mine = recipe(timesteps=3, options={"hidden": 16}, leave=[])
    assert mine.hash != recipe(timesteps=3, options={"hidden": 17}).hash
    own = "mynet_of_a_test:build"
    found = spiketicket.find(mine, runs_dir=here / "runs", network=own, options={"hidden": 16})
    path = found.tickets[0]
    ticket = Ticket.load(path)
    assert [layer.name for layer in ticket.layers] == ["1", "3"]
    assert ticket.layers[0].shape == (16, 64)
    from_ticket(ticket)  # its layers are in it
    again = spiketicket.evaluate_ticket(path, network=own, trust_options=True)
    assert again.test_accuracy == pytest.approx(ticket.metadata["accuracy"]["test"])
    from_ticket(ticket, network=own, options={"hidden": 16})
    with pytest.raises(TicketError, match="arguments that you have not confirmed"):
        verify_ticket(path, Place(consent=Consent(own)))
    sure = verify_ticket(path, Place(consent=Consent(own, {"hidden": 16})), rerun=True)
    assert {check.state for check in sure.checks} == {"fits"}
    # The ticket is of the module itself, so that it loads without this package's help.
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    spiketicket.load_into(plain, ticket)


@pytest.mark.slow
def test_a_recipe_with_dropout_gives_the_same_ticket_again(here):
    made = recipe("dropout")
    tickets = []
    for runs in ("one", "two"):
        torch.manual_seed(len(tickets))
        path = spiketicket.find(made, runs_dir=here / runs, network=made.model.name).tickets[0]
        tickets += [path.read_bytes()]
    assert tickets[0] == tickets[1]


def test_a_ticket_of_a_network_that_puts_time_second_is_refused(here):
    made = recipe("time_second")
    args = {
        "model": made.model.model_dump(mode="json"),
        "neuron": {"name": "custom"},
        "shape": {"channels": 1, "height": 8, "width": 8, "classes": 10, "frames": 1},
    }
    tensors = {"layer.weight": np.zeros((10, 64), np.float32), "layer.bias": np.zeros(10, "f4")}
    ticket = Ticket((), tensors, {"network": {"name": made.model.name, "args": args}})
    with pytest.raises(UserError, match=r"returns \[B, T, classes\]"):
        from_ticket(ticket, network=made.model.name)


def test_neurons_of_a_recipes_network_are_reset_before_every_call(here):
    pytest.importorskip("snntorch")
    made = recipe("spiking")
    net = built(made)
    x = 5 * x8
    first = net(x)
    assert 0 < first.mean() < 1
    assert torch.equal(net(x), first)


def test_a_ticket_cannot_make_a_reader_import_anything(here):
    (here / "evil_of_a_test.py").write_text("raise SystemExit('imported')")
    args = {"model": {"name": "evil_of_a_test:f"}, "neuron": {"name": "custom"}, "shape": {}}
    ticket = Ticket((), {}, {"network": {"name": "evil_of_a_test:f", "args": args}})
    with pytest.raises(TicketError, match="is of a custom network"):
        from_ticket(ticket)
    assert "evil_of_a_test" not in sys.modules


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "absent"}, "has no function absent"),
        ({"function": "fails"}, "the function failed: RuntimeError: no luck"),
        ({"function": "text"}, "must return an nn.Module, not str"),
        ({"options": {"hiden": 3}}, r"model\.options: .*no such argument \(got 'hiden'\)"),
        ({"function": "plain", "width": 2.0}, r"model\.width: .*takes no argument width"),
        ({"function": "plain", "timesteps": 9}, r"model\.timesteps: .*no argument timesteps"),
        (
            {"function": "plain", "neuron": "lif"},
            r"neuron\.name: .*neuron.*Set neuron\.name = \"custom\"",
        ),
        ({"function": "plain", "leave": ["7"]}, "leave: no such layer"),
    ],
)
def test_a_recipe_that_does_not_fit_its_function_is_refused(here, settings, message):
    made = recipe(**settings)
    with pytest.raises(UserError, match=message):
        built(made)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Lazy modules")
@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (
            "sized",
            {"inputs": 63},
            r"^1: fails in forward: .*mat1.*called with inputs \[B, 1, 8, 8\]",
        ),
        ("sized", {"outputs": 7}, r"^model\.name: must return .* \[2, 10\] .* not \[2, 7\]"),
        ("sized", {"outputs": 11}, r"^model\.name: must return .* of 10 classes, not \[2, 11\]"),
        ("lazy", {}, r"^1: is a LazyLinear"),
        ("weight_norm", {}, r"^1: has a weight that is computed"),
        ("time_second", {}, r"^model\.name: returns \[B, T, classes\].* \[2, 2, 10\] for 2 inputs"),
        (
            "time_second",
            {"steps": 3},
            r"^model\.name: returns \[B, T, classes\].*\[2, 3, 10\] for 2",
        ),
        ("no_layer", {}, "no convolution and no linear layer"),
    ],
)
def test_find_refuses_a_network_that_fails_before_it_has_a_folder(here, function, options, message):
    with pytest.raises(UserError, match=message):
        spiketicket.find(
            recipe(function, options=options),
            runs_dir=here / "runs",
            options=options or None,
            network=f"mynet_of_a_test:{function}",
        )
    assert not (here / "runs").exists()


def test_names_of_networks():
    with pytest.raises(UserError, match=r"model\.name: unknown network"):
        parse_recipe(
            {
                "name": "own",
                "data": {"name": "digits"},
                "model": {"name": "os path:system"},
                "neuron": {"name": "custom"},
                "ticket": {"name": "edge_popup", "density": 0.5},
                "train": {"epochs": 1, "batch_size": 64, "tune": "off"},
            }
        )
    convnet, own = registry.load("models", "convnet"), registry.load("neurons", "own").Config()
    with pytest.raises(UserError, match=r"neuron\.name: is for a custom network"):
        convnet.build(convnet.Config(), own, DataShape(channels=1, height=8, width=8, classes=10))
    missing = registry.load_network("no_such_module_here:f")
    config = missing.Config(name="no_such_module_here:f")
    there = pytest.raises(UserError, match="there is no Python module no_such_module_here")
    with there, given(Consent(config.name)):
        missing.build(config, own, DataShape(channels=1, height=8, width=8, classes=10))


@pytest.mark.slow
def test_the_example_runs_with_every_library():
    libraries = [n for n in ("spikingjelly", "snntorch", "norse") if importlib.util.find_spec(n)]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "custom_network.py"), "plain", *libraries, "--epochs", "1"],
        check=True,
        capture_output=True,
        text=True,
        timeout=500,
    )
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["plain", *libraries]
    for line in lines:
        assert float(line.split(": ")[-1].split("%")[0]) > 25, line


def test_the_examples_recipe_is_sound():
    loaded = spiketicket.load_recipe(EXAMPLES / "custom_network.toml")
    assert json.loads(json.dumps(loaded.model.options)) == {"channels": 24}
