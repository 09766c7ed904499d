"""Operations and energy: what measure recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readme_tables.markdown import link, table

LADDERS = ("patches", "multisp")
ENERGY_TABLE = "45nm-fp32"


def energy_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Nets and what an image costs them: the first one is what the others are compared with."""
    first = rows[0]["stages"][0]
    base = next(e for e in first["energy"] if e["table"] == ENERGY_TABLE)
    about = rows[0]["set"]
    title = (
        f"**An image's operations and energy**, {rows[0]['name']}, mean of {about['images']} of the"
        f" {about['of']} test samples, {rows[0]['device']}, spiketicket {rows[0]['spiketicket']}"
        f" ({link(path)}). Energy by `{ENERGY_TABLE}`: {base['formula']}"
        f" ({base['source']}); [what is counted](energy.md):"
    )
    columns = (
        "net | seed: | accuracy %: | MACs: | accumulations: | energy nJ: | times the first: |"
        " with membranes nJ: | were every product made, nJ: | times the first:"
    )
    cells = []
    for row in rows:
        kind = f", {row['recipe']['neuron']['name']}"
        if row["recipe"]["ticket"]["name"] not in LADDERS:  # whose stages differ in their weights
            kind += f", {row['recipe']['model']['weights']} weights"
        for stage in row["stages"]:
            spent = next(e for e in stage["energy"] if e["table"] == ENERGY_TABLE)
            total, every = spent["total_pj"], spent["dense_pj"]
            cells.append(
                f"{stage['stage'].replace('_', ' ')}{kind} | {stage['seed']} |"
                f" {stage['accuracy']:.2f} |"
                f" {stage['total']['macs']:,.0f} | {stage['total']['ac_units']:,.0f} |"
                f" {total / 1e3:,.0f} | {total / base['total_pj']:.2f} |"
                f" {spent['with_updates_pj'] / 1e3:,.0f} | {every / 1e3:,.0f} |"
                f" {every / base['total_pj']:.2f}"
            )
    return table(title, columns, cells)
