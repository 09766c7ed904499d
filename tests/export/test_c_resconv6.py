"""The network that pools sums before its neurons, as C: spikes, logits and classes to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import spiketicket as run

from spiketicket.engine import Engine
from spiketicket.engine.compile import compile_ticket
from spiketicket.errors import UserError
from spiketicket.export.c.chain import read_chain
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import build_model, encoder_of
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe import registry
from spiketicket.ticket import Ticket, TicketLayer

Make = Callable[..., Any]
DIGITS = DataShape(channels=1, height=8, width=8, classes=10)
CIFAR = DataShape(channels=3, height=32, width=32, classes=10)


def resconv6_ticket(shape: DataShape, **model: Any) -> Ticket:
    """Random masks, signs and filters; BatchNorm's statistics are those of what it is given.

    With ``bn_affine`` about half of the scales are negative.
    """
    rng = np.random.default_rng(3)
    resconv6, lif = registry.load("models", "resconv6"), registry.load("neurons", "lif")
    config = resconv6.Config(weights="binary", bn_affine=model.pop("bn_affine", False), **model)
    torch.manual_seed(0)
    net = build_model(config, lif.Config(), shape, "eager")
    encoder, c = encoder_of(net), shape.channels
    if encoder is not None:
        size = (len(encoder.filters), c, 2, 2)
        encoder.fit(torch.from_numpy(rng.normal(0, 1, size).astype(np.float32)))
    layers, masks = [], {}
    with torch.no_grad():
        for name, module in net.named_modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                weight = module.weight
                masks[name] = rng.random(weight.shape) < 0.5
                signs = torch.from_numpy(rng.choice([-1.0, 1.0], weight.shape) * masks[name])
                weight.copy_(signs * float(weight.abs().mean()))
            elif isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.momentum = None  # a plain average over the batches below
                if module.affine:
                    module.weight.uniform_(-2, 2)
                    module.bias.uniform_(-0.5, 1)
        for _ in range(10):
            net.train()(torch.randn(8, c, shape.height, shape.width))
    tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    for name, mask in masks.items():
        weight = tensors.pop(f"{name}.weight")
        parts = {"signs": np.sign(weight).astype(np.int8), "alpha": float(np.abs(weight).max())}
        layers.append(TicketLayer(name=name, shape=weight.shape, kind="binary", mask=mask, **parts))
    args = {
        "model": config.model_dump(mode="json"),
        "neuron": lif.Config().model_dump(mode="json"),
        "shape": dict(shape.__dict__),
    }
    metadata = {
        "network": {"name": "resconv6", "args": args},
        "normalisation": {"mean": [0.45] * c, "std": [0.25] * c},
    }
    return Ticket(tuple(layers), tensors, metadata)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "model", "count"),
    [
        (DIGITS, {"timesteps": 4, "width": 0.5, "bn_affine": True}, 20),
        (DIGITS, {"timesteps": 3, "width": 0.25, "logit_norm": False}, 20),
        (CIFAR, {"timesteps": 4, "width": 0.5, "encoder": "whiten"}, 2),
        (CIFAR, {"timesteps": 4, "width": 0.25, "encoder": "whiten-lif", "bn_affine": True}, 2),
        (CIFAR, {"timesteps": 4, "width": 0.5, "bn_affine": True}, 2),
    ],
    ids=["digits", "digits-plain-logits", "cifar10", "whiten-lif", "cifar10-pixels"],
)
def test_c_is_the_engine(
    shape: DataShape, model: dict[str, Any], count: int, trial: Make, tmp_path: Path
) -> None:
    ticket = resconv6_ticket(shape, **model)
    made = trial(compile_ticket(ticket))
    size = (count, 1, shape.channels, shape.height, shape.width)
    images = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    library = made.load()
    made.check(library, images)  # all spikes and logits of the definition
    logits, spikes = made.expected(images)
    assert all(0.02 < layer.mean() < 0.9 for layer in spikes)
    if model.get("bn_affine"):
        norms = [key for key in ticket.tensors if key.endswith("norm.weight")]
        assert all((ticket.tensors[key] < 0).any() for key in norms)
    path = tmp_path / "resconv6.ticket"
    ticket.save(path)
    engine = Engine(path).run(images[:, 0])
    x = (torch.from_numpy(images[:, 0]) / 255 - 0.45) / 0.25
    with torch.no_grad():
        plain = from_ticket(ticket)(x).numpy()
    np.testing.assert_allclose(plain, logits, rtol=0, atol=1e-5)
    for i, image in enumerate(images):
        found = made.run(library, image)[0]
        if not model.get("logit_norm", True):
            continue
        assert np.array_equal(found, engine[i])
        assert int(np.argmax(found)) == int(np.argmax(plain[i]))


def test_shortcuts_are_refused_with_the_remedy() -> None:
    ticket = resconv6_ticket(DIGITS, width=0.1, shortcuts=True)
    with pytest.raises(UserError, match="residual sums") as refused:
        read_chain(compile_ticket(ticket))
    assert "model.shortcuts=false" in str(refused.value)


def test_command(tmp_path: Path) -> None:
    """A ticket of the recipe ``cifar10``, narrower: written by the command line, sizes shown."""
    path, out = tmp_path / "small.ticket", tmp_path / "out"
    resconv6_ticket(CIFAR, width=0.1, encoder="whiten", timesteps=4).save(path)
    shown = run("export", str(path), "--to", "c", "-o", str(out))
    assert shown.exit_code == 0
    assert "flash" in shown.stdout
    assert "RAM" in shown.stdout
    assert sorted(file.name for file in out.iterdir()) == ["main.c", "small.c", "small.h"]
