"""The mask of a ticket under the user's own optimizer."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import spiketicket
from spiketicket.errors import UserError
from spiketicket.models.of_ticket import to_ticket

_draw = torch.Generator().manual_seed(0)
X, Y = torch.rand(32, 1, 8, 8, generator=_draw), torch.randint(4, (32,), generator=_draw)


def make():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 4)
    )


@pytest.fixture(scope="module")
def ticket():
    torch.manual_seed(0)
    return spiketicket.search(make(), [(X, Y)], epochs=1)


@pytest.fixture
def held(ticket):
    return spiketicket.load_into(make(), ticket, keep_mask=True)


def train(net, kind=torch.optim.AdamW, steps=3, **options):
    optimizer = kind(net.parameters(), lr=0.05, weight_decay=0.1, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(net(X), Y).backward()
        optimizer.step()
    return net


def zeros(net):
    return sum(int((net[i].weight == 0).sum()) for i in (0, 3, 5))


OPTIMIZERS = [
    (torch.optim.AdamW, {}),
    (torch.optim.Adam, {"amsgrad": True}),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (torch.optim.RMSprop, {"momentum": 0.9}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_no_optimizer_brings_a_pruned_weight_back(ticket, held, kind, options):
    count = sum(layer.size - layer.kept for layer in ticket.layers)
    assert zeros(train(spiketicket.load_into(make(), ticket), kind, **options)) < count
    before = {i: held[i].weight.detach().clone() for i in (0, 3, 5)}
    train(held, kind, **options)
    for i, layer in zip((0, 3, 5), ticket.layers, strict=True):
        mask = torch.from_numpy(layer.mask.copy())
        weight, stored = held[i].weight, held[i].parametrizations.weight.original
        assert not weight[~mask].any()
        assert not stored[~mask].any(), "where they are stored too"
        assert not torch.equal(weight, before[i]), "the others are trained"


def test_a_held_network_computes_what_a_plain_one_does(ticket, held):
    assert torch.equal(held(X), spiketicket.load_into(make(), ticket)(X))
    # Whatever is put into it.
    nn.init.ones_(held[0].parametrizations.weight.original)
    assert int((held[0].weight == 0).sum()) == ticket.layers[0].size - ticket.layers[0].kept


def test_copies_and_files_hold_the_mask_too(ticket, held, tmp_path):
    train(held)
    torch.save(held, tmp_path / "net.pt")
    torch.save(held.state_dict(), tmp_path / "state.pt")
    again = spiketicket.load_into(make(), ticket, keep_mask=True)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    loaded = torch.load(tmp_path / "net.pt", weights_only=False)
    count = zeros(held)
    for net in (copy.deepcopy(held), again, loaded, copy.deepcopy(loaded)):
        assert torch.equal(net(X), held(X))
        assert list(net.state_dict()) == list(held.state_dict())
        assert zeros(train(net)) == count
        assert not torch.equal(net(X), held(X)), "a copy of its own"


def test_a_network_that_holds_a_mask_takes_another_ticket_when_it_is_plain_again(ticket, held):
    with pytest.raises(UserError, match=r"are parametrized already.*remove_masks\(net\)"):
        spiketicket.load_into(held, ticket)
    spiketicket.load_into(spiketicket.remove_masks(held), ticket)


def test_it_is_plain_again_without_masks(ticket, held):
    train(held)
    before, count = held(X), zeros(held)
    assert spiketicket.remove_masks(held) is held
    assert held.state_dict().keys() == make().state_dict().keys()
    assert type(held[0]) is nn.Conv2d
    assert torch.equal(held(X), before)
    assert zeros(train(held)) < count
    assert spiketicket.remove_masks(held) is held


def test_a_trained_one_is_a_ticket_again(ticket, held):
    train(held)
    made = to_ticket(held, {})
    assert [layer.kept for layer in made.layers] == [layer.kept for layer in ticket.layers]
    assert torch.equal(spiketicket.load_into(make(), made)(X), held(X))


def test_layers_that_are_no_part_of_the_ticket_are_plain():
    torch.manual_seed(0)
    ticket = spiketicket.search(make(), [(X, Y)], epochs=1, leave=("3",))
    net = spiketicket.load_into(make(), ticket, keep_mask=True)
    assert type(net[3]) is nn.Linear
    assert hasattr(net[0], "parametrizations")
