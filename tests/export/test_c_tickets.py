"""A trained ticket as C: on this machine, and on an emulated Cortex-M4."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.engine.compile import compile_ticket
from spiketicket.export.boards import BOARDS, build
from spiketicket.ticket import Ticket

Make = Callable[..., Any]
EMULATED = [
    pytest.param(name, lut, marks=pytest.mark.needs("riscv" if name.startswith("rv") else "arm"))
    for name, lut in (
        *(("cortex-m4", lut) for lut in ("normal", "counts", "none")),
        ("cortex-m33", "none"),
        ("rv32imac", "normal"),
    )
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lut"), EMULATED)
def test_spikes_of_a_board(name: str, lut: str, trial: Make, network: Make, conv: Make) -> None:
    """Spikes of an emulated board, floats of its floating-point unit included."""
    frames = 4 if lut == "counts" else 1
    layers = (conv(channels=8, pool=True), conv(channels=8), conv(channels=20, kernel=0))
    net = network(lut=lut, frames=frames, convs=layers, head_bias=lut == "none")
    made = trial(net.program())
    board = build(BOARDS[name], made.folder, "net", "harness.c", "-DNET_TRACE")
    image = net.images(1)
    outcome = board.run(image[0], made.program.classes)
    print(f"{outcome.instructions:,} instructions, {board.flash_bytes}, {board.ram_bytes}")
    logits, spikes = made.expected(image)
    words = np.frombuffer(board.read("trace_words", 4 * made.trace_words), np.uint32)
    for mine, theirs in zip(made.unpack(words), spikes, strict=True):
        assert np.array_equal(mine, theirs[0])
    found = np.frombuffer(outcome.logits, made.logit)
    assert int(np.argmax(found)) == int(np.argmax(logits[0]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["edge_popup", "signed_supermask"])
def test_trained_digits(trial: Make, tmp_path: Path, method: str) -> None:
    """All spikes of a ticket that was searched, and its accuracy, on the digits' test images."""
    pytest.importorskip("torch")
    from spiketicket.data.of_ticket import find_test_data
    from spiketicket.experiment.find import find
    from spiketicket.recipe import parse_recipe

    recipe = parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits"},
            "model": {"name": "convnet", "width": 0.25, "timesteps": 4},
            "neuron": {"name": "lif"},
            "ticket": {"name": method, "density": 0.5},
            "train": {"epochs": 3, "batch_size": 64, "tune": "off"},
        }
    )
    path = Path(find(recipe, seeds=1, runs_dir=tmp_path / "runs").to_dict()["tickets"][0])
    ticket = Ticket.load(path)
    made = trial(compile_ticket(ticket))
    library = made.load()
    test = find_test_data(ticket, path).dataset.test
    images = np.asarray(test.x)[:, None]
    made.check(library, images[:20])
    found = [int(np.argmax(made.run(library, image)[0])) for image in images]
    accuracy = 100 * float(np.mean(np.array(found) == np.asarray(test.y)))
    assert accuracy == pytest.approx(ticket.metadata["accuracy"]["test"], abs=1e-6)
