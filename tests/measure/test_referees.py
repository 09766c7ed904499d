"""Counts of other projects, where they are right, and what they count otherwise."""

import warnings

import pytest
import torch
from torch import nn

from spiketicket.measure.observe import observed
from spiketicket.measure.pairs import product_pairs
from spiketicket.measure.sparsity import layer_sparsity, summary
from spiketicket.methods import edge_popup
from spiketicket.models import convnet, resconv6, resnet19, spikformer, vgg9
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.neurons import lif, relu

SHAPE = DataShape(channels=2, height=16, width=16, classes=5)
NETS = {
    "convnet": (convnet, {"width": 0.25}),
    "vgg9": (vgg9, {"width": 0.1}),
    "resconv6": (resconv6, {"width": 0.1}),
    "resnet19": (resnet19, {"width": 0.06}),
}


def ticket_of(name, neuron, *, binary):
    """A ticket of random weights that fires, with the model it makes in plain PyTorch."""
    module, options = NETS[name]
    torch.manual_seed(0)
    steps = 3 if neuron is lif else 1
    config = module.Config(**options, timesteps=steps)
    model = module.build(config, neuron.Config(), SHAPE)
    edge_popup.attach(model, edge_popup.Config(density=0.4), binary=binary, seed=1, epochs=1)
    model.train()
    with torch.no_grad():
        model(torch.randn(16, 2, 16, 16))  # BatchNorm's statistics
    network = {
        "model": config.model_dump(mode="json"),
        "neuron": neuron.Config().model_dump(mode="json"),
        "shape": SHAPE.__dict__,
    }
    ticket = to_ticket(model, {"network": {"name": name, "args": network}})
    return ticket, from_ticket(ticket), from_ticket(ticket, "eager")


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "float"])
@pytest.mark.parametrize("neuron", [lif, relu], ids=["lif", "relu"])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore")
def test_neurobench_counts_the_same_on_baked_cnns(name, neuron, binary):
    static = pytest.importorskip("neurobench.metrics.static")
    workload = pytest.importorskip("neurobench.metrics.workload")
    models = pytest.importorskip("neurobench.models")
    ticket, model, eager = ticket_of(name, neuron, binary=binary)
    x = torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(2))
    with observed(model) as seen:
        model(x)
    found = seen.operations()

    theirs = models.TorchModel(eager)
    theirs.add_activation_module(lif.LIF)
    theirs.add_activation_module(relu.ReLU)
    theirs.register_hooks()
    with torch.no_grad():
        predictions = theirs(x)
        operations = workload.SynapticOperations()
        counted = operations(theirs, predictions, (x, None))
        active = workload.ActivationSparsity()(theirs, predictions, (x, None))
    total = found.total()
    assert total["acs"] == float(counted["Effective_ACs"])
    assert total["macs"] == float(counted["Effective_MACs"])
    assert found.activation_sparsity == active
    assert (total["acs"] > 0) == (neuron is lif)
    sparsity = summary(layer_sparsity(model, ticket), ticket, active)
    assert round(sparsity["zero_weights"], 4) == static.ConnectionSparsity()(theirs)
    assert 0.5 < sparsity["zero_weights"] < 0.7


def spikes(generator, share, *shape):
    return (torch.rand(shape, generator=generator) < share).float()


def spikingjelly_counts(q, k, v):
    """ACs that SpikingJelly finds in ``(q k^T) v``, the two products apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counter = pytest.importorskip("spikingjelly.activation_based.op_counter")
        found = []
        queries_keys = q @ k.transpose(-1, -2)
        for a, b in ((q, k.transpose(-1, -2)), (queries_keys, v)):
            counted = counter.ACCounter()
            with counter.DispatchCounterMode([counted]):
                torch.bmm(a.flatten(0, -3), b.flatten(0, -3))
            found.append(counted.get_total())
    return found


def dense_attention():
    """Queries, keys and values of a transformer whose every weight is there and fires often."""
    torch.manual_seed(0)
    config = spikformer.Config(dim=16, depth=2, heads=2, pools=1, timesteps=2)
    model = spikformer.build(config, lif.Config(v_threshold=0.3), SHAPE).eval()
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.fill_(-0.2)
            norm.running_var.fill_(0.1)
    return model


@pytest.mark.slow  # only because its import takes seconds
def test_spikingjelly_counts_the_same_attention_on_a_dense_transformer():
    model, factors = dense_attention(), {}
    for name, module in model.named_modules():
        if name.endswith("product"):
            module.register_forward_pre_hook(lambda m, x, n=name: factors.update({n: x}))
    x = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    with observed(model) as seen:
        model(x)
    ours = {layer.name: layer for layer in seen.operations().layers if layer.group == "attention"}
    assert list(ours) == list(factors)
    for name, (q, k, v) in factors.items():
        first, second = spikingjelly_counts(q, k, v)
        # It counts every spike of v for every query, also where q k^T is 0 and adds nothing.
        zero = (q @ k.transpose(-1, -2)) == 0
        wasted = int((zero.sum(-2) * (v != 0).sum(-1)).sum())
        assert ours[name].acs * 3 == first + second - wasted
        assert first > 0
        assert second > wasted


@pytest.mark.slow
def test_spikingjelly_and_we_agree_to_the_last_operation_where_no_sum_is_zero():
    generator = torch.Generator().manual_seed(3)
    q, k, v = (spikes(generator, 0.9, 2, 3, 2, 5, 16) for _ in range(3))
    assert bool(((q @ k.transpose(-1, -2)) > 1).any())
    assert bool(((q @ k.transpose(-1, -2)) != 0).all())
    pairs = product_pairs(dense_attention().encoder.blocks[0].product, (q, k, v))
    assert pairs.met == sum(spikingjelly_counts(q, k, v))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_where_the_referees_count_otherwise():
    workload = pytest.importorskip("neurobench.metrics.workload")
    models = pytest.importorskip("neurobench.models")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Identity(), nn.Linear(4, 3, bias=False))
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    theirs = models.TorchModel(net)
    theirs.register_hooks()
    counted = workload.SynapticOperations()(theirs, theirs(x), (x, None))
    # A sum of spikes is a MAC to NeuroBench; on spikes it is 1 + 2 + 3 additions an output.
    assert (counted["Effective_ACs"], counted["Effective_MACs"]) == (0, 9)
    from spiketicket.measure.pairs import linear_fan_out, look, weighted

    pairs = weighted(net[1], look(x), linear_fan_out(net[1]))
    assert (pairs.kind, pairs.met, pairs.units) == ("integers", 9, 18)

    counter = pytest.importorskip("spikingjelly.activation_based.op_counter")
    pruned = nn.Linear(4, 3, bias=False)
    nn.init.constant_(pruned.weight, 0.5)
    with torch.no_grad():
        pruned.weight[:, :2] = 0
    spiking = torch.ones(1, 4)
    found = counter.ACCounter()
    with counter.DispatchCounterMode([found]), torch.no_grad():
        pruned(spiking)
    # SpikingJelly's counter does not look for zero weights.
    assert found.get_total() == 12
    assert weighted(pruned, look(spiking), linear_fan_out(pruned)).met == 6
