"""Operations against a count that looks at every pair of an input and a weight."""

import pytest
import torch
from torch.nn import functional

from spiketicket.measure.observe import observed
from spiketicket.measure.operations import count_operations
from spiketicket.models import sdt, spikformer
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import lif

SHAPE = DataShape(channels=2, height=8, width=8, classes=5)
SMALL = {"dim": 16, "depth": 2, "heads": 2, "pools": 1, "timesteps": 2}


def build(module=spikformer, **options):
    torch.manual_seed(0)
    model = module.build(module.Config(**{**SMALL, **options}), lif.Config(), SHAPE)
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.fill_(-0.2)
            norm.running_var.fill_(0.1)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.6)
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (spikformer, {}),
        (sdt, {}),
        (spikformer, {"activation": "step"}),
        (sdt, {"activation": "sign", "rpe": False}),
        (spikformer, {"ranking": "center", "keep": 0.25}),
        (spikformer, {"ranking": "firing_rate", "keep": 0.5}),
        (spikformer, {"ranking": "attention_last", "keep": 0.5, "execution": "zero_fill"}),
        (spikformer, {"ranking": "center", "keep": 0.5, "execution": "isolated"}),
    ],
)
def test_dense_counts_are_those_of_the_sizes(module, options, images):
    model = build(module, **options)
    counted = count_operations(model, [images])
    expected = model.macs()
    assert counted.keys() == expected.keys()
    for group in ("conv_pep", "encoder_linear", "attention", "head"):
        assert counted[group]["dense"] == expected[group], group
    for counts in counted.values():
        assert counts["acs"] + counts["macs"] <= counts["dense"]


def taps(model):
    """Every layer's input while the model runs."""
    seen = []
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_pre_hook(
                lambda m, inputs, name=name: seen.append((name, m, inputs[0]))
            )
        if type(layer).__name__ == "SpikingProduct":
            layer.register_forward_pre_hook(
                lambda m, inputs, name=name: seen.append((name, m, inputs))
            )
    return seen


def pairs_of_conv(layer, x):
    """One pair for every output position, weight, and input inside the image."""
    found = 0
    padded = functional.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    for row in range(height):
        for column in range(width):
            window = padded[:, :, row : row + 3, column : column + 3] != 0
            found += int((window.unsqueeze(1) & (layer.weight != 0).unsqueeze(0)).sum())
    return found


def pairs_of_product(q, k, v):
    first = ((q != 0).unsqueeze(-2) & (k != 0).unsqueeze(-3)).sum()
    weights = torch.einsum("...nd,...md->...nm", q, k)
    second = ((weights != 0).unsqueeze(-1) & (v != 0).unsqueeze(-3)).sum()
    return int(first + second)


def test_done_counts_are_those_of_every_single_pair(images):
    model = build()
    seen = taps(model)
    with torch.no_grad():
        model(images)
    expected = {"conv_pep": [0, 0], "encoder_linear": [0, 0], "attention": [0, 0], "head": [0, 0]}
    for name, layer, x in seen:
        if name.endswith("product"):
            group, pairs, analog = "attention", pairs_of_product(*x), 0
        elif name.startswith("conv_pep"):
            group, pairs = "conv_pep", pairs_of_conv(layer, x)
            analog = name == "conv_pep.convs.0"
        else:
            group = "head" if name.endswith("head") else "encoder_linear"
            rows = x.reshape(-1, x.shape[-1])
            pairs = sum(int(((row != 0) & (layer.weight != 0)).sum()) for row in rows)
            analog = group == "head"
        expected[group][int(analog)] += pairs
    counted = count_operations(model, [images])
    for group, (acs, macs) in expected.items():
        assert counted[group]["acs"] == pytest.approx(acs / 3), group
        assert counted[group]["macs"] == pytest.approx(macs / 3), group
    assert counted["attention"]["acs"] > 0


def test_means_are_over_images_whatever_the_batches(images):
    model = build()
    whole = count_operations(model, [images])
    parts = count_operations(model, [images[:1], images[1:]])
    for group, counts in whole.items():
        assert counts == pytest.approx(parts[group])
    frames = images.expand(2, *images.shape)
    assert count_operations(model, [frames])["conv_pep"]["dense"] > whole["conv_pep"]["dense"]


def test_a_selector_is_counted_apart(images):
    model = build(ranking="firing_rate", keep=0.5)
    counted = count_operations(model, [images])
    plain = count_operations(build(), [images])
    assert counted["selector"]["dense"] == plain["conv_pep"]["dense"]
    assert "selector" not in plain
    with observed(model) as seen:
        model(images)
    own = [neuron for neuron in seen.operations().neurons if neuron.group != "selector"]
    assert len(own) < len(seen.operations().neurons)
    zeros = 1 - sum(neuron.active for neuron in own) / sum(neuron.outputs for neuron in own)
    assert seen.operations().activation_sparsity == pytest.approx(zeros)


def test_nothing_is_left_behind_when_the_model_fails(images):
    model = build().train()
    with pytest.raises(RuntimeError):
        count_operations(model, [images, torch.zeros(1, 7, 8, 8)])
    assert model.training
    assert not any(m._forward_pre_hooks for m in model.modules())
