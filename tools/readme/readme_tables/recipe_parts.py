"""Parts of a recipe, one change at a time: what recipe_parts and precision recorded."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from readme_tables.markdown import link, mean_text, table

Rows = dict[str, dict[int, Mapping[str, Any]]]
"""Lines by row and seed."""
STAGES = {"ticket": "the ticket of density {:g}", "dense": "the dense net"}


def parts_table(rows: list[dict[str, Any]], path: Path) -> str:
    """A table for each network and base, its rows as they were measured."""
    groups: dict[tuple[str, str, str, int], Rows] = {}
    for row in rows:
        epochs = row["recipe"]["train"]["epochs"]
        about = row["network"], row["stage"], ", ".join(row["changes"]), epochs
        group = groups.setdefault(about, {})
        group.setdefault(row["row"], {})[row["seed"]] = row
    return "\n\n".join(_table(*about, found, path) for about, found in groups.items())


def _table(network: str, stage: str, changes: str, epochs: int, found: Rows, path: Path) -> str:
    first = next(iter(next(iter(found.values())).values()))
    recipe, base = first["recipe"], found.get("base", {})
    what = STAGES[stage].format(recipe["ticket"]["density"])
    title = (
        f"**What each part brings**, {network}{f' with {changes}' if changes else ''}:"
        f" {recipe['data']['train_limit']:,} training images of {recipe['data']['name']},"
        f" {epochs} epochs, {what} alone, judged on"
        f" {first['validation_count']:,} **validation** images ({link(path)},"
        f" {first['device']}, threads: {first['threads']}, spiketicket {first['spiketicket']})."
        " The difference is to the base of the same seeds:"
    )
    lines = []
    for name, seeds in found.items():
        values = [row["validation_accuracy"] for row in seeds.values()]
        both = [
            row["validation_accuracy"] - base[seed]["validation_accuracy"]
            for seed, row in seeds.items()
            if seed in base
        ]
        differs = f"{statistics.fmean(both):+.2f}" if both and name != "base" else ""
        flip = mean_text(row["validation_accuracy_flip"] for row in seeds.values())
        wall = statistics.fmean(row["wall_s"] for row in seeds.values())
        precision = " and ".join(sorted({row["precision"] for row in seeds.values()}))
        lines.append(
            f"{name} | {len(seeds)} | {mean_text(values)} | {differs} | {flip} | {precision} |"
            f" {wall:.0f}"
        )
    columns = "row | seeds: | validation %: | difference: | with test-time flip: | in | seconds:"
    return table(title, columns, lines)


def precision_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Forward and back in either precision, by width."""
    first = rows[0]
    return table(
        f"**Precision by width**: forward and back of a batch of {first['batch']}, processor time"
        f" of one thread, {first['device']}, torch {first['torch']} ({link(path)});"
        " [the rule of `auto`](recipes.md#parts-of-a-recipe):",
        "network | width: | T: | pixels: | widest layer: | float32 ms: | bfloat16 ms: | gain:",
        (
            f"{r['network']} | {r['width']:g} | {r['timesteps']} | {r['side']} | {r['widest']} |"
            f" {r['fp32_ms']:.1f} | {r['bf16_ms']:.1f} | {r['gain']:.2f}"
            for r in rows
        ),
    )
