"""A found ticket's file against that of its dense net, both binary."""

import pytest
from recipes import varied

from spiketicket.experiment.find import find
from spiketicket.ticket import describe

pytestmark = pytest.mark.slow
BASE = {
    "name": "sizes",
    "data": {"name": "digits", "train_limit": 100},
    "model": {"name": "convnet", "timesteps": 1, "weights": "binary"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "fine_tune_epochs": 1},
    "train": {"epochs": 1, "batch_size": 50},
}


@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.7])
def test_a_ticket_is_smaller_than_its_dense_net(tmp_path, density):
    recipe = varied(BASE, ticket={"density": density})
    found = find(recipe, runs_dir=tmp_path, threads=1)
    dense = describe(found.stages["dense"][0].files.ticket)
    searched = found.stages["ticket"][0].files.ticket
    for path in (searched, *found.tickets):  # those with their verdict too
        ticket = describe(path)
        assert ticket.file_bytes == path.stat().st_size < dense.file_bytes
        assert all(layer.drawn for layer in ticket.layers if layer.kept > 16)
        most = 1.03 * ticket.mask_entropy_bytes + 1000 + ticket.state_bytes
        assert ticket.file_bytes <= most
    assert not all(layer.drawn for layer in dense.layers)
    tuned = describe(found.stages["ticket_finetuned"][0].files.ticket)
    assert not all(layer.drawn for layer in tuned.layers)
