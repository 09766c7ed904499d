"""A run folder as a person reads it in the terminal: what it comes to, or how far it is."""

from __future__ import annotations

import math
import os
import socket
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spiketicket.cli.console import print_facts, print_line, print_table
from spiketicket.cli.print_result import percent, print_find
from spiketicket.errors import UserError
from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.results import filled_result
from spiketicket.experiment.schemas import RunResult
from spiketicket.machine.claims import holder_of
from spiketicket.report.figures.energy import stage_energy
from spiketicket.report.load import read_run
from spiketicket.report.numbers import count, counted, energy
from spiketicket.report.runs import Run, Stage

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDEST = 24


def show_run(folder: Path, *, as_json: bool) -> dict[str, Any]:
    """Print a run's essence; of an unfinished one what is done, begun and missing.

    With ``as_json`` nothing is printed, and the facts are returned.

    Raises:
        UserError: it is no run folder.
    """
    run = read_run(folder)
    if as_json:
        return dict(_facts(run, folder))
    if run.result:
        print_find(_result(run, folder))
    else:
        _print_progress(run, folder)
    _print_training(run)
    _print_cost(run)
    for note in run.notes:
        print_line(f"note     {note}")
    return {}


def _result(run: Run, folder: Path) -> dict[str, Any]:
    """The run's ``result.json`` as ``FindResult.to_dict`` has it, with times and places."""
    stored = filled_result(RunFolder(folder).result, RunResult)
    for row in stored["stages"]:
        for key in ("wall_s", "tuning_s"):
            times = [s.timing.get(key) for s in run.stages_of(row["stage"]) if s.timing]
            known = [t for t in times if isinstance(t, int | float) and math.isfinite(t)]
            row[key] = sum(known) if known else None
    tickets = [str(folder / Path(name).name) for name in stored["tickets"]]
    return {**stored, "folder": str(folder), "tickets": tickets}


def _print_progress(run: Run, folder: Path) -> None:
    seeds = run.seeds or (0,)
    done = sum(stage.result is not None for stage in run.stages)
    are = f"{done} of {len(run.expected) * len(seeds)} stages are done"
    if not run.counted:
        are = f"{counted(done, 'stage')} done, of how many an earlier version does not say"
    print_line(f"{run.name}: unfinished, {are}", "bold")
    rows = []
    for name in dict.fromkeys((*run.expected, *(s.name for s in run.stages))):
        stages = {stage.seed: stage for stage in run.stages_of(name)}
        tested = [s.result.test_accuracy for s in stages.values() if s.result]
        states = [_state(stages.get(seed)) for seed in seeds]
        rows.append([run.title(name), *states, percent(tested)])
    columns = ("stage", *(f"seed {seed}" for seed in seeds), "test accuracy %")
    print_table(columns, rows, left=1 + len(seeds))
    print_facts([("process", _process(folder)), ("run", str(folder))])
    print_line("`spiketicket find` with its recipe goes on where it was.")


def _state(stage: Stage | None) -> str:
    if stage is None:
        return "missing"
    if stage.result:
        return "done"
    return f"begun, {counted(len(stage.history), 'epoch')} done"


def _process(folder: Path) -> str:
    """Who works in the folder, as far as this machine can tell."""
    try:
        owner = holder_of(folder)
    except (OSError, UserError):
        owner = None
    if not isinstance(owner, dict) or not isinstance(owner.get("pid"), int):
        return "none: it was stopped"
    who = f"{owner['pid']} on {owner.get('host', '?')}"
    if owner.get("host") != socket.gethostname():
        return f"{who}, another machine"
    return f"{who}, running" if _alive(owner["pid"]) else f"{who}, which has ended"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _print_training(run: Run) -> None:
    rows = []
    for name in dict.fromkeys(stage.name for stage in run.stages if stage.history):
        stage = next(s for s in run.stages_of(name) if s.history)
        loss = [epoch.loss for epoch in stage.history]
        validation = [100 * epoch.validation_accuracy for epoch in stage.history]
        rows.append(
            [
                run.title(name),
                sparkline(loss),
                f"{loss[-1]:.3g}",
                sparkline(validation),
                f"{validation[-1]:.2f}",
            ]
        )
    if rows:
        title = "Training, first seed"
        print_table(("", "loss", "last", "validation %", "last"), rows, title=title, left=2)


def _print_cost(run: Run) -> None:
    stages = {
        name: [s.measure for s in run.stages_of(name) if s.measure] for name in (run.main, "dense")
    }
    if not any(stages.values()):
        print_line(f"cost     not measured: spiketicket measure {run.folder}")
        return
    for name, measured in stages.items():
        if not measured:
            continue
        sums = ((m.total.ac_units, m.total.macs) for m in measured)
        accumulations, macs = (statistics.fmean(values) for values in zip(*sums, strict=True))
        words = [f"{count(accumulations)} accumulations", f"{count(macs)} multiplications"]
        table = next((row.table for row in measured[0].energy), None)
        found = stage_energy(run, name, table) if table else None
        if found:
            words.append(f"{energy(found['total_pj'])} by {table}")
        print_line(f"cost     {run.title(name)}: {', '.join(words)} per image")


def sparkline(values: Sequence[float], widest: int = _WIDEST) -> str:
    """Values as blocks from the least to the most; what is no number is a question mark."""
    if len(values) > widest:
        values = [values[round(i * (len(values) - 1) / (widest - 1))] for i in range(widest)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "?" * len(values)
    low, span = min(finite), max(finite) - min(finite)
    return "".join(_block(value, low, span) for value in values)


def _block(value: float, low: float, span: float) -> str:
    if not math.isfinite(value):
        return "?"
    part = (value - low) / span if span else 0.0
    return _BLOCKS[min(int(part * len(_BLOCKS)), len(_BLOCKS) - 1)]


def _facts(run: Run, folder: Path) -> Mapping[str, Any]:
    if run.result:
        return _result(run, folder)
    stages = [
        {
            "stage": s.name,
            "seed": s.seed,
            "done": s.result is not None,
            "epochs": len(s.history),
            "test_accuracy": s.result.test_accuracy if s.result else None,
        }
        for s in run.stages
    ]
    return {
        "name": run.name,
        "folder": str(folder),
        "expected": list(run.expected),
        "stages": stages,
        "notes": list(run.notes),
    }
