"""The examples of a search in one's own loop run, on real data."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
import torch
from places import EXAMPLES
from torch import nn

import spiketicket
from spiketicket.data import load_dataset, make_config

pytestmark = pytest.mark.slow


def network():
    conv = [nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*conv, nn.Flatten(), nn.Linear(1152, 10)).eval()


def accuracy(net):
    test = load_dataset(make_config("digits")).test
    x, y = torch.from_numpy(test.x).float() / 255, torch.from_numpy(test.y)
    with torch.no_grad():
        return 100 * float((net(x).argmax(1) == y).float().mean())


def test_plain_pytorch(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "attach_pytorch.py")],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (stated,) = re.findall(r"^([\d.]+)% on the test set$", done.stdout, re.MULTILINE)
    ticket = spiketicket.Ticket.load(tmp_path / "attached.ticket")
    assert [layer.density for layer in ticket.layers] == [0.5, 0.5]
    net = spiketicket.load_into(network(), ticket)
    assert accuracy(net) == pytest.approx(float(stated), abs=0.3)
    assert accuracy(net) > 90


@pytest.mark.filterwarnings("ignore")
def test_lightning_with_its_own_checkpoint(tmp_path):
    lightning = pytest.importorskip("pytorch_lightning")
    spec = importlib.util.spec_from_file_location("attached", EXAMPLES / "attach_lightning.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    batches = example.loader(load_dataset(make_config("digits")).train, shuffle=False)
    options = {"scope": "global", "ramp_epochs": 2}

    def fitted(epochs, checkpoint=None):
        module = example.Searched(
            example.net(),
            density=0.3,
            epochs=2,
            steps_per_epoch=len(batches),
            options=options,
        )
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, batches, ckpt_path=checkpoint)
        return module, trainer

    torch.manual_seed(0)
    whole, _ = fitted(2)
    torch.manual_seed(0)
    half, trainer = fitted(1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    assert half.search.updates == len(batches)
    torch.manual_seed(1)
    other, _ = fitted(2, tmp_path / "half.ckpt")
    assert other.search.updates == 2 * len(batches)
    assert other.search.ticket().to_bytes() == whole.search.ticket().to_bytes()
    net = spiketicket.load_into(network(), whole.search.ticket())
    assert accuracy(net) == accuracy(whole.net.eval()) > 80
