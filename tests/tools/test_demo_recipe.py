"""The recipe of the demo is the one that its search has chosen."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from spiketicket.recipe import as_written, load_recipe, parse_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def search() -> Any:
    spec = importlib.util.spec_from_file_location("demo_recipe", ROOT / "benchmarks/demo_recipe.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_is_what_the_record_chooses(search: Any) -> None:
    lines = (ROOT / "results" / "demo_recipe.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    chosen = search.choose_size(rows)
    demo = load_recipe(ROOT / "src/spiketicket/recipe/shipped/demo.toml")
    # by the hash: a setting that came later has its default in both
    assert demo.hash == parse_recipe(as_written({**chosen, "seed": 1000})).hash
    assert not any("test_accuracy" in stage for row in rows for stage in row["stages"])
    assert max(seed for row in rows for seed in row["seeds"]) < 1000


def row(width: float, ticket: float, dense: float, random: float) -> Any:
    accuracy = {"ticket": ticket, "dense": dense, "random_trained": random}
    return {
        "seeds": [1, 2],
        "stages": [
            {"stage": stage, "validation_accuracy": [a, a]} for stage, a in accuracy.items()
        ],
        "recipe": {
            "model": {"width": width},
            "verdict": {"margin": 2.0},
        },
    }


def test_the_farthest_from_both_limits_is_taken(search: Any) -> None:
    far_from_random = row(1, 90.0, 91.5, 50.0)
    far_from_dense = row(2, 99.0, 95.0, 98.9)
    between = row(3, 95.0, 96.0, 93.0)
    assert search.choose_size([far_from_random, far_from_dense, between])["model"]["width"] == 3
