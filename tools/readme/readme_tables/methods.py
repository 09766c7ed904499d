"""Methods compared on one recipe: what compare recorded."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from readme_tables.markdown import link, mean_text, table
from spiketicket.verdict.outcomes import in_words


def comparison_table(row: dict[str, Any], path: Path) -> str:
    """A row per method, three columns per density, and links to the figures."""
    recipe, dense = row["recipe"], row["dense"]
    densities = sorted({r["asked"] for r in row["rows"]}, reverse=True)
    folder = f"../results/{path.stem}"
    budget = (
        "every training has all epochs of the recipe"
        if row["budget"] == "each"
        else "the trainings of a search share the recipe's epochs"
    )
    older = "" if "control" in row["rows"][0] else "; verdicts by the rules of that version"
    title = (
        f"**Methods compared on {row['name']}**: {recipe['data']['name']}{_limit(recipe)},"
        f" {recipe['model']['name']}{_width(recipe)}, {recipe['model']['weights']} weights,"
        f" {recipe['train']['epochs']} epochs, seeds {', '.join(dense['accuracy'])};"
        f" {budget} ({link(path)}, {row['device']}, threads:"
        f" {row['threads']}, spiketicket {row['spiketicket']}; figures:"
        f" [accuracy against density]({folder}/accuracy-density.svg),"
        f" [against the cost of the search]({folder}/accuracy-cost.svg)). The dense net:"
        f" {mean_text(dense['accuracy'].values())} %, {dense['cost']['sample_passes']:,.0f} samples"
        f" forward and back, {dense['cost']['wall_s']:.0f} s. A cell has the ticket's test"
        " accuracy %, the verdict, the points by which it differs from the dense net with their"
        " interval, the trainings and seconds per seed that the ticket took with its search, and"
        f" the strongest of its trained controls{older}:"
    )
    rows = []
    found = {(r["method"], r["asked"]): r for r in row["rows"]}
    for method in dict.fromkeys(r["method"] for r in row["rows"]):
        cells = [_cell(found.get((method, density))) for density in densities]
        rows.append(" | ".join([method.replace("_", " "), *cells]))
    return table(title, " | ".join(["method", *(f"density {d:g}" for d in densities)]), rows)


def _limit(recipe: dict[str, Any]) -> str:
    limit = recipe["data"].get("train_limit")
    return f" (of {limit:,} training images)" if limit else ""


def _width(recipe: dict[str, Any]) -> str:
    width = recipe["model"]["width"]
    return f" of {width:g} times the width" if width != 1 else ""


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    cost = row["cost"]
    against = ""
    # a line of version 0.2 has a random mask and no other control
    control = row.get("control", "random_trained")
    reached = row.get("control_accuracy", row.get("random_trained"))
    if row["difference"] is not None:
        against = f", {row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
    return (
        f"{mean_text(row['accuracy'].values())} {in_words(row['outcome'])}{against};"
        f" {cost['trainings']}, {cost['wall_s']:.0f} s"
        + (f"; {control.replace('_', ' ')} {statistics.fmean(reached):.2f}" if reached else "")
    )
