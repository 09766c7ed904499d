"""Networks on the frames of recordings: sizes, every frame seen, time steps of a ramp."""

import pytest
import torch
from trainings import training_in

from spiketicket.errors import UserError
from spiketicket.measure.operations import count_operations
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.models.prunable import prunable
from spiketicket.neurons import lif
from spiketicket.progress import NullReporter
from spiketicket.recipe import OptimizerConfig, TrainConfig, registry
from spiketicket.training.evaluate import Evaluation
from spiketicket.training.loop import Trainee, fit
from spiketicket.training.statistics import estimate_statistics


def build(name, shape, **options):
    module = registry.load("models", name)
    return module.build(module.Config(**options), lif.Config(), shape)


def weights(model):
    return sum(m.weight.numel() for m in prunable(model).values())


@pytest.mark.parametrize("side", [32, 64, 128])
def test_vgg9_pools_recordings_to_its_published_size(side):
    with torch.device("meta"):
        model = build("vgg9", DataShape(channels=2, height=side, width=side, classes=11))
    stem, head = 64 * 9, 256
    assert weights(model) == 2_261_184 - stem + head
    features = torch.empty(0)
    kept = build(
        "vgg9",
        DataShape(channels=2, height=side, width=side, classes=11),
        width=0.1,
        timesteps=2,
        hidden=20,
    )

    def note(layer, inputs):
        nonlocal features
        features = inputs[0]

    kept.hidden[0].register_forward_pre_hook(note)
    kept(torch.ones(2, 1, 2, side, side))
    assert features.shape[-1] == 26 * 16


def test_vgg9_with_pools_of_your_own():
    with torch.device("meta"):
        assert (
            build("vgg9", DataShape(channels=2, height=48, width=48, classes=10))
            .hidden[0]
            .synapse.in_features
            == 256 * 9
        )
        wide = build("vgg9", DataShape(channels=2, height=128, width=128, classes=10), pools=3)
    assert wide.hidden[0].synapse.in_features == 256 * 16 * 16
    with torch.device("meta"):
        # 72 does not divide by 16, so it is pooled as often as it can be
        assert (
            build("vgg9", DataShape(channels=2, height=72, width=72, classes=10))
            .hidden[0]
            .synapse.in_features
            == 256 * 81
        )
    with pytest.raises(UserError, match="multiples of 8"):
        build("vgg9", DataShape(channels=2, height=34, width=34, classes=10))


@pytest.mark.parametrize(
    ("preset", "side", "grid"),
    [("2-256", 128, (8, 8)), ("2-256", 64, (8, 8)), ("2-256", 48, (6, 6)), ("tiny", 128, (8, 8))],
)
def test_spikformer_has_as_many_tokens_as_published(preset, side, grid):
    with torch.device("meta"):
        model = build(
            "spikformer",
            DataShape(channels=2, height=side, width=side, classes=10, frames=16),
            preset=preset,
            timesteps=16,
        )
    assert model.grid == grid


NETS = [
    ("convnet", {"width": 0.25}),
    ("vgg9", {"width": 0.1}),
    ("resconv6", {"width": 0.1}),
    ("resconv6", {"width": 0.1, "shortcuts": True}),
    ("resnet19", {"width": 0.05}),
    ("spikformer", {"dim": 16, "depth": 1, "heads": 2}),
    ("sdt", {"dim": 16, "depth": 1, "heads": 2}),
]


@pytest.mark.parametrize(("name", "options"), NETS)
def test_every_frame_is_seen_and_their_order_matters(name, options):
    torch.manual_seed(0)
    model = build(
        name,
        DataShape(channels=2, height=32, width=32, classes=10, frames=3),
        timesteps=3,
        **options,
    )
    x = torch.randint(0, 4, (3, 4, 2, 32, 32)).float() * 2
    estimate_statistics(model, iter([(x, x)]))
    model.eval()
    with torch.no_grad():
        logits = model(x)
        for t in range(3):
            changed = x.clone()
            changed[t] = 0
            assert not torch.equal(model(changed), logits), t
        assert not torch.allclose(model(x.flip(0)), logits)
    model.timesteps = 2
    with pytest.raises(UserError, match="3 time steps, the network 2"):
        model(x)


@pytest.mark.parametrize("activation", ["as_neuron", "step"])
def test_a_transformers_dense_operations_are_those_of_every_frame(activation):
    shape = DataShape(channels=2, height=16, width=16, classes=10, frames=3)
    model = build(
        "spikformer", shape, dim=16, depth=1, heads=2, pools=1, timesteps=3, activation=activation
    )
    counted = count_operations(model, [torch.ones(3, 2, 2, 16, 16)])
    assert {g: c["dense"] for g, c in counted.items()} == model.macs()
    still = build(
        "spikformer",
        DataShape(channels=2, height=16, width=16, classes=10),
        dim=16,
        depth=1,
        heads=2,
        timesteps=3,
    )
    assert still.macs()["conv_pep"] < model.macs()["conv_pep"]


def test_a_ticket_remembers_its_frames():
    from spiketicket.methods.edge_popup import Config, attach

    shape = DataShape(channels=2, height=8, width=8, classes=4, frames=3)
    model = build("convnet", shape, width=0.25, timesteps=3)
    attach(model, Config(density=0.5), binary=True, seed=0, epochs=1)
    args = {
        "model": {"name": "convnet", "width": 0.25, "timesteps": 3},
        "neuron": {"name": "lif"},
        "shape": shape.__dict__,
    }
    ticket = to_ticket(model, {"network": {"name": "convnet", "args": args}})
    x = torch.randint(0, 3, (3, 2, 2, 8, 8)).float()
    assert torch.equal(from_ticket(ticket)(x), model.eval()(x))


def test_a_ramp_adds_up_neighbouring_frames(tmp_path):
    seen = []

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.timesteps = 4
            self.linear = torch.nn.Linear(1, 2)

        def forward(self, x):
            seen.append((self.timesteps, x.detach().clone()))
            return self.linear(x.mean((0, 2, 3)))

    class Batches:
        steps = 1

        def epoch(self, epoch, start=0):
            yield from [(x, torch.tensor([0, 1]))][start:]

    x = torch.arange(8.0).view(4, 2, 1, 1, 1)

    def validate(model):
        model(x)
        return Evaluation(1.0, 0.5, torch.zeros(2))

    net = Net()
    config = TrainConfig(epochs=3, batch_size=2, timestep_ramp=((1, 1), (1, 2)))
    trainee = Trainee(
        model=net, parameters=list(net.parameters()), optimizer=OptimizerConfig(name="adam", lr=0.1)
    )
    fit(
        trainee,
        Batches(),
        validate,
        config=config,
        training=training_in(tmp_path),
        reporter=NullReporter(),
    )
    assert [(t, len(h)) for t, h in seen] == [(1, 1)] * 2 + [(2, 2)] * 2 + [(4, 4)] * 2
    assert torch.equal(seen[0][1], x.sum(0, keepdim=True))
    assert torch.equal(seen[2][1], torch.stack([x[0] + x[1], x[2] + x[3]]))
    net(torch.ones(2, 2, 1, 1, 1))  # nothing is left on the model
    assert len(seen[-1][1]) == 2
