"""The same in PyTorch Lightning: `python examples/attach_lightning.py`.

The state of the search lies in the network's, so that Lightning's checkpoints hold it.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.data import Samples, load_dataset, make_config


class Searched(lightning.LightningModule):
    """A classifier whose ticket is searched."""

    def __init__(self, net: nn.Module, **search: Any) -> None:
        super().__init__()
        self.net = net
        self.search = spiketicket.attach(net, **search)

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        """The loss of a batch."""
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Compute the masks anew after a step."""
        super().optimizer_step(*arguments, **options)
        self.search.update()

    def test_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        """Accuracy of a batch."""
        x, y = batch
        self.log("accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """What the search trains, and nothing else."""
        return torch.optim.Adam(self.search.parameters(), lr=0.02)


def loader(samples: Samples, *, shuffle: bool) -> DataLoader[Any]:
    """Digits of 8x8 pixels."""
    x, y = torch.from_numpy(samples.x).float() / 255, torch.from_numpy(samples.y)
    return DataLoader(TensorDataset(x, y), 64, shuffle=shuffle)


def net() -> nn.Module:
    """Digits to ten classes."""
    conv = [nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*conv, nn.Flatten(), nn.Linear(1152, 10))


if __name__ == "__main__":
    digits = load_dataset(make_config("digits"))
    searched = Searched(net(), method="edge_popup", density=0.5)
    trainer = lightning.Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False
    )
    trainer.fit(searched, loader(digits.train, shuffle=True))
    trainer.test(searched, loader(digits.test, shuffle=False))
    searched.search.ticket().save("attached.ticket")
