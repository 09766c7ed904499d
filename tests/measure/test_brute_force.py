"""Operations of a whole shipped net, counted pair by pair on the spikes of a numpy network."""

import numpy as np
import pytest
from numpy_convnet import run

from spiketicket.data.of_ticket import find_test_data
from spiketicket.experiment.measure import measure_ticket
from spiketicket.ticket import Ticket, zoo

IMAGES = 2


def pairs_of_conv(x, mask):
    """Every entry that is not zero, with every kept weight that it meets inside the image."""
    met = 0
    height, width = x.shape[2:]
    for n, c, i, j in zip(*np.nonzero(x), strict=True):
        del n
        for a in range(3):
            for b in range(3):
                row, column = i + 1 - a, j + 1 - b
                if 0 <= row < height and 0 <= column < width:
                    met += sum(1 for o in range(len(mask)) if mask[o, c, a, b])
    return met


def pairs_of_linear(x, mask):
    met = 0
    for n, i in zip(*np.nonzero(x), strict=True):
        del n
        met += sum(1 for o in range(len(mask)) if mask[o, i])
    return met


@pytest.mark.slow
def test_a_shipped_net_pair_by_pair():
    path = zoo.find_ticket("digits-binw").path
    ticket = Ticket.load(path)
    images = find_test_data(ticket, path).dataset.test.x[:IMAGES]
    seen = run(ticket, images)
    # Float64 and float32 fire alike: no potential is nearer to the threshold than they differ.
    assert min(seen.margins.values()) > 1e-5
    rows = {row["name"]: row for row in measure_ticket(path, images=IMAGES)["layers"]}
    for layer in ticket.layers:
        row = rows[layer.name]
        count = pairs_of_linear if layer.name == "classifier" else pairs_of_conv
        met = sum(count(step, layer.mask) for step in seen.inputs[layer.name])
        spikes = layer.name in ("features.1.synapse", "features.2.synapse")
        assert row["acs"] * IMAGES == (met if spikes else 0)
        assert row["macs"] * IMAGES == (0 if spikes else met)
        assert row["ac_units"] == row["acs"]
        assert row["calls"] == len(seen.inputs[layer.name])
        positions = (
            1 if layer.name == "classifier" else int(np.prod(seen.inputs[layer.name].shape[3:]))
        )
        assert row["dense"] == row["calls"] * positions * layer.size
        assert row["inputs"] * IMAGES == seen.inputs[layer.name].size
