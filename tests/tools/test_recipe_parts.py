"""The benchmark of recipe parts: its rows are recipes, it repeats nothing, its tables add up."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.methods import edge_popup

ROOT = Path(__file__).parents[2]
WEIGHT_RATES = {f"weight rate {rate}" for rate in ("0.0025", "0.01", "0.04", "0.16")}


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    path = ROOT / "benchmarks/recipe_parts.py"
    spec = importlib.util.spec_from_file_location("recipe_parts_benchmark", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_is_another_recipe(parts: Any) -> None:
    for epochs in ("6", "3"):
        options = parts.parsed(["--epochs", epochs, "--network", "resconv6"])
        made = {name: parts.recipe_of(name, options) for name in parts.ROWS}
        made = {name: r for name, r in made.items() if parts.concerns(name, r, options)}
        assert set(parts.ROWS) - set(made) == {"no encoder", *WEIGHT_RATES}
        searches = [made.pop(name) for name in ("IteRand", "Gem-Miner", "relaxed gates")]
        assert len({recipe.hash for recipe in made.values()}) == len(made)
        base = made.pop("base")
        assert {recipe.hash for recipe in searches} == {base.hash}
        assert base.train.epochs == int(epochs)
        assert (base.data.train_limit, base.model.timesteps, base.ticket.density) == (15000, 1, 0.5)
        other = {n for n, recipe in made.items() if recipe.ticket != base.ticket}
        bits = "signed supermask of as many bits"
        assert other == {"signed supermask", bits, "densities by ERK"}
        # H(d) + d = 1: as many bits as a mask of a half whose signs the seed draws
        assert made[bits].ticket.density == pytest.approx(0.227, abs=1e-3)
    ramp = parts.recipe_of("last two epochs at T = 4", parts.parsed([]))
    assert (ramp.train.timestep_ramp, ramp.model.timesteps) == (((4, 1),), 4)


@pytest.mark.parametrize("name", ["IteRand", "Gem-Miner", "relaxed gates"])
def test_a_search_that_was_tried_ends_with_the_density_asked_for(parts: Any, name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))
    kind, config = parts.SEARCHES[name], edge_popup.Config(density=0.3)
    search = kind(model, config, binary=True, seed=0, epochs=3)
    layers = dict(model.named_children())
    before = {n: layer.parametrizations.weight.original.clone() for n, layer in layers.items()}
    for step in range(1, 31):
        pruned = {n: ~popup.mask for n, popup in search.popups().items()}
        for scores in search.parameters():
            scores.data += 0.05 * torch.randn_like(scores)
        search.on_step_end(step / 10)
        for n, layer in layers.items():
            weight = layer.parametrizations.weight.original
            flipped = weight != before[n]
            assert not (flipped & ~pruned[n]).any()  # what is kept is never drawn again
            assert flipped.any() == (name == "IteRand" and step % 10 == 0)
            before[n] = weight.clone()
    for popup in search.popups().values():
        assert int(popup.mask.sum()) == round(0.3 * popup.mask.numel())
    assert search.is_complete(2)
    # scores get a gradient, and the net is judged with the mask
    model(torch.ones(2, 20)).sum().backward()
    assert all(scores.grad.abs().sum() > 0 for scores in search.parameters())
    model.eval()
    for n, layer in layers.items():
        popup = search.popups()[n]
        assert torch.equal(layer.weight != 0, popup.mask)


def test_a_search_that_was_tried_takes_the_place_of_edge_popup(parts: Any) -> None:
    own = edge_popup.EdgePopup
    with parts.searching("Gem-Miner"):
        assert edge_popup.EdgePopup is parts.SEARCHES["Gem-Miner"]
    with parts.searching("base"):
        assert edge_popup.EdgePopup is own


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
    options = parts.parsed(["--stage", stage, "--set", f"ticket.name={method}"])
    rates = [name for name in parts.ROWS if " rate " in name]
    made = {name: parts.recipe_of(name, options) for name in rates}
    left_out = {name for name, r in made.items() if not parts.concerns(name, r, options)}
    other = {"score": "weight", "weight": "score"}[kind]
    assert left_out == {n for n in rates if n.startswith(f"{other} rate")}
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
