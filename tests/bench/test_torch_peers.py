"""What the PyTorch peers do to a model, and how they choose between ways to run it."""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spiketicket.bench.agreement import compared
from spiketicket.bench.peers._torch import fastest, runner
from spiketicket.bench.peers.torch_bf16 import in_bfloat16
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket

Array = NDArray[np.float32]


def images(count: int) -> Array:
    return np.random.default_rng(0).normal(size=(count, 1, 8, 8)).astype(np.float32)


def test_bfloat16_is_near_and_not_the_same(tiny: Path) -> None:
    ticket, x = Ticket.load(tiny), images(32)
    expected = runner(from_ticket(ticket, "eager"))(x)
    model = in_bfloat16(from_ticket(ticket, "eager"))
    found = runner(model)(x)
    kinds = {k.rpartition(".")[2]: v.dtype for k, v in model.state_dict().items()}
    assert kinds["weight"] == torch.bfloat16
    assert kinds["running_var"] == torch.float32
    agreement = compared(found, expected)
    assert agreement.equal < 1
    assert agreement.passes("reduced")


def test_the_fastest_way_is_chosen() -> None:
    def way(seconds: float) -> object:
        def run(x: Array) -> Array:
            time.sleep(seconds)
            return x

        return run

    ways = {"slow": way(0.03), "fast": way(0.0), "slower": way(0.05)}
    name, run = fastest(ways, images(1))
    assert name == "fast"
    assert run is ways["fast"]
