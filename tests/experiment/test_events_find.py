"""Tickets on recordings from end to end: a parameter ticket, a ladder, and what does not fit."""

from typing import ClassVar

import numpy as np
import pytest
from recipes import varied

from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find
from spiketicket.progress import NullReporter
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two classes of 5-byte recordings: dots that go right, dots that go down."""
    folder = tmp_path_factory.mktemp("events")
    rng = np.random.default_rng(0)
    for label in (0, 1):
        (folder / "mine" / "rd"[label]).mkdir(parents=True)
        for i in range(24):
            rows = []
            for t in range(0, 4000, 8):
                at = [t // 250, int(rng.integers(0, 16))]
                x, y = at if label == 0 else at[::-1]
                rows.append(bytes([x, y]) + (int(rng.integers(2)) << 23 | t).to_bytes(3, "big"))
            (folder / "mine" / "rd"[label] / f"{i:02}.bin").write_bytes(b"".join(rows))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPIKETICKET_CACHE", str(tmp_path_factory.mktemp("cache")))


def recipe(root, **sections):
    base = {
        "name": "events",
        "data": {
            "name": "event_folder",
            "root": str(root),
            "folder": "mine",
            "sensor": [16, 16],
            "steps": 4,
            "validation": 0.25,
            "drop_events": 0.1,
            "jitter_events": 0.2,
            "pad_crop": 1,
        },
        "model": {"name": "convnet", "width": 0.25, "timesteps": 4},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 12, "batch_size": 8, "tune": "off", "timestep_ramp": [[1, 1], [2, 2]]},
    }
    return varied(base, **sections)


def test_a_ticket_on_recordings_learns_and_its_file_is_tested_alone(root, tmp_path):
    result = find(recipe(root), runs_dir=tmp_path)
    stages = {row["stage"]: row for row in result.to_dict()["stages"]}
    assert stages["dense"]["test_accuracy"][0] > 70
    again = evaluate_ticket(result.tickets[0], root=str(root))
    assert again.test_accuracy == again.stated_accuracy
    shape = Ticket.load(result.tickets[0]).metadata["network"]["args"]["shape"]
    assert (shape["channels"], shape["frames"]) == (2, 4)


TRANSFORMER = {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 2, "timesteps": 4}


def test_the_ladder_climbs_on_recordings_and_counts_every_frame(root, tmp_path):
    ladder = {"name": "multisp", "density": 0.5, "keep": 0.5, "patch_controls": ["pixel_energy"]}
    made = parse_recipe(
        {
            **recipe(root).model_dump(mode="json"),
            "model": TRANSFORMER,
            "ticket": ladder,
            "train": {"epochs": 2, "batch_size": 12, "tune": "off"},
        }
    )
    result = find(made, runs_dir=tmp_path)
    stages = {row["stage"]: row for row in result.to_dict()["stages"]}
    assert stages["multisp"]["tokens"] == {"kept": 8, "of": 16}
    for name in ("dense", "pepsp", "multisp"):
        pep = stages[name]["operations"]["conv_pep"]
        # the first convolution meets whole counts, at every frame, whatever the activation
        assert pep["macs"] == 0
        assert pep["dense"] == stages[name]["macs"]["conv_pep"]
    assert stages["multisp"]["macs"]["conv_pep"] == stages["pepsp"]["macs"]["conv_pep"]


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"model": {"timesteps": 2}}, r"model\.timesteps: the recordings have 4 frames"),
        ({"train": {"timestep_ramp": [[1, 3]]}}, r"timestep_ramp: must divide the 4 frames"),
    ],
)
def test_other_time_steps_than_frames_are_named_before_anything_is_trained(
    root, tmp_path, sections, text
):
    with pytest.raises(UserError, match=text):
        find(recipe(root, **sections), runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_to_be_known_about_the_data_is_told_everywhere(tmp_path):
    class Listener(NullReporter):
        said: ClassVar[list[str]] = []

        def message(self, text):
            self.said.append(text)

    made = parse_recipe(
        {
            **recipe(tmp_path).model_dump(mode="json"),
            "data": {"name": "digits_events", "steps": 2, "train_limit": 60, "validation": 0.7},
            "model": {"name": "convnet", "width": 0.1, "timesteps": 2},
            "train": {"epochs": 1, "batch_size": 30, "tune": "off"},
            "controls": {"dense": False, "random_trained": False, "random_frozen": False},
        }
    )
    result = find(made, runs_dir=tmp_path, reporter=Listener())
    assert any("simulated" in said for said in Listener.said)
    assert "simulated" in result.to_dict()["notes"][0]
    assert "simulated" in Ticket.load(result.tickets[0]).metadata["data"]["notes"][0]


def test_a_split_that_a_later_seed_cannot_have_is_named_at_once(root, tmp_path):
    few = recipe(root, data={"window_us": 1000, "validation": 0.01})
    with pytest.raises(UserError, match="leaves class"):
        find(few, seeds=3, runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())
