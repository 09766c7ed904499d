"""Layers that are dead or saturated are told once, with the remedy, and written down."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from recipes import varied

from spiketicket.experiment.find import find
from spiketicket.experiment.firing import Firing, told
from spiketicket.measure.observe import observed
from spiketicket.methods.building import build_network
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import lif
from spiketicket.progress import Reporter
from spiketicket.report.load import read_run

pytestmark = pytest.mark.slow

BASE: dict[str, Any] = {
    "name": "t",
    "data": {"name": "digits", "train_limit": 60, "test_limit": 20},
    "model": {"name": "convnet", "width": 0.125, "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.5},
    "train": {"epochs": 2, "batch_size": 20, "kernel": "eager", "tune": "off"},
    "controls": {"dense": False, "random_trained": False, "random_frozen": False},
}


class Heard(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def searched(tmp_path: Path, **changes: Any) -> tuple[list[str], Path]:
    heard = Heard()
    found = find(varied(BASE, **changes), runs_dir=tmp_path, reporter=heard, threads=1)
    return [line for line in heard.lines if "layer" in line], found.folder


def test_dead_layers_are_told_once_and_in_the_report(tmp_path: Path) -> None:
    lines, folder = searched(tmp_path, neuron={"v_threshold": 1000.0})
    assert len(lines) == 3  # one for each convolution, not one for each epoch
    assert lines[0].startswith("ticket, seed 0: layer features.0 fires in 0 % of all steps")
    assert "Lower neuron.v_threshold" in lines[0]
    written = json.loads((folder / "seed-0" / "ticket" / "firing.json").read_text())
    assert written == {"layers": {f"features.{i}": 0.0 for i in range(3)}}
    notes = [note for note in read_run(folder).notes if "hardly ever" in note]
    assert len(notes) == 3
    assert notes[0].startswith("seed-0/ticket: layer features.0 fires hardly ever, in 0 % of")


def test_saturated_layers_have_another_remedy(tmp_path: Path) -> None:
    lines, _ = searched(tmp_path, neuron={"name": "step", "v_threshold": -1000.0})
    assert len(lines) == 3
    assert "fires in 100 % of all steps: it is saturated" in lines[0]
    assert "Raise neuron.v_threshold" in lines[0]


def test_a_sound_network_has_nothing_to_tell(tmp_path: Path) -> None:
    lines, folder = searched(tmp_path)
    assert lines == []
    assert not (folder / "seed-0" / "ticket" / "firing.json").exists()


def test_what_is_watched_is_what_measuring_counts(tmp_path: Path) -> None:
    recipe = varied(BASE)
    shape = DataShape(channels=1, height=8, width=8, classes=10)
    model = build_network(recipe, shape).eval()
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    plain = model(x)
    experiment: Any = type("E", (), {"recipe": recipe, "guard": staticmethod(lambda: None)})
    firing = Firing("ticket", 0, None, Heard(), experiment)  # type: ignore[arg-type]
    for given, _ in firing.watching(model, [(x, x), (x, x)]):
        with torch.no_grad():
            assert torch.equal(model(given), plain)
    rates = {name: float(torch.stack(seen).mean()) for name, seen in firing._seen.items()}
    with observed(model) as counted:
        model(x)
    expected = {n.name: sum(n.rate) / 2 for n in counted.operations().neurons}
    assert rates.keys() == expected.keys()
    for name, rate in rates.items():
        assert rate == pytest.approx(expected[name], abs=1e-6)


def test_the_limits() -> None:
    assert "dead" in told("a", 0.0009)
    assert "saturated" in told("a", 0.991)


def test_neurons_of_a_custom_network_are_seen_too() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = lif.make(lif.Config(v_threshold=1e5), "eager")
            self.second = lif.make(lif.Config(v_threshold=1e-5), "eager")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x) + self.second(x)

    experiment: Any = type("E", (), {"recipe": varied(BASE), "guard": staticmethod(lambda: None)})
    firing = Firing("ticket", 0, None, Heard(), experiment)  # type: ignore[arg-type]
    firing._custom = True
    model, x = Own(), torch.ones(2, 4, 3)
    for given, _ in firing.watching(model, [(x, x), (x, x)]):
        model(given)
    rates = {name: [float(share) for share in seen] for name, seen in firing._seen.items()}
    assert rates == {"first": [0.0], "second": [1.0]}
    assert not any(module._forward_hooks for module in model.modules())
