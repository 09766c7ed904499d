"""Tiny recipes, and the trainings of a search one by one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.setup import Context, prepare_experiment
from spiketicket.experiment.train import scene_of
from spiketicket.methods.method import prepare
from spiketicket.methods.states import save_plain
from spiketicket.progress import NullReporter
from spiketicket.recipe import Recipe, parse_recipe
from spiketicket.training.loop import Training, fit

BASE: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 60},
    "model": {"name": "convnet", "width": 0.125, "timesteps": 1, "weights": "float"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "magnitude", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 20, "tune": "off", "kernel": "eager"},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(method: str, density: float = 0.3, **change: Any) -> Recipe:
    """A recipe; ``change`` are sections, and ``options`` the method's own settings."""
    options = change.pop("options", {})
    sections = {k: {**BASE[k], **change[k]} if k in BASE else change[k] for k in change}
    ticket = {"name": method, "density": density, **options}
    return parse_recipe({**BASE, **sections, "ticket": ticket})


@dataclass
class Search:
    """The trainings of a recipe's search in a folder."""

    recipe: Recipe
    folder: Path
    seed: int = 0

    def __post_init__(self) -> None:
        self.experiment = prepare_experiment(self.recipe, Context())
        self.batches, self.validation = self.experiment.split(self.seed)
        self.stages = {stage.name: stage for stage in self.experiment.stages}

    def prepare(self, name: str) -> Any:
        (self.folder / name).mkdir(exist_ok=True, parents=True)
        place = SeedFolder(self.folder)
        scene = scene_of(self.experiment, self.stages[name], self.seed, place, self.batches)
        return prepare(self.stages[name], self.recipe, scene)

    def train(self, name: str, stage: Any = None) -> Any:
        """Train a stage, and leave what later ones need."""
        stage = stage or self.prepare(name)
        place = Training(
            title=name,
            seed=self.seed,
            checkpoint=self.folder / name / "checkpoint.pt",
            log=self.folder / name / "log.jsonl",
            key=name,
        )
        train = self.stages[name].schedule(self.recipe)
        fit(
            stage.trainee, self.batches, None, config=train, training=place, reporter=NullReporter()
        )
        if self.stages[name].keeps:
            (self.folder / name / "weights.safetensors").write_bytes(
                save_plain(stage.trainee.model)
            )
        return stage


@pytest.fixture
def search(tmp_path):
    """Make the trainings of a recipe."""
    return lambda recipe, seed=0: Search(recipe, tmp_path / "seed-0", seed)
