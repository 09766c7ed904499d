"""Made-up rows, a fake finished run, and an executor in the test's own process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spiketicket.recipe import parse_recipe
from spiketicket.reproduce.cells import Cell
from spiketicket.reproduce.collect import ArmRow, Row
from spiketicket.sweep.executor import Ended
from spiketicket.sweep.worker import Settings, execute

RECIPE = parse_recipe({
    "name": "made-up", "data": {"name": "digits"}, "model": {"name": "convnet"},
    "neuron": {"name": "lif"}, "ticket": {"name": "edge_popup", "density": 0.5},
    "train": {"epochs": 1, "batch_size": 10},
})  # fmt: skip
LADDER = parse_recipe({
    "name": "made-up-ladder", "data": {"name": "digits"},
    "model": {"name": "spikformer", "pools": 1}, "neuron": {"name": "lif"},
    "ticket": {"name": "multisp", "density": 0.5}, "train": {"epochs": 1, "batch_size": 10},
})  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Inline:
    """Does each order when it is waited for; ``stop_after`` orders it is interrupted."""

    device = "cpu"

    def __init__(self, stop_after: int | None = None) -> None:
        self.orders: list[Any] = []
        self._left: list[Any] = []
        self._stop_after = stop_after

    def open(self, runs_dir: str, sweep: str) -> None:
        self.settings = Settings(runs_dir, sweep)

    def slots(self) -> int:
        return 1

    def submit(self, order: Any) -> None:
        self._left.append(order)

    def wait(self, timeout_s: float) -> list[Ended]:
        if not self._left:
            return []
        if self._stop_after is not None and len(self.orders) >= self._stop_after:
            raise KeyboardInterrupt
        order = self._left.pop()
        self.orders.append(order)
        return [Ended(order, execute(order, self.settings))]

    def close(self) -> None:
        pass


@pytest.fixture
def inline() -> type[Inline]:
    return Inline


def _arm(name: str, *accuracy: float, energy: tuple[float, ...] = (), samples: int = 0) -> ArmRow:
    seeds = range(len(accuracy))
    right = {s: np.arange(samples) < round(accuracy[s] * samples / 100) for s in seeds if samples}
    pj = dict(enumerate(energy))
    return ArmRow(name, dict(zip(seeds, accuracy, strict=True)), right, pj, {}, {}, 1.0)


def _row(
    *arms: ArmRow, series: str = "SNN", x: float | None = None, panel: str = "p", title: str = "P",
    published: str = "", constant: float = 10.0, ladder: bool = False,
) -> Row:  # fmt: skip
    recipe = LADDER if ladder else RECIPE
    count = max((len(a.accuracy) for a in arms), default=1)
    cell = Cell("made-up", panel, title, series, x, recipe, tuple(range(count)), published, series)
    return Row(cell, Path("nowhere"), {a.name: a for a in arms}, {}, {}, constant)


@pytest.fixture
def arm() -> Callable[..., ArmRow]:
    """An arm with an accuracy a seed."""
    return _arm


@pytest.fixture
def row() -> Callable[..., Row]:
    """A row of some arms."""
    return _row


@pytest.fixture
def changed() -> Callable[..., Any]:
    """A frozen value with some fields replaced."""
    return lambda value, **fields: (
        value.model_copy(update=fields) if hasattr(value, "model_copy")
        else dataclasses.replace(value, **fields)
    )  # fmt: skip
