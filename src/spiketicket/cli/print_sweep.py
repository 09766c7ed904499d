"""A sweep as a person reads it: while it goes on, before it starts, and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spiketicket.cli.console import print_line, print_table, time_text
from spiketicket.cli.print_result import percent
from spiketicket.sweep.plan import Plan
from spiketicket.verdict.outcomes import in_words


def print_plan(plan: Plan, seconds: Mapping[str, float], wall_s: float, workers: int) -> None:
    """What would be done, and what it would cost."""
    rows = [_planned(run, plan, seconds) for run in plan.runs]
    keys = _keys([run.axes for run in plan.runs])
    columns = (*keys, "run", "seeds", "stages to train", "shared", "time")
    print_table(columns, [[*axes, *rest] for axes, rest in rows], left=len(keys) + 1)
    shared = [task for task in plan.tasks if task.kind == "stage"]
    if shared:
        names: dict[str, list[float]] = {}
        for task in shared:
            names.setdefault(task.stages[-1], []).append(seconds[task.id])
        print_table(
            ("stage in common", "how many", "time"),
            [[name, str(len(each)), time_text(sum(each))] for name, each in names.items()],
        )
    print_line(
        f"{len(plan.runs)} runs, {len(plan.tasks)} tasks to do: {time_text(sum(seconds.values()))}"
        f" of work, about {time_text(wall_s)} with {workers} worker{'s' * (workers != 1)}"
    )
    print_line(
        "Estimated from a few training steps of every distinct network, timed here and now with"
        " the threads of one worker, as if it had the processor to itself; other machines, and busy"
        " ones, take another time."
    )


def _planned(run: Any, plan: Plan, seconds: Mapping[str, float]) -> tuple[list[str], list[str]]:
    name = run.folder
    own = [t for t in plan.tasks if t.kind == "seed" and t.run == name]
    shared = sum(len(t.sources or {}) for t in own)
    stages = sum(len(t.stages) for t in own) - shared
    cost = time_text(sum(seconds[t.id] for t in own)) if own else "finished"
    seeds = ", ".join(str(s) for s in run.seeds)
    return list(run.axes.values()), [name, seeds, str(stages), str(shared), cost]


def print_sweep(result: Mapping[str, Any]) -> None:
    """A row for every run, then what failed and what stopped the sweep."""
    rows = result["runs"]
    keys = _keys([row["axes"] for row in rows])
    columns = (*keys, "run", "ticket %", "dense %", "verdict")
    print_table(
        columns,
        [[*row["axes"].values(), *_outcome(row)] for row in rows],
        title=f"{result['sweep']}: {len(rows)} runs",
        left=len(keys) + 1,
    )
    if any(len(row.get("ticket") or ()) == 1 for row in rows):
        print_line("One seed: no verdict.")
    for error in result["failed"]:
        where = f" (attempt {error['attempt']} on {error['host']})" if "host" in error else ""
        print_line(f"failed   {error['task']}: {error.get('message', '')}{where}", "red")
        print_line(f"         {error['place']}/error.json")
    if result["failed"]:
        print_line("Give --retry-failed to try the failed ones again.")
    if result["stopped"]:
        print_line(f"stopped: {result['stopped']}", "bold red")
    if written := [row["report"] for row in rows if "report" in row]:
        print_line(f"reports  report.html in {len(written)} run folders")
    print_line(f"sweep    {result['folder']}")


def _outcome(row: Mapping[str, Any]) -> list[str]:
    run = f"{row['name']}-{row['hash']}"
    if row["state"] != "done":
        return [run, "-", "-", row["state"]]
    return [run, percent(row["ticket"]), percent(row["dense"] or ()), in_words(row["outcome"])]


def _keys(axes: Sequence[Mapping[str, str]]) -> list[str]:
    return list(axes[0]) if axes else []
