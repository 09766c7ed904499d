"""Tiny recipes, and what a run folder holds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spiketicket.sweep.axes import Run, make_runs, parse_axes
from spiketicket.sweep.progress import Silent

BASE: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 60},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 1},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 20, "tune": "off", "checkpoint_steps": 1},
}
LADDER: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits", "train_limit": 40},
    "model": {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 1, "timesteps": 1},
    "neuron": {"name": "lif"},
    "ticket": {
        "name": "multisp",
        "density": 0.5,
        "keep": 0.5,
        "fine_tune_epochs": 1,
        "ranker": "selector",
    },
    "train": {"epochs": 1, "batch_size": 40, "tune": "off"},
}


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Every test here trains."""


class Listener(Silent):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ends: list[tuple[str, str]] = []

    def message(self, text: str) -> None:
        self.said.append(text)

    def kept(self, text: str) -> None:
        self.said.append(text)

    def finished(self, task: Any, outcome: Any) -> None:
        self.ends.append((task.label, outcome.state))


@pytest.fixture
def listener() -> Listener:
    return Listener()


def _runs(*axes: str, base: dict[str, Any] = BASE, **changes: Any) -> list[Run]:
    tables = {**base, **{k: {**base.get(k, {}), **v} for k, v in changes.items()}}
    return make_runs(tables, parse_axes(axes))


@pytest.fixture
def runs() -> Callable[..., list[Run]]:
    """Runs of the tiny recipe along some axes."""
    return _runs


@pytest.fixture
def ladder_runs() -> Callable[..., list[Run]]:
    """Runs of a ladder along some axes."""
    return lambda *axes, **changes: _runs(*axes, base=LADDER, **changes)


def _content(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "timing.json" and not path.name.startswith("."):
            text = path.read_bytes()
            if path.name == "log.jsonl":
                rows = [json.loads(line) for line in text.splitlines()]
                text = json.dumps([{**r, "wall_s": 0} for r in rows]).encode()
            found[str(path.relative_to(folder))] = text
    return found


@pytest.fixture
def content() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a run folder but those that hold wall times."""
    return _content
