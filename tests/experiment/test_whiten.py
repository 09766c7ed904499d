"""``spiketicket.whiten``: an encoder before a network of one's own, in search and attach."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.data import load_dataset, make_config
from spiketicket.data.whitening import float_filters, whitening_filters
from spiketicket.errors import UserError
from spiketicket.ticket import Ticket

KEY = "input_encoder.filters"


def net():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10)
    )


@pytest.fixture(scope="module")
def digits():
    data = load_dataset(make_config("digits"))
    x = torch.from_numpy(data.train.x[:256]).float() / 255
    x = (x - data.mean[0]) / data.std[0]
    return x, torch.from_numpy(data.train.y[:256]), data


@pytest.fixture(scope="module")
def loader(digits):
    return DataLoader(TensorDataset(*digits[:2]), 64)


def test_filters_are_those_of_a_recipes_on_the_same_images(digits, loader):
    x, _, data = digits
    expected = whitening_filters(data.train.x[:256], data.mean, data.std)
    np.testing.assert_allclose(float_filters(x.numpy()), expected, rtol=1e-3, atol=1e-3)
    made = spiketicket.whiten(net(), loader)
    assert np.array_equal(made.input_encoder.filters.numpy(), float_filters(x.numpy()))


def test_search_and_load_into(loader, digits, tmp_path):
    made = spiketicket.whiten(net(), loader)
    ticket = spiketicket.search(made, loader, density=0.5, epochs=1)
    assert {layer.name for layer in ticket.layers} == {"network.0", "network.4"}
    assert np.array_equal(ticket.tensors[KEY], made.input_encoder.filters.numpy())
    ticket.save(tmp_path / "my.ticket")
    stored = Ticket.load(tmp_path / "my.ticket")
    assert "not searched" in stored.metadata["network"]["encoder"]
    loaded = spiketicket.load_into(spiketicket.whiten(net(), channels=1), stored).eval()
    x = digits[0][:8]
    with torch.no_grad():
        encoded = made.input_encoder(x, 1)
        plain = net().eval()
        state = {
            k.removeprefix("network."): torch.from_numpy(np.array(v))
            for k, v in stored.state().items()
            if k != KEY
        }
        plain.load_state_dict(state)
        assert torch.equal(loaded(x), plain(encoded))
    tensors = {**stored.tensors, KEY: np.full_like(stored.tensors[KEY], np.inf)}
    hostile = Ticket(stored.layers, tensors, stored.metadata)
    with pytest.raises(UserError, match="finite"):
        spiketicket.load_into(spiketicket.whiten(net(), channels=1), hostile)


def test_attach_leaves_it_as_it_is(loader):
    made = spiketicket.whiten(net(), loader)
    before = made.input_encoder.filters.clone()
    search = spiketicket.attach(made, density=0.5)
    optimizer = torch.optim.Adam(search.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(x), y).backward()
        optimizer.step()
        search.update()
    assert torch.equal(made.input_encoder.filters, before)
    assert KEY in search.ticket().tensors


def test_frames_and_time_steps_go_through():
    data = TensorDataset(torch.rand(120, 3, 2, 8, 8), torch.arange(120) % 3)

    def frames(rows):
        x, y = zip(*rows, strict=True)
        return torch.stack(x, 1), torch.stack(y)

    class Net(nn.Module):
        timesteps = 3

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16 * 64, 3)

        def forward(self, x):
            return self.layer(x.flatten(2)).mean(0)

    made = spiketicket.whiten(Net(), DataLoader(data, 60, collate_fn=frames))
    assert made.timesteps == 3
    assert made(torch.rand(3, 4, 2, 8, 8)).shape == (4, 3)
    flat = torch.cat([x for x, _ in DataLoader(data, 60, collate_fn=frames)], 1)
    expected = float_filters(flat.flatten(0, 1).numpy())
    np.testing.assert_allclose(made.input_encoder.filters.numpy(), expected, atol=1e-4)


def test_what_cannot_be_whitened_is_refused(loader):
    few = DataLoader(TensorDataset(torch.rand(99, 1, 8, 8), torch.arange(99) % 10), 33)
    flat = DataLoader(TensorDataset(torch.full((128, 1, 8, 8), 0.3), torch.arange(128) % 10), 64)
    rows = DataLoader(TensorDataset(torch.rand(128, 64), torch.arange(128) % 10), 64)
    for source, words in ((few, "100 samples"), (flat, "constant"), (rows, "float images")):
        with pytest.raises(UserError, match=words):
            spiketicket.whiten(net(), source)
    for wrong in ({}, {"loader": loader, "channels": 1}, {"channels": 0}):
        with pytest.raises(UserError):
            spiketicket.whiten(net(), **wrong)
