"""The ladder's tables: a row per stage, operations by group, every rung against its controls."""

from typing import Any

import numpy as np
import pytest
from judged import judged_ladder

from spiketicket.cli.print_result import print_find
from spiketicket.verdict.rules import StageScores

LEVELS = {
    "dense": 91.0,
    "patch": 91.2,
    "patch_random": 80.0,
    "patch_finetuned": 91.3,
    "patch_finetune_control": 91.3,
    "constant": 10.0,
}
GROUPS = {"dense": 4e6, "acs": 1e6, "macs": 5e5}


def row(stage: str, title: str, **facts: Any) -> dict[str, Any]:
    return {
        "stage": stage,
        "title": title,
        "density": 0.5,
        "binary": True,
        "bn_affine": False,
        "test_accuracy": [90.0, 92.0],
        "validation_accuracy": [91.0, 91.0],
        "kept": 50,
        "parameters": 100,
        "file_bytes": 4321,
        "trained_epochs": 15,
        "wall_s": 75.0,
        "tokens": {"kept": 44, "of": 64},
        "ranking": "firing_rate",
        "rankings": ["firing_rate"],
        "conv_pep_density": 0.5,
        "net_density": 0.83,
        "activation": "step",
        "macs": {},
        "operations": {"images": 256, "conv_pep": GROUPS, "head": GROUPS},
        **facts,
    }


@pytest.fixture
def result() -> dict[str, Any]:
    scores = {
        name: StageScores(tuple(level + np.roll([-0.1, 0.0, 0.1], turn)))
        for turn, (name, level) in enumerate(LEVELS.items())
    }
    dense = row(
        "dense",
        "dense, trained",
        conv_pep_density=1.0,
        net_density=1.0,
        tokens={"kept": 64, "of": 64},
        ranking="none",
    )
    patch = row("patch", "patch ticket", conv_pep_density=0.5)
    patch["operations"] = {**patch["operations"], "selector": GROUPS}
    return {
        "name": "x",
        "condition": "spiking spikformer, keep 0.69",
        "seeds": [0, 1],
        "stages": [dense, patch],
        "verdict": judged_ladder(scores, ("patch",), margin=1.0, confidence=0.95),
        "tickets": ["runs/x/a.ticket"],
        "folder": "runs/x",
    }


def test_every_stage_is_a_row_with_what_it_keeps(
    result: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    print_find(result)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "x: spiking spikformer, keep 0.69, seeds 0, 1" in lines
    assert (
        "dense, trained 91.00 ± 1.41 91.00 ± 0.00 64 of 64 1 - - 4,321 bytes 15 1 min 15 s" in lines
    )
    assert (
        "patch ticket 91.00 ± 1.41 91.00 ± 0.00 44 of 64 0.5 50 17 4,321 bytes 15 1 min 15 s"
        in lines
    )
    assert "dense, trained 1.5 1.5 - 3 8" in lines
    assert "patch ticket 1.5 1.5 1.5 4.5 12" in lines
    (kept,) = [line for line in lines if line.startswith("Kept:")]
    assert "44 of 64 patches" in kept
    assert "firing rate" in kept
    assert "the same rule in training, validation and test" in kept


def test_every_rung_is_compared_in_the_table_and_in_words(
    result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_find(result)
    out = capsys.readouterr().out
    for text in (
        "patch - dense",
        "patch - patch random",
        "+11.20",
        "patch finetuned - patch ",
        "patch finetuned - patch finetune control",
        "Patch ticket wins: 91.20 % against the dense net's 91.00 %",
        "Fine-tuning the Patch ticket: +0.10 points",
    ):
        assert text in out, text
    assert np.isclose(result["verdict"]["comparisons"]["dense"]["difference"], 0.2)
