"""A search in one's own training loop, and every method on a custom network."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.data import load_dataset, make_config
from spiketicket.errors import UserError
from spiketicket.models.prunable import TrainedWeight
from spiketicket.progress import NullReporter
from spiketicket.recipe import ScoreOptimizerConfig, WeightOptimizerConfig
from spiketicket.training.evaluate import evaluate
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import learning_rate

SCORED = ("edge_popup", "signed_supermask")
SINGLE = (*SCORED, "gradual", "snip", "synflow", "random_mask")
SEVERAL = {
    "magnitude": ("pretrained", "ticket"),
    "imp": ("pretrained", "round_1", "ticket"),
    "random_reinit": ("pretrained", "round_1", "ticket"),
    "early_bird": ("search", "ticket"),
    "early_time": ("probe", "pretrained", "round_1", "ticket"),
}
OPTIONS = {
    "gradual": {"interval": 1},
    "imp": {"rounds": 2},
    "random_reinit": {"rounds": 2},
    "early_time": {"probe_epochs": 1, "imp": {"rounds": 2}},
}


class Repeated(nn.Module):
    """A net that is shown its image ``timesteps`` times, each time a little darker."""

    def __init__(self, timesteps=3):
        super().__init__()
        self.timesteps = timesteps
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(96, 10),
        )

    def forward(self, x):
        return torch.stack([self.body(x / (t + 1)) for t in range(self.timesteps)])


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    """Batches of real digits, and their test set."""
    data = load_dataset(make_config("digits"))

    def batches(samples, count):
        x, y = (
            torch.from_numpy(samples.x[:count]).float() / 255,
            torch.from_numpy(samples.y[:count]),
        )
        return list(DataLoader(TensorDataset(x, y), 64))

    return batches(data.train, 320), batches(data.test, 192)


def made():
    torch.manual_seed(1)
    return Repeated()


def trained(net, search, batches, config, epochs):
    """A loop of one's own, with the learning rates that ``spiketicket.search`` uses."""
    optimizer = make_optimizer(search.parameters(), config)
    net.train()
    step, total = 0, epochs * len(batches)
    for _ in range(epochs):
        for x, y in batches:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * learning_rate(step, total, 0.1)
            loss = functional.cross_entropy(net(x).mean(0), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            search.update()
            step += 1
    return search


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["binary", "float"])
@pytest.mark.parametrize("method", SINGLE)
def test_a_loop_of_ones_own_finds_the_ticket_that_search_finds(method, weights, digits):
    batches, _ = digits
    options = {"density": 0.3, "weights": weights, "seed": 3, "options": OPTIONS.get(method)}
    found = spiketicket.search(made(), batches, method=method, epochs=2, **options)
    net = made()
    search = spiketicket.attach(net, method, epochs=2, loader=batches, **options)
    config = ScoreOptimizerConfig() if method in SCORED else WeightOptimizerConfig()
    ticket = trained(net, search, batches, config, 2).ticket()
    assert ticket.to_bytes() == found.to_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("method", [*SINGLE, *SEVERAL])
def test_every_method_finds_a_ticket_in_a_custom_network(method, digits, tmp_path):
    batches, test = digits
    net = made()
    before = copy.deepcopy(net.state_dict())
    ticket = spiketicket.search(
        net,
        batches,
        validation=test,
        method=method,
        density=0.3,
        weights="float",
        lr=0.02,
        epochs=3,
        options=OPTIONS.get(method),
        folder=tmp_path,
    )
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert [layer.name for layer in ticket.layers] == ["body.0", "body.5"]
    size = sum(layer.size for layer in ticket.layers)
    assert sum(layer.kept for layer in ticket.layers) == pytest.approx(0.3 * size, abs=1)
    for layer in ticket.layers:
        assert not layer.weight()[~layer.mask].any()
    loaded = spiketicket.load_into(made(), ticket)
    images = [(x, y) for x, y in test]
    accuracy = evaluate(_Mean(loaded), images).accuracy
    assert 100 * accuracy == ticket.metadata["accuracy"]["validation"] > 20
    names = SEVERAL.get(method, ("ticket",))
    assert {place.name for place in tmp_path.iterdir() if place.is_dir()} == set(names)


