"""Observing a network: the same bits, its neurons before pooling, what really runs."""

import pytest
import torch
from torch import nn

from spiketicket.measure.activity import LayerOperations, Operations
from spiketicket.measure.observe import NEURONS, observed, watched
from spiketicket.measure.traces import potentials, trace
from spiketicket.models import convnet, resconv6, resnet19, sdt, spikformer, vgg9
from spiketicket.models.blocks import Block, DataShape, fire
from spiketicket.models.traced.network import TracedNeuron
from spiketicket.neurons import lif, native, quantised, relu, sign, step

SMALL = {"dim": 16, "depth": 1, "heads": 2, "timesteps": 3}
NETS = {
    "convnet": (convnet, {"width": 0.25, "timesteps": 3}),
    "vgg9": (vgg9, {"width": 0.1, "timesteps": 3}),
    "resconv6": (resconv6, {"width": 0.1, "timesteps": 3}),
    "resconv6 shortcuts": (resconv6, {"width": 0.1, "timesteps": 3, "shortcuts": True}),
    "resnet19": (resnet19, {"width": 0.06, "timesteps": 3}),
    "spikformer": (spikformer, {**SMALL, "pools": 1}),
    "spikformer pool 2": (spikformer, {**SMALL, "pools": 1, "pool_kernel": 2}),
    "spikformer step": (spikformer, {**SMALL, "pools": 2, "activation": "step"}),
    "isolated": (
        spikformer,
        {**SMALL, "pools": 2, "ranking": "center", "keep": 0.5, "execution": "isolated"},
    ),
    "sdt": (sdt, {**SMALL, "pools": 1}),
    "sdt selector": (sdt, {**SMALL, "pools": 1, "ranking": "attention_last", "keep": 0.5}),
}


def build(name, neuron=None, kernel="auto", channels=2):
    torch.manual_seed(0)
    module, options = NETS[name]
    side = 16
    model = module.build(
        module.Config(**options),
        neuron or lif.Config(),
        DataShape(channels=channels, height=side, width=side, classes=5),
        kernel,
    )
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.fill_(-0.2)
            norm.running_var.fill_(0.1)
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kernel", ["auto", "eager"])
@pytest.mark.parametrize("name", NETS)
def test_nothing_changes_for_being_observed(name, kernel, images):
    model = build(name, kernel=kernel)
    with torch.no_grad():
        plain = model(images)
    modules = dict(model.named_modules())
    with observed(model) as seen:
        assert torch.equal(model(images), plain)
    again = dict(model.named_modules())
    assert list(again) == list(modules)
    assert all(again[n] is m for n, m in modules.items())
    assert not any(m._forward_pre_hooks for m in model.modules())
    assert seen.images == 3


@pytest.mark.skipif(not native.available(), reason="no C library was built")
@pytest.mark.parametrize("static", [True, False])
def test_observed_neurons_are_those_of_the_plain_kernel_unpooled(static, images):
    fused, eager = build("convnet", kernel="native"), build("convnet", kernel="eager")
    x = images if static else torch.stack([images, images * 0.5, -images])
    shown, expected = {}, {}
    with watched(fused, lambda n, m, out, z: shown.update({n: out})), torch.no_grad():
        fused(x)
    for name, module in eager.named_modules():
        if isinstance(module, lif.LIF):
            module.register_forward_hook(lambda m, i, out, n=name: expected.update({n: out}))
    with torch.no_grad():
        eager(x)
    assert list(shown) == list(expected)
    for name, spikes in shown.items():
        assert torch.equal(spikes, expected[name]), name
    assert shown["features.0.neuron"].shape[-1] == 16  # not pooled


@pytest.mark.parametrize("name", NETS)
def test_rates_and_updates_are_a_plain_count(name, images):
    model = build(name)
    outputs = {}
    with watched(model, lambda n, m, out, z: outputs.update({n: out})), torch.no_grad():
        model(images)
    with observed(model) as seen:
        model(images[:1])
        model(images[1:])
    found = seen.operations()
    assert [n.name for n in found.neurons] == list(outputs)
    zeros = total = 0
    for unit in found.neurons:
        out = outputs[unit.name]
        rate = [float((step != 0).double().mean()) for step in out]
        assert unit.rate == pytest.approx(rate * 3 if len(rate) == 1 else rate)
        assert unit.size == out[0].numel() // 3
        remembers = isinstance(model.get_submodule(unit.name), lif.LIF)
        assert unit.updates == (out.numel() / 3 if remembers else 0)
        if not unit.name.startswith("selector."):
            zeros, total = zeros + int((out == 0).sum()), total + out.numel()
    assert found.activation_sparsity == pytest.approx(zeros / total)


