"""Structured pruning: the smaller net is the large one without the channels that went."""

import numpy as np
import pytest
import torch

from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find
from spiketicket.methods.states import load_tensors, plain_state
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket

from .conftest import made

pytest.importorskip("torch_pruning")


def survivors(dense, small):
    """Which rows of the dense weight are the small one's, by their values on shared inputs."""
    found = []
    for row in small:
        same = [i for i, other in enumerate(dense) if torch.equal(other, row)]
        assert len(same) == 1
        found += same
    return found


@pytest.mark.parametrize("network", ["convnet", "vgg9", "resconv6"])
def test_the_smaller_net_is_the_large_one_without_some_channels(search, network):
    model = {"name": network, "width": 0.125, "timesteps": 2}
    model |= {"hidden": 64} if network == "vgg9" else {}
    data = {"name": "digits", "train_limit": 40, **({} if network == "convnet" else {"canvas": 16})}
    s = search(made("channels", 0.4, model=model, data=data, train={"epochs": 1}))
    s.train("pretrained")
    dense = load_tensors((s.folder / "pretrained" / "weights.safetensors").read_bytes())
    stage = s.prepare("ticket")
    small = plain_state(stage.trainee.model)
    names = [k for k in small if k.endswith("synapse.weight")]
    counts = tuple(len(small[k]) for k in names)
    assert stage.model.channels == counts
    size = sum(v.numel() for k, v in dense.items() if "synapse" in k or "classifier" in k)
    kept = sum(v.numel() for k, v in small.items() if "synapse" in k or "classifier" in k)
    assert stage.dense_weights == size
    assert 0.2 * size < kept <= 0.4 * size
    # zeroing what went, in the large net, computes the same
    large = dict(dense)
    inputs = None
    places = {}
    for key in [*names, "classifier.weight"]:
        weight, own = dense[key], small[key]
        if inputs is not None:
            if weight.dim() == 2 and len(inputs) != own.shape[1]:
                block = own.shape[1] // len(inputs)
                inputs = [i * block + j for i in inputs for j in range(block)]
            rest = [i for i in range(weight.shape[1]) if i not in inputs]
            large[key] = weight.clone()
            large[key][:, rest] = 0
            weight = weight[:, inputs]
        if key != "classifier.weight":
            inputs = places[key] = survivors(weight, own)
            assert inputs == sorted(inputs)
    norms = dense[names[0]].flatten(1).square().sum(1)
    after = dense[names[1]].transpose(0, 1).flatten(1).square().sum(1)
    largest = torch.argsort(-(norms + after), stable=True)[: counts[0]]
    assert places[names[0]] == sorted(largest.tolist())
    from spiketicket.methods.building import build_network

    net = build_network(s.recipe, s.experiment.shape)
    net.load_state_dict({k: v for k, v in large.items() if "mask:" not in k})
    x, _ = next(s.batches.epoch(0))
    with torch.no_grad():
        torch.testing.assert_close(stage.trainee.model.eval()(x), net.eval()(x))


def some_images():
    return np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)


@pytest.mark.slow
def test_the_ticket_is_smaller_saved_loaded_and_judged_like_any_other(tmp_path):
    recipe = made("channels", 0.3, model={"weights": "binary"})
    found = find(recipe, runs_dir=tmp_path, threads=1)
    rows = {row["stage"]: row for row in found.to_dict()["stages"]}
    assert list(rows) == ["pretrained", "ticket", "dense", "random_trained", "random_frozen"]
    ticket = Ticket.load(found.tickets[0])
    model = from_ticket(ticket)
    channels = rows["ticket"]["search"]["channels"]
    assert [len(block.synapse.weight) for block in model.features] == channels
    assert all(layer.mask.all() for layer in ticket.layers)
    dense = Ticket.load(found.folder / "seed-0/dense/model.ticket")
    size = sum(layer.size for layer in dense.layers)
    kept = sum(layer.kept for layer in ticket.layers)
    assert rows["ticket"]["density"] == pytest.approx(kept / size)
    assert 0.15 < rows["ticket"]["density"] <= 0.3
    # its control is a random mask with as many weights in every layer of the large net
    random = Ticket.load(found.folder / "seed-0/random_trained/model.ticket")
    assert [a.kept for a in random.layers] == [a.kept for a in ticket.layers]
    assert [a.shape for a in random.layers] == [a.shape for a in dense.layers]
    result = evaluate_ticket(found.tickets[0])
    assert result.test_accuracy == result.stated_accuracy
    images = some_images()
    from spiketicket.engine import Engine

    with torch.no_grad():
        logits = model(torch.from_numpy(images))
    assert np.allclose(Engine(ticket, backend="numpy").run(images), logits, atol=1e-4)
    again = find(recipe, runs_dir=tmp_path, threads=1)
    assert again.to_dict() == found.to_dict()


def test_too_low_a_density_names_the_lowest_there_is(search):
    s = search(made("channels", 0.001))
    s.train("pretrained")
    with pytest.raises(UserError, match=r"one channel per layer.*smallest feasible density"):
        s.prepare("ticket")


def test_networks_are_built_with_channels_of_their_own():
    from spiketicket.models.blocks import DataShape
    from spiketicket.recipe import parse_recipe, registry

    recipe = made("magnitude", model={"channels": [3, 5, 7]})
    net = registry.load("models", "convnet").build(
        recipe.model, recipe.neuron, DataShape(channels=1, height=8, width=8, classes=10)
    )
    assert [len(b.synapse.weight) for b in net.features] == [3, 5, 7]
    wide = made("magnitude", model={"name": "vgg9", "channels": list(range(2, 10))})
    net = registry.load("models", "vgg9").build(
        wide.model, wide.neuron, DataShape(channels=1, height=32, width=32, classes=10)
    )
    blocks = [*net.features, *net.hidden]
    assert [len(b.synapse.weight) for b in blocks] == list(range(2, 10))
    assert np.isfinite(net.eval()(torch.rand(2, 1, 32, 32)).detach().numpy()).all()
    plain = made("magnitude")
    assert parse_recipe(plain.model_dump(mode="json")).hash == plain.hash
    for bad in ([3, 5], [3, 5, 0]):
        with pytest.raises(UserError, match="channels"):
            made("magnitude", model={"channels": bad})
