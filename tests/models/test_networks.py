"""Parameter counts, shapes, and what every registered network has to keep to."""

import pytest
import torch

from spiketicket.errors import UserError
from spiketicket.models import convnet, resconv6, resnet19, vgg9
from spiketicket.models.blocks import DataShape
from spiketicket.models.transformer import TransformerConfig
from spiketicket.neurons import lif, quantised, relu, sign, step
from spiketicket.recipe import registry

CIFAR = DataShape(channels=3, height=32, width=32, classes=10)
NEURONS = [lif.Config(), relu.Config(), sign.Config(), step.Config(), quantised.Config()]


def count(model):
    return sum(p.numel() for p in model.parameters())


def small(module):
    """Options of a network that trains in no time."""
    if issubclass(module.Config, TransformerConfig):
        return {"dim": 16, "depth": 1, "heads": 2}
    return {"width": 0.125}


def test_vgg9_has_the_published_parameters():
    assert count(vgg9.build(vgg9.Config(), lif.Config(), CIFAR)) == 2_261_184
    assert count(vgg9.build(vgg9.Config(bn_affine=True), lif.Config(), CIFAR)) == 2_264_000


def test_resnet19_has_the_published_parameters():
    affine = resnet19.Config(bn_affine=True)
    assert count(resnet19.build(affine, lif.Config(), CIFAR)) == 12_630_858
    shape = DataShape(channels=3, height=32, width=32, classes=100)
    assert count(resnet19.build(affine, lif.Config(), shape)) == 12_653_988


@pytest.mark.slow
@pytest.mark.parametrize("neuron", NEURONS, ids=lambda c: c.name)
@pytest.mark.parametrize("name", registry.names("models"))
def test_every_network_learns_from_images_and_frames(name, neuron):
    module = registry.load("models", name)
    config = module.Config(timesteps=3, **small(module))
    model = module.build(config, neuron, DataShape(channels=2, height=16, width=16, classes=5))
    images = torch.randn(4, 2, 16, 16)
    logits = model(images)
    assert logits.shape == (4, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    with torch.no_grad():
        frames = images.expand(3, *images.shape)
        torch.testing.assert_close(model(images), model(frames), rtol=1e-5, atol=1e-5)
        assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("name", registry.names("models"))
def test_wrong_number_of_frames_is_an_error(name):
    module = registry.load("models", name)
    model = module.build(
        module.Config(**small(module)),
        lif.Config(),
        DataShape(channels=2, height=16, width=16, classes=5),
    )
    with pytest.raises(UserError, match="3 time steps, the network 4"):
        model(torch.randn(3, 1, 2, 16, 16))
    with pytest.raises(UserError, match=r"must be \[B, C, H, W\]"):
        model(torch.randn(2, 16, 16))


@pytest.mark.parametrize("module", [vgg9, convnet, resconv6])
def test_image_sizes_that_the_pools_do_not_divide_are_refused(module):
    with pytest.raises(UserError, match="multiples of"):
        module.build(
            module.Config(), lif.Config(), DataShape(channels=1, height=30, width=30, classes=10)
        )


def test_a_stateless_net_runs_once_for_all_timesteps(monkeypatch):
    model = convnet.build(
        convnet.Config(timesteps=4),
        relu.Config(),
        DataShape(channels=1, height=8, width=8, classes=10),
    )
    seen = []
    for block in model.features:
        block.synapse.register_forward_hook(lambda m, i, o: seen.append(o.shape[0]))
    model(torch.randn(5, 1, 8, 8))
    assert seen == [5, 5, 5]


def test_a_spiking_net_computes_its_first_convolution_once():
    model = convnet.build(
        convnet.Config(timesteps=4),
        lif.Config(),
        DataShape(channels=1, height=8, width=8, classes=10),
    )
    seen = []
    for block in model.features:
        block.synapse.register_forward_hook(lambda m, i, o: seen.append(o.shape[0]))
    model(torch.randn(5, 1, 8, 8))
    assert seen == [5, 20, 20]


@pytest.mark.parametrize("name", ["vgg9", "convnet"])
@pytest.mark.parametrize("kernel", ["eager", "auto"])
def test_pooling_halves_the_image_in_three_ways(name, kernel):
    module = registry.load("models", name)
    seen = {}
    for pooling in ("max", "average", "stride"):
        torch.manual_seed(0)
        config = module.Config(pooling=pooling, width=0.125)
        model = module.build(
            config,
            lif.Config(v_threshold=0.3),
            DataShape(channels=2, height=16, width=16, classes=5),
            kernel,
        )
        outputs = []
        for block in model.features:
            block.register_forward_hook(lambda m, i, o, seen=outputs: seen.append(o))
        model(torch.randn(4, 2, 16, 16))
        seen[pooling] = outputs
    assert [o.shape for o in seen["max"]] == [o.shape for o in seen["average"]]
    assert [o.shape for o in seen["max"]] == [o.shape for o in seen["stride"]]
    values = {k: torch.cat([o.flatten() for o in v]).unique().tolist() for k, v in seen.items()}
    assert values["max"] == values["stride"] == [0, 1]
    assert values["average"] == [0, 0.25, 0.5, 0.75, 1]


def test_pooling_is_the_maximum_unless_a_ticket_says_otherwise():
    assert vgg9.Config().pooling == convnet.Config().pooling == "max"
    with_stride = vgg9.build(vgg9.Config(pooling="stride"), lif.Config(), CIFAR)
    assert count(with_stride) == 2_261_184