@pytest.mark.parametrize(
    ("neuron", "expected", "kind"),
    [(relu, "analog", "relu"), (sign, "spikes", "sign"), (step, "spikes", "step")],
)
def test_neurons_without_a_membrane(neuron, expected, kind, images):
    with observed(build("vgg9", neuron.Config())) as seen:
        seen._model(images)
    found = seen.operations()
    assert {unit.kind for unit in found.neurons} == {kind}
    assert {layer.calls for layer in found.layers} == {1.0}
    assert all(layer.input == expected for layer in found.layers[1:-1])
    assert sum(unit.updates for unit in found.neurons) == 0
    if kind == "relu":
        assert sum(layer.acs for layer in found.layers) == 0
    if kind == "sign":
        assert found.activation_sparsity == 0
        assert set(found.neurons[0].rate) == {1.0}


@pytest.mark.parametrize("name", ["convnet", "vgg9", "resconv6", "resnet19"])
def test_a_cnn_runs_its_first_layer_once_an_image_and_the_others_at_every_step(name, images):
    model = build(name)
    with observed(model) as seen:
        model(images)
    first, *rest, last = seen.operations().layers
    assert (first.calls, first.input, first.acs) == (1.0, "analog", 0.0)
    assert (last.calls, last.group, last.acs) == (1.0, "classifier", 0.0)
    convs = [layer for layer in rest if layer.kind == "conv"]
    assert {(layer.calls, layer.input, layer.macs) for layer in convs} == {(3.0, "spikes", 0.0)}
    frames = torch.stack([images.round()] * 3)
    with observed(model) as seen:
        model(frames)
    first = seen.operations().layers[0]
    assert (first.calls, first.input, first.macs) == (3.0, "integers", 0.0)
    assert first.ac_units > first.acs > 0
    groups = seen.operations().groups()
    assert list(groups) == (
        ["conv", "classifier"]
        if name in ("convnet", "resconv6")
        else ["conv", "linear", "classifier"]
    )
    assert groups["conv"]["updates"] > 0
    assert groups["classifier"]["updates"] == 0


@pytest.mark.parametrize("name", ["resconv6", "resconv6 shortcuts"])
def test_sums_pooled_before_the_neuron_leave_a_quarter_of_its_updates(name, images):
    """Counted by hand: 16x16 images of two channels, T = 3, channels 6-6-26-26-26-26."""
    with observed(build(name)) as seen:
        seen._model(images)
    found = seen.operations()
    sides = {0: 8, 1: 8, 2: 4, 3: 4, 4: 2, 5: 2}
    channels = (6, 6, 26, 26, 26, 26)
    assert [unit.name for unit in found.neurons] == [f"features.{i}.neuron" for i in sides]
    assert [unit.size for unit in found.neurons] == [
        count * sides[i] ** 2 for i, count in enumerate(channels)
    ]
    assert [unit.updates for unit in found.neurons] == [3.0 * unit.size for unit in found.neurons]
    # convolutions compute every position, before the maximum
    pairs = [9 * side**2 for side in (16, 8, 8, 4, 4, 2)]
    inputs = (2, *channels[:-1])
    dense = [a * b * n for a, b, n in zip(inputs, channels, pairs, strict=True)]
    times = [1, 3, 3, 3, 3, 3]
    assert [layer.dense for layer in found.layers[:-1]] == [
        t * n for t, n in zip(times, dense, strict=True)
    ]
    assert (found.layers[-1].dense, found.layers[-1].calls) == (5 * 26, 1.0)


@pytest.mark.parametrize("analog_first", [True, False])
def test_one_analog_image_makes_a_layer_analog_whatever_the_batches(analog_first, images):
    model = build("convnet")
    parts = [images[1:2], images[:1].round()]
    whole = torch.cat(parts if analog_first else parts[::-1])
    results = []
    for parts in ([whole], [whole[:1], whole[1:]]):
        with observed(model) as seen:
            for part in parts:
                model(part)
        results.append(seen.operations())
    assert results[0] == results[1]
    assert results[0].layers[0].acs == 0


def test_means_are_rounded_once():
    # One pair in ten images each: 0.1 + 0.1 + 0.1 is not 0.3.
    layers = tuple(
        LayerOperations(
            name=str(i),
            group="conv",
            kind="conv",
            calls=1.0,
            input="spikes",
            input_density=1.0,
            inputs=1.0,
            input_bits=1,
            dense=0.1,
            macs=0.0,
            acs=0.1,
            ac_units=0.1,
        )
        for i in range(3)
    )
    found = Operations(10, layers, ())
    sums = {"dense": 0.3, "macs": 0.0, "acs": 0.3, "ac_units": 0.3, "updates": 0.0}
    assert found.total() == sums
    assert found.groups() == {"conv": sums}


def test_residual_sums_are_units(images):
    model = build("spikformer")
    with observed(model) as seen:
        model(images)
    layers = {layer.name: layer for layer in seen.operations().layers}
    q = layers["encoder.blocks.0.q.linear"]
    assert q.input == "integers"
    assert q.ac_units > q.acs
    inputs = []
    model.encoder.blocks[0].q.linear.register_forward_pre_hook(lambda m, x: inputs.append(x[0]))
    with torch.no_grad():
        model(images)
    fan_out = (model.encoder.blocks[0].q.linear.weight != 0).sum(0)
    assert q.ac_units * 3 == float((inputs[0].abs().double().flatten(0, -2).sum(0) * fan_out).sum())


