"""The spiking transformers: sizes, and logits against a slow obvious program of their own."""

import pytest
import torch
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.models import sdt, spikformer
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import lif, native, relu

CIFAR = DataShape(channels=3, height=32, width=32, classes=10)
NETS = [spikformer, sdt]
SMALL = {"dim": 16, "depth": 2, "heads": 2, "timesteps": 3}


def build(module, shape=CIFAR, neuron=None, kernel="auto", **options):
    torch.manual_seed(0)
    return module.build(module.Config(**options), neuron or lif.Config(), shape, kernel)


def settled(model, shape=CIFAR):
    """Evaluation mode, with BatchNorm statistics and scales that are not the initial ones."""
    draw = torch.Generator().manual_seed(1)
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(-0.2, 0.1, generator=draw)
            norm.running_var.uniform_(0.05, 0.3, generator=draw)
            if norm.affine:
                with torch.no_grad():
                    norm.weight.uniform_(0.5, 1.5, generator=draw)
                    norm.bias.normal_(0, 0.2, generator=draw)
    return model.eval()


def count(model):
    return sum(p.numel() for p in model.parameters())


def unused_norms(blocks, dim):
    """Two LayerNorms a block that the published forward passes never use."""
    return blocks * 2 * 2 * dim


@pytest.mark.parametrize(("preset", "parameters"), [("tiny", 5_923_810), ("small", 23_563_450)])
def test_tiny_and_small_have_the_published_parameters(preset, parameters):
    assert count(build(spikformer, preset=preset, bn_affine=True)) == parameters


def test_the_other_presets_have_the_published_parameters_less_the_unused():
    published = 9_330_874
    ours = count(build(spikformer, preset="4-384", bn_affine=True))
    assert ours + unused_norms(4, 384) == published
    events = DataShape(channels=2, height=128, width=128, classes=10)
    ours = count(build(spikformer, events, preset="2-256", bn_affine=True, qkv_bias=False))
    assert ours + unused_norms(2, 256) + 2 * 256 + 64 * 256 == 2_585_610
    ours = count(build(sdt, preset="2-512", bn_affine=True))
    assert ours + 2 * 8 * 8 == 10_233_546


def test_tiny_has_the_known_operations_a_step():
    macs = build(spikformer, preset="tiny", timesteps=1).macs()
    million = {group: round(n / 1e6, 1) for group, n in macs.items()}
    assert million["conv_pep"] == 117.4
    assert million["encoder_linear"] == 339.7
    assert million["attention"] == 18.9


def slow_lif(inputs, threshold=1.0):
    v, spikes = torch.zeros_like(inputs[0]), []
    for x in inputs:
        v = 0.5 * v + x
        s = (v >= threshold).float()
        v = v * (1 - s)
        spikes.append(s)
    return spikes


def slow_norm(x, norm):
    """BatchNorm over axis 1, or over the last axis of tokens."""
    x = x.transpose(1, 2) if x.dim() == 3 else x
    y = functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0, norm.eps
    )
    return y.transpose(1, 2) if x.dim() == 3 else y


def slow_conv(conv, norm, inputs):
    return [slow_norm(functional.conv2d(x, conv.weight, None, 1, 1), norm) for x in inputs]


def slow_pep(pep, inputs, membrane):
    h = inputs
    for stage, (conv, norm, pooled) in enumerate(
        zip(pep.convs, pep.norms, pep.pooled, strict=True)
    ):
        h = slow_conv(conv, norm, h)
        if not (membrane and stage == 3):
            h = slow_lif(h)
        if pooled:
            h = [functional.max_pool2d(x, 3, 2, 1) for x in h]
    spikes = slow_lif(h) if membrane else h
    place = slow_conv(pep.rpe_conv, pep.rpe_norm, spikes)
    place = place if membrane else slow_lif(place)
    return [(a + b).flatten(2).transpose(1, 2) for a, b in zip(h, place, strict=True)]


