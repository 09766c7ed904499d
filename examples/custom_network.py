r"""A ticket in a custom network: plain PyTorch, SpikingJelly, snnTorch or norse.

    python examples/custom_network.py plain
    python examples/custom_network.py snntorch --epochs 30

Or in a recipe, for the ticket with all its controls and a verdict:

    spiketicket find examples/custom_network.toml --network examples.custom_network:snntorch \
        --options channels=24
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.data import Samples, load_dataset, make_config


class Repeated(nn.Module):
    """Shows a net of single steps its image several times."""

    def __init__(self, net: nn.Module, timesteps: int) -> None:
        super().__init__()
        self.net, self.timesteps = net, timesteps

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.net(x) for _ in range(self.timesteps)])


class WithState(nn.Module):
    """The same for norse, whose nets are handed their state."""

    def __init__(self, net: nn.Module, timesteps: int) -> None:
        super().__init__()
        self.net, self.timesteps = net, timesteps

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for _ in range(self.timesteps):
            output, state = self.net(x, state)
            outputs.append(output)
        return torch.stack(outputs)


def layers(neuron: nn.Module, channels: int) -> list[nn.Module]:
    """Digits of 8x8 pixels to ten classes."""
    return [
        nn.Conv2d(1, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        neuron,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * channels, 10),
    ]


def plain(timesteps: int = 4, channels: int = 16) -> nn.Module:
    """No time at all."""
    del timesteps
    return nn.Sequential(*layers(nn.ReLU(), channels))


def spikingjelly(timesteps: int = 4, channels: int = 16) -> nn.Module:
    """Neurons with a state, which the search resets."""
    from spikingjelly.activation_based.neuron import LIFNode

    return Repeated(nn.Sequential(*layers(LIFNode(), channels)), timesteps)


def snntorch(timesteps: int = 4, channels: int = 16) -> nn.Module:
    """Neurons with a hidden state, which the search resets."""
    import snntorch

    neuron = snntorch.Leaky(beta=0.5, init_hidden=True)
    return Repeated(nn.Sequential(*layers(neuron, channels)), timesteps)


def norse(timesteps: int = 4, channels: int = 16) -> nn.Module:
    """Neurons that are handed their state."""
    from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState

    # dv = dt * tau_mem_inv * (leak - v + input): decay 0.5 a step
    parameters = LIFBoxParameters(tau_mem_inv=torch.as_tensor(500.0), v_th=torch.as_tensor(0.5))
    return WithState(SequentialState(*layers(LIFBoxCell(parameters), channels)), timesteps)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "plain": plain,
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
    "norse": norse,
}


def loader(samples: Samples, *, shuffle: bool) -> DataLoader:
    """Pixels from 0 to 1, in batches of 64."""
    x = torch.from_numpy(samples.x).float() / 255
    return DataLoader(TensorDataset(x, torch.from_numpy(samples.y)), 64, shuffle=shuffle)


@torch.no_grad()
def accuracy(net: nn.Module, batches: DataLoader) -> float:
    """Percent; state is forgotten between batches."""
    hits = total = 0
    for x, y in batches:
        spiketicket.reset_state(net)
        logits = net(x)
        logits = logits.mean(0) if logits.dim() == 3 else logits
        hits, total = hits + int((logits.argmax(1) == y).sum()), total + len(y)
    return 100 * hits / total


def main() -> None:
    """Search, save, load into a fresh network, and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", choices=NETWORKS)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--density", type=float, default=0.5)
    given = parser.parse_args()
    data = load_dataset(make_config("digits"))
    train, test = loader(data.train, shuffle=True), loader(data.test, shuffle=False)
    for name in given.networks:
        make = NETWORKS[name]
        ticket = spiketicket.search(make(), train, density=given.density, epochs=given.epochs)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "own.ticket"
            ticket.save(path)
            net = spiketicket.load_into(make(), spiketicket.Ticket.load(path)).eval()
        kept = sum(layer.kept for layer in ticket.layers)
        print(f"{name}: {kept} weights, never trained: {accuracy(net, test):.1f}% right")


if __name__ == "__main__":
    main()