class _Mean(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrained", "round_1", "ticket"])
def test_a_stopped_search_of_several_trainings_goes_on(stage, digits, tmp_path):
    batches, _ = digits

    class Stop(Exception):
        pass

    class Heard(NullReporter):
        """Counts steps by stage, and stops in one of them."""

        def __init__(self, stop=""):
            self.stop, self.now, self.steps = stop, "", {}

        def stage_started(self, stage, seed, epochs, steps):
            self.now = stage

        def step(self, epoch, step, *rest):
            self.steps[self.now] = self.steps.get(self.now, 0) + 1
            if self.now == self.stop and (epoch, step) == (1, 1):
                raise Stop

        def __getattr__(self, name):
            return lambda *args: None

    def search(folder, reporter=None, **change):
        given = {"method": "imp", "epochs": 2, "options": {"rounds": 2}, **change}
        return spiketicket.search(made(), batches, folder=folder, reporter=reporter, **given)

    with pytest.raises(Stop):
        search(tmp_path / "cut", Heard(stage))
    again = Heard()
    ticket = search(tmp_path / "cut", again)
    whole = Heard()
    assert ticket.to_bytes() == search(tmp_path / "whole", whole).to_bytes()
    order = ["pretrained", "round_1", "ticket"]
    assert list(whole.steps) == order
    # What was done is not done again, but for the epoch in which it was stopped.
    assert list(again.steps) == order[order.index(stage) :]
    assert again.steps[stage] == len(batches)
    with pytest.raises(UserError, match=r"holds another search.*seed \(0 there, 1 here\)"):
        search(tmp_path / "cut", seed=1)
    (tmp_path / "cut" / "search.json").unlink()
    with pytest.raises(UserError, match=r"pretrained: is of another search"):
        search(tmp_path / "cut", seed=1)


@pytest.mark.parametrize("method", [*SCORED, "gradual"])
def test_a_loop_that_goes_on_from_its_own_checkpoint_ends_with_the_same_ticket(method, digits):
    batches, _ = digits
    total = 2 * len(batches)
    options = {"scope": "global", "ramp_epochs": 2} if method in SCORED else {"interval": 1}

    def begun():
        net = made()
        search = spiketicket.attach(
            net, method, density=0.3, epochs=2, steps_per_epoch=len(batches), options=options
        )
        return net, search, torch.optim.Adam(search.parameters(), 0.02)

    def run(net, search, optimizer, steps):
        for step in steps:
            x, y = batches[step % len(batches)]
            optimizer.zero_grad()
            functional.cross_entropy(net(x).mean(0), y).backward()
            optimizer.step()
            search.update()

    whole = begun()
    run(*whole, range(total))
    for layer in (whole[0].body[0], whole[0].body[5]):
        (held,) = layer.parametrizations.weight
        if isinstance(held, TrainedWeight):
            assert not layer.parametrizations.weight.original[~held.mask].any()
    cut = begun()
    run(*cut, range(6))
    with pytest.raises(UserError, match=r"the density is 0\.\d+ after 6 updates, and is to be 0.3"):
        cut[1].ticket()
    saved = copy.deepcopy((cut[0].state_dict(), cut[2].state_dict()))
    net, search, optimizer = begun()
    nn.ModuleDict({"inside": net}).load_state_dict(
        {f"inside.{key}": value for key, value in saved[0].items()}
    )
    optimizer.load_state_dict(saved[1])
    assert search.updates == 6
    x, _ = batches[0]
    assert torch.equal(net.eval()(x), cut[0].eval()(x))
    net.train()
    run(net, search, optimizer, range(6, total))
    assert search.ticket().to_bytes() == whole[1].ticket().to_bytes()


def test_pruned_weights_stay_zero_in_the_loop_whatever_the_optimizer(digits):
    batches, _ = digits
    net = made()
    search = spiketicket.attach(net, "random_mask", density=0.2, weights="float")
    optimizer = torch.optim.AdamW(search.parameters(), 0.05, weight_decay=0.1)
    for x, y in batches:
        optimizer.zero_grad()
        functional.cross_entropy(net(x).mean(0), y).backward()
        optimizer.step()
        search.update()
        for name in ("0", "5"):
            layer = net.body.get_submodule(name)
            (held,) = layer.parametrizations.weight
            assert isinstance(held, TrainedWeight)
            assert not layer.weight[~held.mask].any()
    ticket = search.ticket(validation=12.5)
    assert ticket.metadata["accuracy"] == {"validation": 12.5}
    x, _ = batches[0]
    plain = spiketicket.load_into(made(), ticket)
    assert torch.equal(plain.eval()(x), net.eval()(x))
    # The network itself can be made plain, and is no search then.
    spiketicket.remove_masks(net)
    assert torch.equal(plain(x), net(x))
    with pytest.raises(UserError, match="not attached any more"):
        search.update()
    assert search.updates == len(batches)
    spiketicket.load_into(net, ticket)  # an ordinary network


def test_a_copy_of_a_network_in_search_is_one_of_its_own(digits):
    """As averages of weights over the training make one."""
    batches, _ = digits
    x, _ = batches[0]
    net = made()
    search = spiketicket.attach(net)
    other = copy.deepcopy(net)
    trained(net, search, batches, ScoreOptimizerConfig(), 1)
    before = net.eval()(x)
    assert not torch.equal(other.eval()(x), before)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), before)
    assert torch.equal(net(x), before)


