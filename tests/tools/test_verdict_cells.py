"""What a table says of a verdict: its word by the rule of today, and what it rests on."""

import importlib
import json

import pytest

from spiketicket._version import __version__


@pytest.fixture
def tables(readme_writer):
    names = ("verdicts", "lines", "experiments", "methods")
    return {name: importlib.import_module(f"readme_tables.{name}") for name in names}


STAGES = [
    {"stage": "patch", "title": "patch ticket", "test_accuracy": [91.0]},
    {"stage": "dense", "title": "dense, trained", "test_accuracy": [95.0]},
    {"stage": "patch_random", "title": "patches, random", "test_accuracy": [80.0]},
    {"stage": "patch_fixed", "title": "patches, one random set", "test_accuracy": [90.0]},
    {"stage": "random_frozen", "title": "random mask, frozen", "test_accuracy": [92.0]},
]
JUDGED = {
    "outcome": "wins",
    "comparisons": {
        row["stage"]: {"control_accuracy": row["test_accuracy"][0]} for row in STAGES[1:]
    },
}


@pytest.mark.parametrize(
    ("outcome", "seeds", "version", "verdict", "cell"),
    [
        ("wins", 3, __version__, {"budget": {}}, "wins"),
        ("too_small", 3, __version__, {"budget": {}}, "budget too small to say"),
        ("wins", 3, "0.1.0", {"budget": {}}, "wins (0.1.0)"),
        ("wins", 3, __version__, {}, f"wins ({__version__})"),
        ("level", 1, __version__, {"budget": {}}, "level (one seed)"),
        ("ahead", 1, "0.1.0", {}, "ahead (one seed, 0.1.0)"),
    ],
)
def test_what_is_not_of_three_seeds_and_today_is_marked(
    tables, outcome, seeds, version, verdict, cell
):
    run = {"seeds": [*range(seeds)], "spiketicket": version}
    assert tables["verdicts"].verdict_cell(outcome, verdict, run) == cell


def test_the_strongest_control_is_shown_and_named(tables):
    found = tables["verdicts"].strongest_control(JUDGED, {"stages": STAGES})
    assert found["stage"] == "patch_fixed"
    trained = {
        **JUDGED,
        "comparisons": {
            name: {**row, "trained": name != "patch_fixed"}
            for name, row in JUDGED["comparisons"].items()
        },
    }
    # a file that says which are trained is believed
    found = tables["verdicts"].strongest_control(trained, {"stages": STAGES})
    assert found["stage"] == "random_frozen"
    assert tables["verdicts"].strongest_control({"comparisons": {}}, {"stages": STAGES}) is None


def test_a_ladder_has_a_row_per_rung_with_the_strongest_of_its_controls(tables, tmp_path):
    recipe = {
        "model": {"name": "spikformer", "timesteps": 4, "weights": "float"},
        "ticket": {"keep": 0.5},
    }
    run = {
        "name": "x",
        "recipe": recipe,
        "seeds": [0],
        "spiketicket": "0.1.0",
        "stages": STAGES,
        "verdict": {**JUDGED, "seeds": 1, "rungs": {"patch": JUDGED}},
    }
    path = tmp_path / "find-x.jsonl"
    path.write_text(json.dumps(run) + "\n")
    (line,) = tables["lines"].read_lines(path)
    table = tables["experiments"].outcome_table([line], tmp_path, tmp_path)
    row = table.splitlines()[-1]
    assert row.endswith(
        "| 91.00 | 95.00 | 90.00, patches, one random set | ahead (one seed, 0.1.0) |"
    )


@pytest.mark.parametrize(("seeds", "word"), [(1, "ahead"), (3, "wins")])
def test_a_method_compared_with_one_seed_wins_nothing(tables, tmp_path, seeds, word):
    row = {
        "method": "imp",
        "asked": 0.5,
        "outcome": "wins",
        "accuracy": {str(s): 90.0 for s in range(seeds)},
        "difference": None,
        "cost": {"trainings": 1, "wall_s": 2.0},
    }
    path = tmp_path / "compare-x.jsonl"
    old = {**row, "random_trained": [70.0]}
    new = {**row, "control": "shuffled", "control_accuracy": [80.0]}
    path.write_text("".join(json.dumps({"rows": [r]}) + "\n" for r in (old, new)))
    cells = [tables["methods"]._cell(r["rows"][0]) for r in tables["lines"].read_lines(path)]
    assert all(f" {word};" in cell for cell in cells)
    assert cells[0].endswith("; random trained 70.00")
    assert cells[1].endswith("; shuffled 80.00")