def slow_linear(layer, inputs):
    linear = layer.linear
    return [slow_norm(functional.linear(x, linear.weight, linear.bias), layer.norm) for x in inputs]


def slow_spikformer(model, inputs):
    x = slow_pep(model.conv_pep, inputs, False)
    for block in model.encoder.blocks:
        q, k, v = (slow_lif(slow_linear(layer, x)) for layer in (block.q, block.k, block.v))
        mixed = []
        for a, b, c in zip(q, k, v, strict=True):
            heads = [
                0.125 * (i @ j.transpose(1, 2)) @ m
                for i, j, m in zip(
                    a.chunk(block.heads, 2),
                    b.chunk(block.heads, 2),
                    c.chunk(block.heads, 2),
                    strict=True,
                )
            ]
            mixed.append(torch.cat(heads, 2))
        out = slow_lif(slow_linear(block.proj, slow_lif(mixed, 0.5)))
        x = [a + b for a, b in zip(x, out, strict=True)]
        hidden = slow_lif(slow_linear(block.fc1, x))
        x = [a + b for a, b in zip(x, slow_lif(slow_linear(block.fc2, hidden)), strict=True)]
    return model.encoder.head(torch.stack(x).mean((0, 2)))


def slow_sdt(model, inputs):
    x = slow_pep(model.conv_pep, inputs, True)
    for block in model.encoder.blocks:
        s = slow_lif(x)
        q, k, v = (slow_lif(slow_linear(layer, s)) for layer in (block.q, block.k, block.v))
        mask = slow_lif([(b * c).sum(1, keepdim=True) for b, c in zip(k, v, strict=True)], 0.5)
        out = slow_linear(block.proj, [a * b for a, b in zip(q, mask, strict=True)])
        x = [a + b for a, b in zip(x, out, strict=True)]
        hidden = slow_linear(block.fc1, slow_lif(x))
        out = slow_linear(block.fc2, slow_lif(hidden))
        x = [a + b for a, b in zip(x, out, strict=True)]
    return model.encoder.head(torch.stack(slow_lif(x)).mean((0, 2)))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    ("module", "slow"), [(spikformer, slow_spikformer), (sdt, slow_sdt)], ids=["spikformer", "sdt"]
)
def test_logits_are_those_of_a_slow_program(module, slow, affine):
    model = settled(build(module, **SMALL, bn_affine=affine))
    frames = torch.randn(3, 4, 3, 32, 32)
    with torch.no_grad():
        expected = slow(model, list(frames))
        torch.testing.assert_close(model(frames), expected, rtol=1e-4, atol=1e-4)
        image = slow(model, [frames[0]] * 3)
        torch.testing.assert_close(model(frames[0]), image, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


@pytest.mark.parametrize("module", NETS)
def test_every_layer_of_sdt_but_the_first_sees_binary_spikes(module):
    model = settled(build(module, **SMALL))
    seen = {}

    def note(name):
        return lambda layer, inputs: seen.__setitem__(name, set(inputs[0].unique().tolist()))

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and "head" not in name:
            layer.register_forward_pre_hook(note(name))
    with torch.no_grad():
        model(torch.randn(4, 3, 32, 32))
    binary = {name: values <= {0.0, 1.0} for name, values in seen.items()}
    assert not binary.pop("conv_pep.convs.0")
    assert all(binary.values()) == (module is sdt)


@pytest.mark.parametrize("kind", ["step", "sign"])
@pytest.mark.parametrize("module", NETS)
def test_binary_activations_run_conv_pep_once_for_an_image(module, kind):
    model = settled(build(module, **SMALL, activation=kind))
    batches = []
    for conv in [*model.conv_pep.convs, model.conv_pep.rpe_conv]:
        conv.register_forward_hook(lambda m, i, o: batches.append(len(o)))
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        once = model(images)
        # a membrane net's own neuron before the position embedding has a state
        assert batches[:4] == [4, 4, 4, 4]
        torch.testing.assert_close(
            model(images.expand(3, *images.shape)), once, rtol=1e-5, atol=1e-5
        )
    assert max(batches) == 12


@pytest.mark.skipif(not native.available(), reason="no C library was built")
@pytest.mark.parametrize("module", NETS)
def test_kernels_agree(module):
    frames = torch.randn(3, 4, 3, 32, 32)
    with torch.no_grad():
        a, b = (
            settled(build(module, **SMALL, kernel=kernel))(frames) for kernel in ("native", "eager")
        )
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "neuron", "options"),
    [
        (spikformer, lif.Config(), {}),
        (sdt, lif.Config(), {}),
        (spikformer, lif.Config(), {"activation": "sign"}),
        (spikformer, relu.Config(), {"timesteps": 1}),
        (spikformer, relu.Config(), {"timesteps": 1, "attention": "softmax"}),
        (sdt, relu.Config(), {"timesteps": 1}),
    ],
)
def test_a_bf16_step_has_finite_gradients_everywhere(module, neuron, options):
    model = build(module, neuron=neuron, **{**SMALL, **options}, bn_affine=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(4, 3, 32, 32))
    functional.cross_entropy(logits.float(), torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_softmax_attention_is_torchs_own():
    model = build(spikformer, neuron=relu.Config(), **{**SMALL, "attention": "softmax"})
    q, k, v = torch.randn(3, 2, 4, 2, 9, 8)
    expected = functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(model.encoder.blocks[0].product(q, k, v), expected)


@pytest.mark.parametrize("ranking", ["none", "center"])
@pytest.mark.parametrize("module", NETS)
def test_where_a_patch_lies_matters(module, ranking):
    keep = {} if ranking == "none" else {"ranking": ranking, "keep": 0.5}
    model = settled(build(module, **SMALL, **keep))
    images = torch.randn(4, 3, 32, 32)
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    grid = patches[:, :, order].unflatten(2, (8, 8)).permute(0, 1, 2, 4, 3, 5)
    moved = grid.reshape(4, 3, 32, 32)
    assert torch.equal(moved.flatten().sort().values, images.flatten().sort().values)
    with torch.no_grad():
        assert not torch.allclose(model(images), model(moved), atol=1e-3)


@pytest.mark.parametrize(
    ("module", "options", "where"),
    [
        (spikformer, {"dim": 16, "heads": 3}, "model.dim"),
        (spikformer, {"dim": 20, "heads": 2}, "model.dim"),
        (
            spikformer,
            {"pools": 3, "shape": DataShape(channels=3, height=36, width=36, classes=10)},
            "model.pools",
        ),
        (spikformer, {"keep": 0.5}, "model.keep"),
        (spikformer, {"keep": 0.001, "ranking": "center"}, "ticket.keep"),
        (spikformer, {"width": 0.5}, "model.width"),
        (sdt, {"attention": "softmax"}, "model.attention"),
        (spikformer, {"ranking": "attention_last", "depth": 0}, "model.ranking"),
    ],
)
def test_what_cannot_be_is_named(module, options, where):
    with pytest.raises(UserError) as caught:
        build(module, **options)
    assert caught.value.where == where


@pytest.mark.parametrize("module", NETS)
def test_step_is_the_nets_own_neuron_without_memory(module):
    neuron = {"v_threshold": 0.7, "surrogate": "atan", "alpha": 2.0}
    step, forgetful = (
        settled(
            build(
                module,
                **SMALL,
                neuron=lif.Config(**neuron, decay=d),
                activation=activation,
                step="neuron",
            )
        )
        for d, activation in ((0.5, "step"), (0.0, "lif"))
    )
    frames = torch.randn(3, 4, 3, 32, 32)
    tokens = []
    for model in (step, forgetful):
        x = frames.clone().requires_grad_()
        out = model.conv_pep(x, 3)
        out.sum().backward()
        tokens.append((out.detach(), x.grad))
    assert float(tokens[0][0].mean()) > 0.05
    torch.testing.assert_close(tokens[0], tokens[1], rtol=1e-5, atol=1e-5)
