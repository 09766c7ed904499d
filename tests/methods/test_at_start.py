"""Pruning before training: SNIP and SynFlow against their papers' equations."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.methods import synflow
from spiketicket.methods.states import masked
from spiketicket.methods.weights import WeightStart, initial_weight
from spiketicket.models.prunable import prunable
from spiketicket.streams import Stream

from .conftest import made


def fresh(s):
    """The seed's weights, as a dense net starts from them."""
    return {
        name: initial_weight(
            WeightStart("kaiming_normal"), layer.weight.shape, Stream(s.seed, "weight", name)
        )
        for name, layer in prunable(build(s)).items()
    }


def build(s):
    from spiketicket.methods.building import build_network

    return build_network(s.recipe, s.experiment.shape)


@pytest.mark.parametrize("weights", ["float", "binary"])
def test_snip_is_the_gradient_of_a_connection_that_is_there(search, weights):
    s = search(made("snip", 0.3, options={"samples": 30}, model={"weights": weights}))
    start = fresh(s)
    if weights == "binary":
        start = {n: w.sign() * w.double().abs().mean().float() for n, w in start.items()}
    c = {n: torch.ones_like(w, requires_grad=True) for n, w in start.items()}
    model = build(s).train()
    total = 0.0
    for step, count in ((0, 20), (1, 10)):
        x, y = next(s.batches.epoch(0, step))
        effective = {f"{n}.weight": w * c[n] for n, w in start.items()}
        logits = functional_call(copy.deepcopy(model), effective, (x[:count],))
        total = total + functional.cross_entropy(logits, y[:count], reduction="sum")
    total.backward()
    scores = {n: v.grad.abs().numpy() for n, v in c.items()}
    flat = np.concatenate([v.ravel() for v in scores.values()])
    kept = math.floor(0.3 * flat.size + 0.5)
    threshold = np.sort(flat)[-kept]
    stage = s.prepare("ticket")
    assert stage.search_passes == 30
    near = 0
    for name, (weight, mask) in masked(stage.trainee.model).items():
        clear = np.abs(scores[name] - threshold) > 1e-4 * threshold
        near += int((~clear).sum())
        assert np.array_equal(mask.numpy()[clear], (scores[name] > threshold)[clear])
        if weights == "float":
            assert torch.equal(weight.detach(), start[name] * mask)
    assert near < 0.02 * flat.size
    assert sum(int(m.sum()) for _, m in masked(stage.trainee.model).values()) == kept


def test_snip_leaves_batchnorm_as_it_starts_and_refuses_too_few_samples(search):
    s = search(made("snip", 0.3, options={"samples": 30}))
    stage = s.prepare("ticket")
    assert stage.trainee.model.state_dict()["features.0.norm.num_batches_tracked"] == 0
    s = search(made("snip", 0.3, options={"samples": 100}))
    with pytest.raises(UserError, match=r"ticket.samples.*only 60 training samples.*100"):
        s.prepare("ticket")


def mlp(*sizes):
    random = torch.Generator().manual_seed(0)
    layers = [nn.Flatten()]
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b, bias=False), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=random)
    return net


def flow_oracle(weights, density, rounds):
    """The same in numpy, by products of matrices."""
    w = [np.abs(v.double().numpy()) for v in weights]
    masks = [np.ones_like(v, dtype=bool) for v in w]
    for k in range(1, rounds + 1):
        m = [a * b for a, b in zip(w, masks, strict=True)]
        into, out = [np.ones(m[0].shape[1])], [np.ones(m[-1].shape[0])]
        for v in m[:-1]:
            into.append(v @ into[-1])
        for v in m[:0:-1]:
            out.append(v.T @ out[-1])
        scores = [v * np.outer(o, i) for v, i, o in zip(m, into, out[::-1], strict=True)]
        sums = [s.sum() for s in scores]
        assert np.allclose(sums, sums[0])  # the flow through every layer is the same
        flat = np.concatenate(
            [np.where(b, s, -1).ravel() for s, b in zip(scores, masks, strict=True)]
        )
        kept = math.floor(density ** (k / rounds) * flat.size + 0.5)
        chosen = np.zeros(flat.size, bool)
        chosen[np.argsort(-flat, kind="stable")[:kept]] = True
        ends = np.cumsum([v.size for v in w])[:-1]
        masks = [c.reshape(v.shape) for c, v in zip(np.split(chosen, ends), w, strict=True)]
    return masks


