"""Experiments: what find and train recorded."""

from __future__ import annotations

import statistics
from os.path import relpath
from pathlib import Path
from typing import Any

RUNGS = {"patch": "patch", "pepsp": "PEPSp", "multisp": "MultiSp"}
HEAD = (
    "| | test accuracy % | density | weights kept | file bytes | epochs | wall time s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)
LADDER_HEAD = (
    "| | test accuracy % | tokens | ConvPEP density | pruned of the net % | operations per image,"
    " million: ConvPEP / encoder / attention / selector | file bytes | epochs | wall time s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def outcome_table(found: list[dict[str, Any]], place: Path, root: Path) -> str:
    """One row per ticket, and per rung of a ladder; links start at ``place``."""
    lines = [
        "| recipe | net | ticket | seeds | its accuracy % | dense net % | random mask or patches,"
        " trained % | verdict |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    recipes = relpath((root / "recipes").resolve(), place)
    for result in found:
        lines += _outcome_rows(result, recipes)
    return "\n".join(lines)


def _outcome_rows(result: dict[str, Any], recipes: str) -> list[str]:
    stages = {stage["stage"]: stage for stage in result["stages"]}
    recipe, verdict = result["recipe"], result["verdict"]
    binary = "binary, " if recipe["model"]["weights"] == "binary" else ""
    net = f"{recipe['model']['name']}, T={recipe['model']['timesteps']}"
    if "rungs" not in verdict:
        what = f"{binary}density {recipe['ticket']['density']:g}"
        rows = [("ticket", what, "random_trained", verdict["outcome"])]
    else:
        keep, density = f"keep {recipe['ticket']['keep']:g}", recipe["ticket"].get("density", 1)
        rows = [
            (
                rung,
                f"{RUNGS[rung]}: {keep}"
                + ("" if rung == "patch" else f", ConvPEP {binary}density {density:g}"),
                "patch_random" if rung == "patch" else f"{rung}_random_trained",
                found["outcome"],
            )
            for rung, found in ((r, verdict["rungs"][r]) for r in RUNGS if r in verdict["rungs"])
        ]
    return [
        f"| [{result['name']}]({recipes}/{result['name']}.toml) | {net} | {what} |"
        f" {len(result['seeds'])} | {spread(stages.get(stage))} | {spread(stages.get('dense'))} |"
        f" {spread(stages.get(control))} | {outcome} |"
        for stage, what, control, outcome in rows
    ]


def spread(stage: dict[str, Any] | None) -> str:
    """Mean and standard deviation over the seeds."""
    if stage is None:
        return "-"
    values = stage["test_accuracy"]
    mean = f"{statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def find_table(result: dict[str, Any], path: Path) -> str:
    """One experiment: a stage a row."""
    seeds = ", ".join(str(s) for s in result["seeds"])
    ladder = "rungs" in result["verdict"]
    lines = [
        f"**{result['name']}**, {result['condition']}, seeds {seeds}:"
        f" *{result['verdict']['outcome']}* (recipe hash `{result['hash']}`,"
        f" [{path.name}](../results/{path.name}),"
        f" {result['device']}, {result['threads']} threads, spiketicket {result['spiketicket']})",
        *(f"\n{note}." for note in result.get("notes", ())),
        "",
        *(LADDER_HEAD if ladder else HEAD),
    ]
    for stage in result["stages"]:
        if ladder:
            lines.append(ladder_row(stage))
            continue
        accuracy = " / ".join(f"{a:.2f}" for a in stage["test_accuracy"])
        lines.append(
            f"| {stage['title']} | {accuracy} | {stage['density']:.3g} | {stage['kept']:,} |"
            f" {stage['file_bytes']:,} | {stage['trained_epochs']} | {stage['wall_s']:.0f} |"
        )
    sentences = " ".join(result["verdict"]["sentences"])
    return "\n".join([*lines, "", f"> {sentences}"])


def ladder_row(stage: dict[str, Any]) -> str:
    """One stage of a ladder."""
    accuracy = " / ".join(f"{a:.2f}" for a in stage["test_accuracy"])
    done = []
    for group in ("conv_pep", "encoder_linear", "attention", "selector"):
        counts = stage["operations"].get(group)
        done.append("-" if counts is None else f"{(counts['acs'] + counts['macs']) / 1e6:.3g}")
    return (
        f"| {stage['title']} | {accuracy} | {stage['tokens']['kept']} of {stage['tokens']['of']} |"
        f" {stage['conv_pep_density']:.3g} | {100 * (1 - stage['net_density']):.1f} |"
        f" {' / '.join(done)} | {stage['file_bytes']:,} | {stage['trained_epochs']} |"
        f" {stage['wall_s']:.0f} |"
    )


def train_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Dense nets trained alone: a recipe per row."""
    first = rows[0]
    lines = [
        f"**{first['name']}, the dense net alone**,"
        f" {'binary' if first['stages'][0]['binary'] else 'float'} weights,"
        f" width {first['recipe']['model']['width']:g}, {first['recipe']['train']['epochs']} epochs"
        f" ([{path.name}](../results/{path.name}), {first['device']}, {first['threads']} threads,"
        f" spiketicket {first['spiketicket']}):",
        "",
        "| seed | recipe hash | test accuracy % | validation accuracy % | wall time s |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        stage = row["stages"][0]
        lines.append(
            f"| {row['seeds'][0]} | `{row['hash']}` | {stage['test_accuracy'][0]:.2f} |"
            f" {stage['validation_accuracy'][0]:.2f} | {stage['wall_s']:.0f} |"
        )
    return "\n".join(lines)
