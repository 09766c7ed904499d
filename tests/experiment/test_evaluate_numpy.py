"""A shipped ticket evaluated by a second implementation: plain numpy in float64, without torch."""

import json

import numpy as np
import pytest
import torch
from command import spiketicket
from numpy_convnet import run

from spiketicket.data.of_ticket import find_test_data
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket, zoo

pytestmark = pytest.mark.slow

NEAR = 0.05
"""Two classes whose logits are so near may change places with a single spike at the threshold."""


@pytest.fixture(scope="module")
def both():
    """Truth, logits of the package in float32, and those of numpy in float64."""
    path = zoo.find_ticket("digits-binw").path
    ticket = Ticket.load(path)
    data = find_test_data(ticket, path)
    model = from_ticket(ticket)
    with torch.no_grad():
        ours = torch.cat([model(x) for x, _ in data.batches("cpu")]).numpy()
    test = data.dataset.test
    return test.y, ours, run(ticket, test.x).logits


def test_every_prediction_but_near_ties_is_the_same(both):
    _, ours, theirs = both
    differ = ours.argmax(1) != theirs.argmax(1)
    best = np.sort(theirs, axis=1)
    assert (best[differ, -1] - best[differ, -2] < NEAR).all()
    assert differ.sum() <= 1
    # Logits too, except of the few images in which a spike at the threshold falls otherwise.
    same = np.isclose(ours, theirs, rtol=1e-5, atol=1e-5).all(axis=1)
    assert same.mean() > 0.95


def test_the_command_states_the_accuracy_that_numpy_finds(both):
    truth, _, theirs = both
    found = json.loads(
        spiketicket("eval", str(zoo.find_ticket("digits-binw").path), "--json").stdout
    )
    assert found["test_count"] == len(truth) == 360
    accuracy = 100 * np.mean(theirs.argmax(1) == truth)
    assert found["test_accuracy"] == pytest.approx(accuracy, abs=100 / 360 + 1e-9)
    assert accuracy > 97