def test_every_neuron_is_known():
    kinds = {type(m) for name in NETS for m in build(name).modules()}
    assert {lif.LIF, step.Step} <= kinds
    own = {lif.LIF, step.Step, relu.ReLU, sign.Sign, quantised.Quantised}
    assert set(NEURONS) == own | {TracedNeuron}


@pytest.mark.parametrize("name", ["convnet", "resnet19", "spikformer pool 2", "sdt"])
@pytest.mark.parametrize("reset", [0.0, 0.2, "soft"])
def test_potentials_by_the_definition_fire_as_the_model_did(name, reset, images):
    model = build(name, lif.Config(v_reset=reset, decay=0.7))
    fired = {}

    def observer(name, neuron, output, current):
        z = current()
        z = z.expand(3, *z.shape[1:])
        u, spikes = potentials(z, neuron.config)
        fired[name] = int(output.sum())
        assert torch.equal(spikes, output != 0), name
        assert torch.equal(u >= neuron.config.v_threshold, output != 0)

    with watched(model, observer), torch.no_grad():
        model(images)
    assert sum(fired.values()) > 0


@pytest.mark.parametrize("name", NETS)
def test_traces_are_of_the_one_sample(name, images):
    model = build(name)
    found = trace(model, images, 1)
    with torch.no_grad():
        logits = model(images)[1]
    assert torch.equal(torch.from_numpy(found["logits"]), logits)
    assert found["prediction"] == int(logits.argmax())
    outputs = {}
    with watched(model, lambda n, m, out, z: outputs.update({n: out})), torch.no_grad():
        model(images)
    for i, layer in enumerate(found["raster_names"]):
        own = outputs[str(layer)].reshape(len(outputs[str(layer)]), 3, -1)[:, 1]
        raster = found[f"raster_{i}"]
        assert raster.shape == (3, min(128, own.shape[1]))
        chosen = [j * own.shape[1] // raster.shape[1] for j in range(raster.shape[1])]
        assert (torch.from_numpy(raster) == (own != 0)[:, chosen].expand(3, -1)).all()
    membrane, spikes = found["membrane"], found["membrane_spikes"]
    assert membrane.shape == spikes.shape
    assert 1 <= membrane.shape[1] <= 6
    assert ((membrane >= found["threshold"]) == spikes).all()
    layer = str(found["membrane_name"])
    own = outputs[layer].reshape(len(outputs[layer]), 3, -1)[:, 1]
    if own.any():
        assert spikes.any(0).all()  # silent neurons only where there are no others
        assert spikes.shape[1] == min(6, int(own.any(0).sum()))
    assert ("kept" in found) == (getattr(model, "kept", 0) != getattr(model, "tokens", 0))
    if "kept" in found:
        assert found["kept"].shape == (3, model.kept)


def test_a_net_without_a_membrane_has_no_potentials(images):
    found = trace(build("convnet", relu.Config()), images, 0)
    assert found["membrane"].shape == (3, 0)
    assert str(found["membrane_name"]) == ""


def test_an_observed_block_pools_after_showing():
    block = Block(nn.Conv2d(1, 2, 3, padding=1), lif.LIF(lif.Config()), bn_affine=False, pool=True)
    seen = []
    with watched(block.eval(), lambda n, m, out, z: seen.append(out)), torch.no_grad():
        out = block(torch.randn(1, 2, 1, 6, 6), 4)
    assert seen[0].shape == (4, 2, 2, 6, 6)
    assert torch.equal(nn.MaxPool2d(2)(seen[0].flatten(0, 1)), out.flatten(0, 1))


@pytest.mark.parametrize("binary", [True, False])
def test_levels_are_added_at_once_or_multiplied(binary):
    class Net(nn.Module):
        timesteps = 1

        def __init__(self):
            super().__init__()
            self.neuron = quantised.make(quantised.Config(bits=2, clip=3.0))
            self.classifier = nn.Linear(6, 4, bias=False)

        def forward(self, x):
            return self.classifier(fire(x.flatten(1)[None], self.neuron, 1)[0])

    net = Net()
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    values = values.sign() * 0.5 if binary else values
    values[:, 0] = 0
    net.classifier.weight = nn.Parameter(values)
    x = torch.tensor([[9.0, 0, 1, 2, 3, 0], [2, 2, 0, 0, 1, -1]]).view(2, 1, 1, 6)
    with observed(net) as seen:
        net(x)
    (layer,) = seen.operations().layers
    # by hand: the weights of the first input are zero; three and two of the others are not
    pairs = 4 * (3 + 2) / 2
    counts = (layer.input, layer.acs, layer.ac_units, layer.macs)
    assert counts == (("levels", pairs, pairs, 0) if binary else ("analog", 0, 0, pairs))
