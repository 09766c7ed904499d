"""Four kinds of sparsity, each by a plain count."""

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.measure.sparsity import layer_sparsity, summary
from spiketicket.ticket import Ticket, TicketLayer, describe


@pytest.fixture
def made():
    signs = np.ones((3, 2, 3, 3), np.int8)
    signs[1] = 0  # a whole filter
    signs[0, 1] = -1
    mask = signs != 0
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    values[:, 2] = 0  # a whole input channel
    kept = np.ones((4, 3), bool)
    kept[:, 2] = False  # and values[0, 0] is a zero that is kept
    layers = (
        TicketLayer(name="0", shape=(3, 2, 3, 3), kind="binary", mask=mask, alpha=0.5, signs=signs),
        TicketLayer(name="1", shape=(4, 3), kind="float", mask=kept, values=values),
    )
    model = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.Linear(3, 4, bias=False))
    model.append(nn.Linear(2, 2, bias=False))
    own = {"2.weight": model[2].weight.detach().numpy()}
    ticket = Ticket(layers, own)
    model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in ticket.state().items()})
    return model, ticket


def test_layers(made):
    layers = layer_sparsity(*made)
    conv, linear, other = (layers[n] for n in "012")
    assert (conv.weights, conv.kept, conv.nonzero, conv.binary) == (54, 36, 36, True)
    assert (conv.filters, conv.zero_filters, conv.channels, conv.zero_channels) == (3, 1, 2, 0)
    assert (linear.weights, linear.kept, linear.nonzero, linear.binary) == (12, 8, 7, False)
    assert (linear.zero_filters, linear.channels, linear.zero_channels) == (0, 3, 1)
    assert (other.kept, other.binary) == (4, False)


def test_the_kinds_stay_apart(made):
    found = summary(layer_sparsity(*made), made[1], 0.75)
    assert found["mask_density"] == 44 / 66
    assert found["zero_weights"] == pytest.approx(1 - 47 / 70)
    assert found["activation_sparsity"] == 0.75
    assert (found["zero_filters"], found["filters"]) == (1, 9)
    assert (found["zero_channels"], found["channels"]) == (1, 7)
    sizes = describe(made[1])
    assert found["file_bytes"] == len(made[1].to_bytes())
    assert found["fp32_bytes"] == 4 * 70
    assert found["entropy_bytes"] == sizes.entropy_bytes + 16
    assert found["entropy_bytes"] < found["fp32_bytes"]


def test_a_layer_without_a_weight_is_not_of_signs():
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    nn.init.zeros_(model[0].weight)
    layer = layer_sparsity(model, Ticket((), {"0.weight": np.zeros((2, 2), np.float32)}))["0"]
    assert (layer.binary, layer.zero_filters, layer.zero_channels) == (False, 2, 2)
