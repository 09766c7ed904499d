"""What made a run: its recipe, the machine, and the command to do it again."""

from __future__ import annotations

from typing import Any

import tomli_w

from spiketicket.report.markup import Markup, element
from spiketicket.report.runs import Run
from spiketicket.report.texts import command, missing


def recipe_items(run: Run) -> list[Markup]:
    """The command, the machine and its versions, and the recipe without any machine's folder."""
    if not run.recipe:
        return [missing("recipe.toml cannot be read.")]
    recipe = {**run.recipe}
    data = recipe.get("data")
    if isinstance(data, dict) and data.get("root"):
        recipe["data"] = {**data, "root": ""}  # a folder of one machine
    seeds = max(1, len(run.seeds))
    again = f"spiketicket find recipe.toml --seeds {seeds}"
    toml = element("pre", element("code", tomli_w.dumps(recipe)))
    return [
        element("p", "Save the recipe as ", command("recipe.toml"), ", then:"),
        element("pre", element("code", again)),
        _environment(run),
        element("details", element("summary", "recipe.toml"), toml),
    ]


def _environment(run: Run) -> Markup:
    timing = next((s.timing for s in run.stages if s.timing), {})
    total = _wall_time(run)
    digest = run.result.hash if run.result else ""
    facts: list[tuple[str, Any]] = [
        ("recipe hash", digest),
        ("data checksum", run.checksum[:12]),
        ("device", timing.get("device")),
        ("threads", timing.get("threads")),
        *((name, timing.get(name)) for name in ("spiketicket", "torch", "numpy", "python")),
        ("training, all stages", total),
    ]
    rows = [
        element("div", element("dt", name), element("dd", value)) for name, value in facts if value
    ]
    return element("dl", *rows, class_="rests")


def _wall_time(run: Run) -> str:
    times = [s.timing.get("wall_s") for s in run.stages if s.timing]
    seconds = round(sum(t for t in times if isinstance(t, int | float)))
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds % 60:02} s" if seconds else ""
