"""A run that answers at once, so that these tests are about the command line."""

import dataclasses
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Result, spiketicket
from judged import judged

import spiketicket.experiment as _experiment
from spiketicket.verdict.rules import StageScores

Run = Callable[..., Result]

ARM = {
    "stage": "ticket",
    "title": "ticket",
    "density": 0.5,
    "binary": True,
    "bn_affine": False,
    "test_accuracy": [97.0, 98.0],
    "validation_accuracy": [96.0, 96.5],
    "kept": 1234,
    "parameters": 2468,
    "file_bytes": 4321,
    "wall_s": 75.0,
    "trained_epochs": 30,
}


@pytest.fixture
def spike() -> Run:
    """Run the command line with some arguments; an unexpected exception is raised here."""
    return spiketicket


VERDICT = judged(
    {
        "ticket": StageScores([97.0, 98.0]),
        "dense": StageScores([97.5, 98.0]),
        "random_trained": StageScores([90.0, 92.0]),
        "random_frozen": StageScores([10.0, 12.0]),
    },
    margin=5.0,
).to_dict()


@dataclasses.dataclass
class FakeRun:
    """Takes the place of ``experiment.find``; ``error`` is raised instead of an answer."""

    calls: list[tuple[Any, dict[str, Any]]] = dataclasses.field(default_factory=list)
    error: BaseException | None = None
    verdict: dict[str, Any] = dataclasses.field(default_factory=lambda: VERDICT)

    def _answer(self, subject: Any, given: dict[str, Any], answer: dict[str, Any]) -> Any:
        self.calls.append((subject, given))
        if reporter := given.get("reporter"):
            reporter.stage_started("ticket", 0, 2, 3)
            reporter.step(0, 0, 2.3, 0.1, 100.0)
            reporter.message("be aware")
            reporter.epoch_finished(0, 2.3, 0.1, 0.2, 1.0)
            if self.error is None:
                reporter.stage_finished("ticket", "97.00% on the test set")
        if self.error is not None:
            raise self.error
        folder = Path("runs/x")
        report = lambda **_: folder / "report.html"  # noqa: E731
        return types.SimpleNamespace(to_dict=lambda: answer, folder=folder, report=report)

    def find(self, recipe: Any, **given: Any) -> Any:
        control = {**ARM, "stage": "dense", "title": "dense, trained", "density": 1.0}
        answer = {
            "name": recipe.name,
            "hash": recipe.hash,
            "folder": "runs/x",
            "seeds": [0, 1],
            "condition": "BinW-SNN",
            "device": given["device"],
            "threads": 2,
            "verdict": self.verdict,
            "stages": [ARM, control],
            "tickets": ["runs/x/a.ticket"],
        }
        return self._answer(recipe, given, answer)

    def planned(self, recipe: Any, budget: str, **given: Any) -> Any:
        self.calls.append((budget, given))
        given["reporter"].message(f"budget {budget}: one epoch")
        train = recipe.train.model_copy(update={"epochs": 1})
        return recipe.model_copy(update={"train": train})

    def train_dense(self, recipe: Any, **given: Any) -> Any:
        return self._answer(recipe, given, {**ARM, "title": "dense, trained"})

    def evaluate_ticket(self, path: Any, **given: Any) -> Any:
        answer = {
            "ticket": str(path),
            "dataset": "digits",
            "test_count": 360,
            "test_accuracy": 97.25,
            "stated_accuracy": None,
            "device": given["device"],
        }
        return self._answer(path, given, answer)


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun()
    monkeypatch.setitem(__import__("sys").modules, "spiketicket.experiment.find", fake)
    monkeypatch.setattr(_experiment, "find", fake, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "spiketicket.experiment.evaluate", fake)
    monkeypatch.setattr(_experiment, "evaluate", fake, raising=False)
    return fake
