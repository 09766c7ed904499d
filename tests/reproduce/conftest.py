"""Made-up rows, and a fake finished run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.methods.stages import in_words
from spiketicket.recipe import parse_recipe
from spiketicket.reproduce.cells import Cell
from spiketicket.reproduce.collect import Row, StageRow

RECIPE = parse_recipe(
    {
        "name": "made-up",
        "data": {"name": "digits"},
        "model": {"name": "convnet"},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 1, "batch_size": 10, "tune": "off"},
    }
)
LADDER = parse_recipe(
    {
        "name": "made-up-ladder",
        "data": {"name": "digits"},
        "model": {"name": "spikformer", "pools": 1},
        "neuron": {"name": "lif"},
        "ticket": {"name": "multisp", "density": 0.5},
        "train": {"epochs": 1, "batch_size": 10, "tune": "off"},
    }
)


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Some tests here train."""


def _stage(
    name: str,
    *accuracy: float,
    energy: tuple[float, ...] = (),
    dense: tuple[float, ...] = (),
    samples: int = 0,
) -> StageRow:
    seeds = range(len(accuracy))
    right = {s: np.arange(samples) < round(accuracy[s] * samples / 100) for s in seeds if samples}
    pj = dict(enumerate(energy))
    return StageRow(
        name=name,
        title=in_words(name),
        accuracy=dict(zip(seeds, accuracy, strict=True)),
        right=right,
        energy_pj=pj,
        operations={},
        facts={},
        wall_s=1.0,
        dense_pj=dict(enumerate(dense)),
    )


def _row(
    *stages: StageRow,
    series: str = "SNN",
    x: float | None = None,
    panel: str = "p",
    title: str = "P",
    published: str = "",
    constant: float = 10.0,
    ladder: bool = False,
) -> Row:
    recipe = LADDER if ladder else RECIPE
    count = max((len(a.accuracy) for a in stages), default=1)
    cell = Cell(
        study="made-up",
        panel=panel,
        title=title,
        series=series,
        x=x,
        recipe=recipe,
        seeds=tuple(range(count)),
        published=published,
        printed=series,
    )
    return Row(
        cell=cell,
        folder=Path("nowhere"),
        stages={a.name: a for a in stages},
        verdict={},
        machine={},
        constant=constant,
    )


@pytest.fixture
def stage() -> Callable[..., StageRow]:
    """A stage with an accuracy a seed."""
    return _stage


@pytest.fixture
def row() -> Callable[..., Row]:
    """A row of some stages."""
    return _row


@pytest.fixture
def changed() -> Callable[..., Any]:
    """A frozen value with some fields replaced."""
    return lambda value, **fields: (
        value.model_copy(update=fields)
        if hasattr(value, "model_copy")
        else dataclasses.replace(value, **fields)
    )
