"""Six convolutions with pooling before normalisation, against the same network in plain PyTorch."""

import pytest
import torch
from torch.nn import functional

from spiketicket.engine import Engine
from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.models import resconv6
from spiketicket.models.blocks import Block, DataShape
from spiketicket.models.of_ticket import from_ticket
from spiketicket.neurons import lif, native, relu, step
from spiketicket.recipe import parse_recipe
from spiketicket.recipe.weight_shapes import weight_shapes
from spiketicket.ticket import Ticket

CIFAR = DataShape(channels=3, height=32, width=32, classes=10)
SMALL = DataShape(channels=2, height=16, width=24, classes=5)
KERNELS = ["eager", *(["native"] if native.available() else [])]


def build(shape=SMALL, kernel="eager", neuron=None, **settings):
    torch.manual_seed(0)
    settings = {"width": 0.125, "timesteps": 3, **settings}
    config = resconv6.Config(**settings)
    return resconv6.build(config, neuron or lif.Config(), shape, kernel)


def plain(model, x, steps, training):
    """The network by torch's own functions, one time step after the other; LIF as published."""
    frames = x if x.dim() == 5 else x.expand(steps, *x.shape)
    h = list(frames)
    before = None
    for i, block in enumerate(model.features):
        y = [functional.conv2d(step, block.synapse.weight, padding=1) for step in h]
        if i % 2 == 0:
            y = [functional.max_pool2d(step, 2) for step in y]
        stacked = torch.cat(y)
        weight, bias = block.norm.weight, block.norm.bias
        mean, var = block.norm.running_mean, block.norm.running_var
        if training:
            mean = stacked.mean((0, 2, 3))
            var = stacked.var((0, 2, 3), correction=0)
        z = functional.batch_norm(stacked, mean, var, weight, bias, eps=1e-5).chunk(steps)
        if model.shortcuts and i % 2:
            z = [own + first for own, first in zip(z, before, strict=True)]
        before = z
        v, h = torch.zeros_like(z[0]), []
        for current in z:
            v = 0.5 * v + current
            h.append((v >= 1).float())
            v = v * (1 - h[-1])
    logits = [functional.linear(s.mean((2, 3)), model.classifier.weight) for s in h]
    logits = torch.stack(logits).mean(0)
    if model.logit_norm is None:
        return logits
    mean, var = model.logit_norm.running_mean, model.logit_norm.running_var
    if training:
        mean, var = logits.mean(0), logits.var(0, correction=0)
    return (logits - mean) / torch.sqrt(var + 1e-5)