def test_what_is_trained_is_what_the_method_trains():
    popup = spiketicket.attach(made())
    assert len(popup.parameters()) == 2
    assert not any(p.requires_grad for p in popup.model.parameters() if p.shape == (10,))
    normed = spiketicket.attach(made(), train_norms=True)
    assert [tuple(p.shape) for p in normed.parameters()[2:]] == [(6,), (6,)]
    pruned = spiketicket.attach(made(), "random_mask")
    assert sorted(tuple(p.shape) for p in pruned.parameters()) == [(6, 1, 3, 3), (10,), (10, 96)]
    left = spiketicket.attach(made(), "random_mask", leave=("body.5",))
    assert [tuple(p.shape) for p in left.parameters()] == [(6, 1, 3, 3)]
    assert [layer.name for layer in left.ticket().layers] == ["body.0"]


def test_snip_uses_all_samples_of_the_batch_it_is_given(digits):
    batches, _ = digits
    search = spiketicket.attach(made(), "snip", batch=batches[0])
    assert search.config.samples == 64
    fewer = spiketicket.attach(made(), "snip", batch=batches[0], options={"samples": 8})
    assert fewer.config.samples == 8
    assert search.ticket() != fewer.ticket()
    with pytest.raises(UserError, match="there are only 64 training samples"):
        spiketicket.attach(made(), "snip", loader=batches[:1])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"density": 2}, "attach: density: "),
        ({"density": 1e-9}, "keeps no weight"),
        ({"density": 1e-9, "method": "gradual"}, "keeps no weight of the 1014 of the network"),
        ({"method": "nothing"}, "unknown ticket search method"),
        ({"method": "channels"}, "removes whole channels.*channels.*Use another method"),
        ({"method": "multisp"}, "needs a network with patches"),
        ({"method": "imp"}, "trains the network 4 times: pretrained, .*imp.*spiketicket.search"),
        ({"method": "early_bird"}, "trains the network 2 times: search, ticket"),
        ({"method": "gradual"}, "how long it is: epochs and steps_per_epoch"),
        ({"method": "gradual", "epochs": 2}, "how long it is: steps_per_epoch"),
        ({"options": {"ramp_epochs": 2}, "steps_per_epoch": 5}, "how long it is: epochs"),
        ({"options": {"scope": "global"}}, "how long it is: epochs and steps_per_epoch"),
        ({"method": "snip"}, r"snip looks at data.*loader=loader\), or batch=\(inputs, classes\)"),
        ({"method": "synflow"}, "synflow looks at data"),
        ({"epochs": 0}, "attach: epochs: "),
        ({"steps_per_epoch": 0}, "steps_per_epoch: must be 1 or more"),
        ({"options": {"nonsense": 1}}, "attach: nonsense: "),
        ({"leave": ("body.9",)}, "no such layer"),
        ({"batch": (torch.zeros(2, 1, 8, 8), torch.tensor([0, 99]))}, ""),
    ],
)
def test_wrong_use_is_told_and_leaves_the_network_as_it_was(arguments, text):
    net = made()
    before = copy.deepcopy(net.state_dict())
    flags = [p.requires_grad for p in net.parameters()]
    if not text:
        text, arguments = "a class is not from 0 to 9", {**arguments, "method": "snip"}
    with pytest.raises(UserError, match=text):
        spiketicket.attach(net, **arguments)
    after = net.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert [p.requires_grad for p in net.parameters()] == flags
    spiketicket.attach(net)