@pytest.mark.parametrize("rounds", [1, 20])
def test_synflow_is_the_product_of_what_flows_in_and_out(rounds):
    net = mlp(12, 16, 9, 5)
    weights = {f"{n}.weight": layer.weight.detach() for n, layer in prunable(net).items()}
    found = synflow.Flow(net, weights, torch.ones(1, 12)).masks(0.4, rounds)
    expected = flow_oracle(list(weights.values()), 0.4, rounds)
    for mask, truth in zip(found.values(), expected, strict=True):
        assert np.array_equal(mask.numpy(), truth)


def test_synflow_in_one_round_loses_a_layer_and_says_so():
    net = mlp(400, 400, 3, 400)
    weights = {f"{n}.weight": layer.weight.detach() for n, layer in prunable(net).items()}
    with pytest.raises(UserError, match=r"the layer collapsed.*more ticket.rounds"):
        synflow.Flow(net, weights, torch.ones(1, 400)).masks(0.002, 1)
    found = synflow.Flow(net, weights, torch.ones(1, 400)).masks(0.002, 50)
    assert all(mask.any() for mask in found.values())


class Parallel(nn.Module):
    """A wide path, and a thin one beside it that carries next to nothing."""

    def __init__(self):
        super().__init__()
        self.wide = mlp(20, 30, 5)
        self.thin = nn.Linear(20, 5, bias=False)
        nn.init.constant_(self.thin.weight, 1e-4)

    def forward(self, x):
        return self.wide(x) + self.thin(x)


def test_a_layer_that_the_flow_goes_past_keeps_one_weight_and_is_named():
    net = Parallel()
    weights = {f"{n}.weight": layer.weight.detach().clone() for n, layer in prunable(net).items()}
    weights["thin.weight"][2, 7] = 2e-4
    flow = synflow.Flow(net, weights, torch.ones(1, 20))
    masks = flow.masks(0.3, 10)
    assert flow.bypassed == ["thin"]
    assert torch.nonzero(masks["thin"]).tolist() == [[2, 7]]
    size = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == math.floor(0.3 * size + 0.5)


@pytest.mark.parametrize("neuron", ["lif", "relu", "sign"])
def test_synflow_leaves_neurons_and_statistics_out(search, neuron):
    s = search(
        made("synflow", 0.2, options={"rounds": 5}, neuron={"name": neuron}, model={"timesteps": 3})
    )
    names = list(fresh(s))
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.Flatten(),
        nn.Linear(64, 10, bias=False),
    )
    own = {f"{n}.weight": w for n, w in zip(prunable(net), fresh(s).values(), strict=True)}
    expected = synflow.Flow(net, own, torch.ones(1, 1, 8, 8)).masks(0.2, 5)
    stage = s.prepare("ticket")
    assert stage.search_passes == 5
    found = {name: mask for name, (_, mask) in masked(stage.trainee.model).items()}
    # BatchNorm divides by sqrt(1 + eps), which is not quite 1: a tie may fall otherwise
    differ = sum(int((found[n] != m).sum()) for n, m in zip(names, expected.values(), strict=True))
    assert differ <= 2
    assert stage.trainee.model.state_dict()["features.0.norm.num_batches_tracked"] == 0
    assert stage.trainee.model.timesteps == 3
    assert type(stage.trainee.model.features[0].neuron).__name__.lower() == neuron


def test_synflow_refuses_neurons_of_another_library():
    snntorch = pytest.importorskip("snntorch")
    net = nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(beta=0.5))
    weights = {"0.weight": net[0].weight.detach()}
    with pytest.raises(UserError, match=r"1: has neurons that cannot be left out.*Leaky"):
        synflow.Flow(net, weights, torch.ones(1, 4))


def test_the_twin_that_is_measured_is_not_the_net_that_is_trained(search):
    stage = search(made("snip", 0.3, options={"samples": 20})).prepare("ticket")
    assert all(p.grad is None for p in stage.trainee.model.parameters())