def moved(model):
    """BatchNorm statistics and scales other than those of the start, some scales negative."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.05, 0.3)
            if module.affine:
                module.weight.data.uniform_(-2, 2)
                module.bias.data.uniform_(-0.5, 1)
    return model


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "settings",
    [{}, {"shortcuts": True}, {"bn_affine": True}, {"logit_norm": False, "shortcuts": True}],
    ids=str,
)
@pytest.mark.parametrize("frames", [False, True])
def test_it_computes_what_plain_torch_computes(kernel, training, settings, frames):
    model = moved(build(kernel=kernel, **settings)).train(training)
    shape = (3, 8, 2, 16, 24) if frames else (8, 2, 16, 24)
    x = 2 * torch.randn(shape)
    with torch.no_grad():
        expected = plain(model, x, 3, training)
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


def test_the_parameters_are_those_counted_by_hand():
    convolutions = 9 * (3 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    model = resconv6.build(resconv6.Config(), lif.Config(), CIFAR)
    assert sum(p.numel() for p in model.parameters()) == convolutions + 10 * 256 == 1_958_080
    affine = resconv6.build(resconv6.Config(bn_affine=True, shortcuts=True), lif.Config(), CIFAR)
    extra = 2 * (64 + 64 + 4 * 256)
    assert sum(p.numel() for p in affine.parameters()) == 1_958_080 + extra


@pytest.mark.parametrize(
    "settings",
    [{}, {"shortcuts": True}, {"width": 0.05}, {"channels": (3, 5, 4, 6, 2, 7)}],
    ids=str,
)
def test_its_weights_are_known_without_building_it(settings):
    model = build(**settings)
    own = {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    }
    settings = {"width": 0.125, **settings}
    assert dict(weight_shapes("resconv6", settings, SMALL)) == own


@pytest.mark.parametrize("side", [8, 16, 32, 40])
def test_pooled_neurons_are_a_quarter_and_all_positions_are_read(side):
    shape = DataShape(channels=1, height=side, width=side, classes=10)
    model, seen = build(shape), []
    for block in model.features:
        block.register_forward_hook(lambda m, i, o: seen.append(o.shape[-1]))
    assert model(torch.randn(2, 1, side, side)).shape == (2, 10)
    assert seen == [side // 2, side // 2, side // 4, side // 4, side // 8, side // 8]


def test_sides_that_the_pools_do_not_divide_are_refused():
    with pytest.raises(UserError, match="multiples of 8"):
        build(DataShape(channels=2, height=34, width=32, classes=10))
    with pytest.raises(UserError, match="multiples of 8"):
        list(weight_shapes("resconv6", {}, DataShape(channels=2, height=32, width=36, classes=10)))


def test_a_shortcut_between_different_numbers_of_channels_is_refused():
    given = {"channels": (4, 4, 8, 8, 8, 6), "shortcuts": True}
    with pytest.raises(UserError, match="pair"):
        build(**given)
    with pytest.raises(UserError, match="pair"):
        list(weight_shapes("resconv6", given, SMALL))
    assert build(channels=(4, 4, 8, 8, 8, 6)).classifier.in_features == 6


@pytest.mark.parametrize("shortcuts", [False, True])
@pytest.mark.parametrize(
    "neuron", [lif.Config(), step.Config(), relu.Config()], ids=lambda n: n.name
)
def test_every_weight_has_a_gradient(neuron, shortcuts):
    model = build(neuron=neuron, shortcuts=shortcuts, bn_affine=True)
    logits = model(torch.randn(6, 2, 16, 24))
    functional.cross_entropy(logits, torch.arange(6) % 5).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.features.parameters())


@pytest.mark.skipif(not native.available(), reason="the native kernel is not built")
def test_native_and_eager_gradients_agree():
    grads = []
    for kernel in ("eager", "native"):
        model = build(kernel=kernel)
        torch.manual_seed(1)
        logits = model(torch.randn(6, 2, 16, 24))
        functional.cross_entropy(logits, torch.arange(6) % 5).backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-5)


def test_the_maximum_before_batch_norm_is_an_option_of_the_block():
    def block(first):
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(2, 4, 3, padding=1)
        return Block(
            conv, relu.make(relu.Config(), "eager"), bn_affine=False, pool=True, pool_first=first
        )

    x = torch.randn(1, 4, 2, 8, 8)
    one, other = block(True), block(False)
    assert one(x, 1).shape == other(x, 1).shape == (1, 4, 4, 4, 4)
    pooled = functional.max_pool2d(one.synapse(x[0]), 2)
    torch.testing.assert_close(one.norm.running_mean, 0.1 * pooled.mean((0, 2, 3)))
    torch.testing.assert_close(other.norm.running_mean, 0.1 * one.synapse(x[0]).mean((0, 2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("shortcuts", [False, True])
def test_a_search_on_digits_gives_a_ticket_that_runs_anywhere(shortcuts, tmp_path):
    recipe = parse_recipe(
        {
            "name": "six",
            "data": {"name": "digits", "train_limit": 300},
            "model": {"name": "resconv6", "width": 0.1, "timesteps": 2, "shortcuts": shortcuts},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 2, "batch_size": 50, "tune": "off", "timestep_ramp": [[1, 1]]},
            "controls": {"dense": False, "random_trained": False},
        }
    )
    run = find(recipe, runs_dir=tmp_path)
    ticket = Ticket.load(next(run.folder.glob("*.ticket")))
    assert {"logit_norm.running_mean", "logit_norm.running_var"} <= ticket.tensors.keys()
    assert "features.5.synapse" in [layer.name for layer in ticket.layers]
    model = from_ticket(ticket)
    again = from_ticket(Ticket.from_bytes(ticket.to_bytes()))
    x = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        logits = model(x)
        assert torch.equal(again(x), logits)
        if not shortcuts:
            torch.testing.assert_close(plain(model, x, 2, False), logits, rtol=1e-4, atol=1e-4)
    found = Engine(ticket).run(x.numpy())
    torch.testing.assert_close(torch.from_numpy(found), logits, rtol=1e-4, atol=1e-4)


def test_the_shipped_recipe_of_cifar10_searches_it():
    from spiketicket.recipe import load_recipe
    from spiketicket.recipe.registry import SHIPPED

    recipe = load_recipe(SHIPPED / "cifar10.toml")
    assert (recipe.model.name, recipe.model.timesteps) == ("resconv6", 4)
    assert (recipe.model.encoder, recipe.ticket.name) == ("whiten", "signed_supermask")
    assert recipe.train.epochs == 12
    assert recipe.train.timestep_ramp == ((10, 1), (1, 2))
