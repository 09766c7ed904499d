"""``find`` on a custom network: whole, its operations counted where its layers are known."""

import sys

import pytest
from command import spiketicket

from spiketicket.cli.print_result import print_meaning
from spiketicket.recipe import load_recipe
from spiketicket.ticket import Ticket
from spiketicket.ticket.zoo import find_ticket

NET = """
from torch import nn


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
"""
RECIPE = """
name = "own"
[data]
name = "digits"
train_limit = 200
[model]
name = "ownnet_of_the_test:build"
timesteps = 1
weights = "float"
[neuron]
name = "custom"
[ticket]
name = "edge_popup"
density = 0.5
[train]
epochs = 1
tune = "off"
batch_size = 64
"""


@pytest.mark.parametrize("known", [True, False])
def test_ends_well_and_writes_a_report(tmp_path, monkeypatch, known):
    net = NET if known else NET.replace("nn.ReLU()", "nn.Tanh()")
    (tmp_path / "ownnet_of_the_test.py").write_text(net)
    (tmp_path / "own.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    done = spiketicket("find", "own.toml", "--network", "ownnet_of_the_test:build")
    sys.modules.pop("ownnet_of_the_test", None)
    assert done.exit_code == 0, done.output
    assert ("operations and energy are not counted" in done.output) is not known
    (page,) = tmp_path.glob("runs/own-*/report.html")
    assert len([*tmp_path.glob("runs/own-*/seed-0/ticket/measure.json")]) == known
    assert "random mask" in page.read_text()


@pytest.mark.parametrize("layers", [True, False])
def test_what_to_do_next_is_what_a_custom_network_can_do(tmp_path, capsys, layers):
    (tmp_path / "own.toml").write_text(RECIPE)
    shipped, place = Ticket.load(find_ticket("digits-binw").path), tmp_path / "a.ticket"
    graph = {"graph": {}} if layers else {"untraced": "conv: it folds"}
    Ticket(shipped.layers, shipped.tensors, {"network": {"name": "own:build", **graph}}).save(place)
    result = {"verdict": {"outcome": "wins"}, "tickets": [str(place)], "seeds": [0]}
    print_meaning(result, load_recipe(tmp_path / "own.toml"))
    told = capsys.readouterr().out
    assert ("spiketicket run" in told) == layers
    assert (f"spiketicket eval {place} --network ownnet_of_the_test:build" in told) != layers
