"""The search on networks this package knows nothing about."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.data import load_dataset, make_config
from spiketicket.errors import UserError
from spiketicket.progress import NullReporter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    data = load_dataset(make_config("digits"))

    def loader(samples, shuffle):
        x = torch.from_numpy(samples.x).float() / 255
        return DataLoader(TensorDataset(x, torch.from_numpy(samples.y)), 64, shuffle=shuffle)

    return loader(data.train, True), loader(data.test, False)


class Repeated(nn.Module):
    """A single-step net shown its image T times, as libraries with a step mode do it."""

    def __init__(self, net, steps=4):
        super().__init__()
        self.net = net
        self.steps = steps

    def forward(self, x):
        return torch.stack([self.net(x) for _ in range(self.steps)])


def spikingjelly_net():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    return Repeated(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            neuron.LIFNode(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
    )


def snntorch_net():
    snntorch = pytest.importorskip("snntorch")
    return Repeated(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            snntorch.Leaky(beta=0.5, init_hidden=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
    )


def plain_net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))


@pytest.mark.parametrize("make", [spikingjelly_net, snntorch_net, plain_net])
def test_finds_saves_and_loads(make, digits, tmp_path):
    loader, test = digits
    model = make()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ticket = spiketicket.search(model, loader, validation=test, density=0.5, epochs=3, seed=1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    ticket.save(tmp_path / "own.ticket")
    net = spiketicket.load_into(make(), spiketicket.Ticket.load(tmp_path / "own.ticket")).eval()
    assert all(abs(layer.density - 0.5) < 1e-3 for layer in ticket.layers)
    stated = ticket.metadata["accuracy"]["validation"]
    assert stated > 60
    from spiketicket.experiment.search import reset_state

    hits = total = 0
    with torch.no_grad():
        for x, y in test:
            reset_state(net)
            logits = net(x)
            logits = logits.mean(0) if logits.dim() == 3 else logits
            hits, total = hits + int((logits.argmax(1) == y).sum()), total + len(y)
    assert 100 * hits / total == pytest.approx(stated, abs=0.6)


def test_the_same_seed_gives_the_same_ticket_and_a_stopped_search_goes_on(digits, tmp_path):
    loader, test = digits

    class Stop(Exception):
        pass

    def search(**options):
        net = plain_net()
        torch.manual_seed(0)
        for p in net.parameters():
            nn.init.zeros_(p)
        return spiketicket.search(net, loader, validation=test, epochs=2, **options)

    class Interrupter(NullReporter):
        def __getattribute__(self, name):
            def call(*args):
                if name == "step" and args[0] == 1:
                    raise Stop

            return call

    with pytest.raises(Stop):
        search(folder=tmp_path, reporter=Interrupter())
    with pytest.raises(UserError, match=r"differs in weights \(binary there, float here\)"):
        search(folder=tmp_path, weights="float")
    assert search(folder=tmp_path) == search() != search(seed=1)


def with_dropout():
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_a_search_with_dropout_that_is_stopped_within_an_epoch_goes_on_as_a_whole_one(tmp_path):
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(500, 4, generator=draw), torch.randint(3, (500,), generator=draw)

    class Noisy(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x + torch.rand(()), y

    class Interrupter(NullReporter):
        def __getattribute__(self, name):
            def call(*args):
                if name == "step" and args[1] == 230:  # checkpoints are written every 200 steps
                    raise KeyboardInterrupt

            return call

    def search(**options):
        return spiketicket.search(with_dropout(), DataLoader(Noisy(x, y), 2), epochs=1, **options)

    with pytest.raises(KeyboardInterrupt):
        search(folder=tmp_path, reporter=Interrupter())
    torch.manual_seed(99)
    assert search(folder=tmp_path) == search()


def test_unusable_networks_and_outputs_are_named(digits):
    loader, _ = digits
    with pytest.raises(UserError, match="no convolution and no linear layer"):
        spiketicket.search(nn.Sequential(nn.Flatten()), loader)
    with pytest.raises(UserError, match="search: density: "):
        spiketicket.search(plain_net(), loader, density=2)
    with pytest.raises(UserError, match="search: epochs: "):
        spiketicket.search(plain_net(), loader, epochs=0)
    with pytest.raises(UserError, match="no batch"):
        spiketicket.search(plain_net(), [])
    with pytest.raises(UserError, match="keeps no weight"):
        spiketicket.search(plain_net(), loader, density=1e-9)

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x):
            return self.layer(x.flatten(1)), None

    with pytest.raises(UserError, match="must return logits"):
        spiketicket.search(Pair(), loader, epochs=1)
    ticket = spiketicket.search(Pair(), loader, epochs=1, logits=lambda output: output[0])
    assert ticket.metadata["accuracy"]["validation"] is None
