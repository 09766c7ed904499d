"""The benchmark of recipe parts: its rows are recipes, it repeats nothing, its tables add up."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from spiketicket.errors import UserError
from spiketicket.methods.stages import stage_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def parts() -> Any:
    path = ROOT / "benchmarks/recipe_parts.py"
    spec = importlib.util.spec_from_file_location("recipe_parts_benchmark", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_is_another_recipe(parts: Any) -> None:
    for epochs in ("6", "3"):
        options = parts.parsed(["--epochs", epochs, "--network", "resnet19"])
        made = {name: parts.recipe_of(name, options) for name in parts.ROWS}
        assert len({recipe.hash for recipe in made.values()}) == len(made)
        base = made.pop("base")
        assert base.train.epochs == int(epochs)
        assert (base.data.train_limit, base.model.timesteps, base.ticket.density) == (15000, 1, 0.5)
        assert all(recipe.ticket == base.ticket for recipe in made.values())
    ramp = parts.recipe_of("last two epochs at T = 4", parts.parsed([]))
    assert (ramp.train.timestep_ramp, ramp.model.timesteps) == (((4, 1),), 4)


def test_a_row_s_own_change_goes_before_that_of_the_base(parts: Any) -> None:
    options = parts.parsed(["--set", "train.batch_size=16", "--set", "model.width=0.25"])
    assert parts.recipe_of("base", options).train.batch_size == 16
    batch = parts.recipe_of("batch 32", options)
    assert (batch.train.batch_size, batch.model.width) == (32, 0.25)
    with pytest.raises(UserError, match=r"model\.width"):
        parts.recipe_of("base", parts.parsed(["--set", "model.width=0"]))


def test_what_is_measured_is_not_measured_again(
    parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"name": "digits", "pad_crop": 1, "pad_mode": "reflect"}
    monkeypatch.setitem(parts.BASE, "data", small)
    output = tmp_path / "found.jsonl"
    arguments = ["--network", "convnet", "--set", "model.width=0.0625", "--images", "40"]
    arguments += ["--set", "train.batch_size=10"]
    arguments += ["--epochs", "1", "--output", str(output), "--runs", str(tmp_path / "runs")]
    arguments += ["--rows", "base", "cutout 8", "label smoothing 0.1"]
    monkeypatch.setattr(sys, "argv", ["recipe_parts.py", *arguments])
    parts.main()
    rows = parts.read(output)
    # a square of 8 pixels hides a whole digit: that row is left out
    assert [row["row"] for row in rows] == ["base", "label smoothing 0.1"]
    assert not any("test_accuracy" in row for row in rows)
    assert not list((tmp_path / "runs").rglob("checkpoint.pt"))
    parts.main()
    assert parts.read(output) == rows
    # the same recipe's dense net is another line, and its net another training
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-3], "base", "--stage", "dense"])
    parts.main()
    *before, dense = parts.read(output)
    assert before == rows
    assert dense["stage"] == "dense"
    assert dense["hash"] == rows[0]["hash"]


@pytest.mark.parametrize(
    ("method", "stage", "kind"),
    [
        ("edge_popup", "ticket", "score"),
        ("edge_popup", "dense", "weight"),
        ("random_mask", "ticket", "weight"),
    ],
)
def test_a_rate_concerns_the_stages_that_train_with_it(
    parts: Any, method: str, stage: str, kind: str
) -> None:
    recipe = parts.recipe_of("base", parts.parsed(["--set", f"ticket.name={method}"]))
    left_out = {n for n in parts.ROWS if not parts.concerns(n, stage_of(recipe, stage))}
    other = {"score": "weight", "weight": "score"}[kind]
    assert left_out == {n for n in parts.ROWS if n.startswith(f"{other} rate")}
    assert left_out


def test_differences_are_to_the_base_of_the_same_seed(readme_writer: Any) -> None:
    parts_table = importlib.import_module("readme_tables.recipe_parts").parts_table

    def row(name: str, seed: int, accuracy: float) -> dict[str, Any]:
        return {
            "row": name,
            "stage": "ticket",
            "seed": seed,
            "network": "vgg9",
            "changes": [],
            "validation_accuracy": accuracy,
            "validation_accuracy_flip": accuracy + 1,
            "validation_count": 5000,
            "precision": "bf16",
            "wall_s": 60.0,
            "device": "A",
            "threads": 1,
            "spiketicket": "1",
            "recipe": {
                "data": {"name": "cifar10", "train_limit": 15000},
                "train": {"epochs": 6},
                "ticket": {"density": 0.5},
            },
        }

    rows = [row("base", 0, 50.0), row("base", 1, 60.0), row("cutout 8", 1, 62.5)]
    lines = parts_table(rows, Path("x.jsonl")).splitlines()
    assert "| base | 2 | 55.00 ± 7.07 |  | 56.00 ± 7.07 | bf16 | 60 |" in lines
    assert "| cutout 8 | 1 | 62.50 | +2.50 | 63.50 | bf16 | 60 |" in lines
