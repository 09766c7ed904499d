"""A trained ticket as C: on this machine, and on an emulated Cortex-M4."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.engine.compile import compile_ticket
from spiketicket.ticket import Ticket

Make = Callable[..., Any]
_FILE = Path(__file__).parents[2] / "benchmarks" / "cortex_m4.py"
_SPEC = importlib.util.spec_from_file_location("cortex_m4", _FILE)
assert _SPEC
assert _SPEC.loader
cortex_m4 = importlib.util.module_from_spec(_SPEC)
sys.modules["cortex_m4"] = cortex_m4  # dataclasses look their module up by its name
_SPEC.loader.exec_module(cortex_m4)


@pytest.mark.slow
@pytest.mark.needs("arm")
@pytest.mark.parametrize("lut", ["normal", "counts", "none"])
def test_cortex_m4(lut: str, trial: Make, network: Make, conv: Make) -> None:
    """Spikes of an emulated Cortex-M4, floats of its floating-point unit included."""
    frames = 4 if lut == "counts" else 1
    layers = (conv(channels=8, pool=True), conv(channels=8), conv(channels=20, kernel=0))
    net = network(lut=lut, frames=frames, convs=layers, head_bias=lut == "none")
    made = trial(net.program())
    board = cortex_m4.build(made.folder, "net", "harness.c", "-DNET_TRACE")
    image = net.images(1)
    outcome = board.run(image[0], made.program.classes)
    print(f"{outcome.instructions:,} instructions, {board.sizes}")
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