def test_a_network_that_cannot_be_searched_is_told():
    net = made()
    spiketicket.attach(net)
    with pytest.raises(UserError, match=r"body\.0.*parametrized already.*before any search"):
        spiketicket.attach(net)
    with pytest.raises(UserError, match="no convolution and no linear layer"):
        spiketicket.attach(nn.Sequential(nn.Flatten()))
    with pytest.raises(TypeError, match=r"must be a PyTorch module"):
        spiketicket.attach("net")
    with pytest.raises(UserError, match="computes in float32"):
        spiketicket.attach(made().double())
    with pytest.raises(UserError, match="a loader or a batch, not both"):
        spiketicket.attach(made(), loader=[], batch=())


def test_early_time_needs_a_network_that_says_its_time_steps(digits):
    batches, _ = digits
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(UserError, match="an attribute `timesteps`"):
        spiketicket.search(net, batches, method="early_time")
    with pytest.raises(UserError, match="needs 3 time steps or more"):
        spiketicket.search(Repeated(2), batches, method="early_time")


def test_an_epoch_of_a_ramp_is_never_the_best_one(digits):
    batches, _ = digits

    class Falling:
        """A validation that is right about ever fewer of its samples."""

        def __init__(self):
            self.passes = 0

        def __iter__(self):
            self.passes += 1
            (x, _), y = batches[0], torch.zeros(64, dtype=torch.int64)
            yield x, y + min(self.passes, 9)

    ticket = spiketicket.search(
        made(),
        batches,
        validation=Falling(),
        density=0.2,
        epochs=4,
        options={"scope": "global", "ramp_epochs": 4},
    )
    size = sum(layer.size for layer in ticket.layers)
    assert sum(layer.kept for layer in ticket.layers) == round(0.2 * size)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": "ternary"}, "weights: must be binary or float (got 'ternary')"),
        ({"options": {"name": "imp"}}, "options: is no option: the call has an argument for it"),
        ({"options": {"density": 0.2}}, "options: is no option: the call has an argument for it"),
        ({"options": {1: 2}}, "1: "),
        ({"density": 1}, ": edge_popup: density 1 keeps every weight"),
    ],
)
def test_what_a_search_is_not_to_be_is_refused_in_one_line(given, message):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    for call in (spiketicket.attach, lambda net, **given: spiketicket.search(net, [], **given)):
        with pytest.raises(UserError) as error:
            call(net, **given)
        assert message in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_numbers_of_numpy_are_written_into_the_ticket():
    net, batches = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), [(torch.rand(4, 4), [0, 1, 0, 1])]
    given = {"seed": np.int64(3), "epochs": np.int32(1), "train_norms": np.False_}
    found = spiketicket.search(net, batches, **given)
    assert found.metadata["seed"] == 3
    assert spiketicket.attach(net, **given).ticket().metadata["seed"] == 3
