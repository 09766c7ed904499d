"""Experiments: what find and train recorded."""

from __future__ import annotations

from os.path import relpath
from pathlib import Path
from typing import Any

from readme_tables.markdown import link, mean_text, table
from readme_tables.verdicts import control_name, strongest_control, verdict_cell

RUNGS = {"patch": "patch", "pepsp": "PEPSp", "multisp": "MultiSp"}
COLUMNS = "| test accuracy %: | density: | weights kept: | file bytes: | epochs: | wall time s:"
LADDER_COLUMNS = (
    "| test accuracy %: | tokens: | ConvPEP density: | pruned of the net %: | operations per image,"
    " million: ConvPEP / encoder / attention / selector: | file bytes: | epochs: | wall time s:"
)


def outcome_table(found: list[dict[str, Any]], place: Path, root: Path) -> str:
    """One row per ticket, and per rung of a ladder; links start at ``place``."""
    recipes = relpath((root / "recipes").resolve(), place)
    return table(
        "",
        "recipe | net | ticket | seeds: | its accuracy %: | dense net %: | strongest control %: |"
        " verdict",
        (row for result in found for row in _outcome_rows(result, recipes)),
    )


def _outcome_rows(result: dict[str, Any], recipes: str) -> list[str]:
    stages = {stage["stage"]: stage for stage in result["stages"]}
    recipe, verdict = result["recipe"], result["verdict"]
    binary = "binary, " if recipe["model"]["weights"] == "binary" else ""
    net = f"{recipe['model']['name']}, T={recipe['model']['timesteps']}"
    if "rungs" not in verdict:
        what = f"{binary}density {recipe['ticket']['density']:g}"
        rows = [("ticket", what, verdict)]
    else:
        keep, density = f"keep {recipe['ticket']['keep']:g}", recipe["ticket"].get("density", 1)
        rows = [
            (
                rung,
                f"{RUNGS[rung]}: {keep}"
                + ("" if rung == "patch" else f", ConvPEP {binary}density {density:g}"),
                found,
            )
            for rung, found in ((r, verdict["rungs"][r]) for r in RUNGS if r in verdict["rungs"])
        ]
    return [
        f"[{result['name']}]({recipes}/{result['name']}.toml) | {net} | {what} |"
        f" {len(result['seeds'])} | {spread(stages.get(stage))} | {spread(stages.get('dense'))} |"
        f" {_control(judged, result)} | {verdict_cell(judged['outcome'], judged, result)}"
        for stage, what, judged in rows
    ]


def _control(judged: dict[str, Any], result: dict[str, Any]) -> str:
    stage = strongest_control(judged, result)
    return "-" if stage is None else f"{spread(stage)}, {control_name(stage)}"


def spread(stage: dict[str, Any] | None) -> str:
    """Mean and standard deviation over the seeds."""
    return "-" if stage is None else mean_text(stage["test_accuracy"])


def find_table(result: dict[str, Any], path: Path) -> str:
    """One experiment: a stage a row."""
    seeds = ", ".join(str(s) for s in result["seeds"])
    ladder = "rungs" in result["verdict"]
    notes = "".join(f"\n\n{note}." for note in result.get("notes", ()))
    said = verdict_cell(result["verdict"]["outcome"], result["verdict"], result)
    title = (
        f"**{result['name']}**, {result['condition']}, seeds {seeds}: *{said}*"
        f" (recipe hash `{result['hash']}`, {link(path)}, {result['device']},"
        f" {result['threads']} threads, spiketicket {result['spiketicket']}){notes}"
    )
    columns, row = (LADDER_COLUMNS, ladder_row) if ladder else (COLUMNS, arm_row)
    sentences = " ".join(result["verdict"]["sentences"])
    stages = [shown for stage in result["stages"] for shown in (stage, *_flipped(stage))]
    return f"{table(title, columns, map(row, stages))}\n\n> {sentences}"


def _flipped(stage: dict[str, Any]) -> list[dict[str, Any]]:
    """The row of its own for a net that was tested with test-time flip too."""
    if not stage.get("test_accuracy_flip"):
        return []
    title, accuracy = f"{stage['title']}, test-time flip, not judged", stage["test_accuracy_flip"]
    return [{**stage, "title": title, "test_accuracy": accuracy}]


def arm_row(stage: dict[str, Any]) -> str:
    """One stage of an experiment with a ticket and its controls."""
    accuracy = " / ".join(f"{a:.2f}" for a in stage["test_accuracy"])
    return (
        f"{stage['title']} | {accuracy} | {stage['density']:.3g} | {stage['kept']:,} |"
        f" {stage['file_bytes']:,} | {stage['trained_epochs']} | {stage['wall_s']:.0f}"
    )


def ladder_row(stage: dict[str, Any]) -> str:
    """One stage of a ladder."""
    accuracy = " / ".join(f"{a:.2f}" for a in stage["test_accuracy"])
    done = []
    for group in ("conv_pep", "encoder_linear", "attention", "selector"):
        counts = stage["operations"].get(group)
        done.append("-" if counts is None else f"{(counts['acs'] + counts['macs']) / 1e6:.3g}")
    return (
        f"{stage['title']} | {accuracy} | {stage['tokens']['kept']} of {stage['tokens']['of']} |"
        f" {stage['conv_pep_density']:.3g} | {100 * (1 - stage['net_density']):.1f} |"
        f" {' / '.join(done)} | {stage['file_bytes']:,} | {stage['trained_epochs']} |"
        f" {stage['wall_s']:.0f}"
    )


def train_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Dense nets trained alone: a recipe per row."""
    first = rows[0]
    title = (
        f"**{first['name']}, the dense net alone**,"
        f" {'binary' if first['stages'][0]['binary'] else 'float'} weights,"
        f" width {first['recipe']['model']['width']:g}, {first['recipe']['train']['epochs']} epochs"
        f" ({link(path)}, {first['device']}, {first['threads']} threads,"
        f" spiketicket {first['spiketicket']}):"
    )
    found = ((row, row["stages"][0]) for row in rows)
    cells = (
        f"{row['seeds'][0]} | `{row['hash']}` | {stage['test_accuracy'][0]:.2f} |"
        f" {stage['validation_accuracy'][0]:.2f} | {stage['wall_s']:.0f}"
        for row, stage in found
    )
    columns = "seed: | recipe hash | test accuracy %: | validation accuracy %: | wall time s:"
    return table(title, columns, cells)
