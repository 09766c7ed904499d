"""Curves: runs that differ in exactly one number of their recipes."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spiketicket.report.axes import curves, differing, settings
from spiketicket.report.load import read_run
from spiketicket.report.runs import Run

MakeRun = Callable[..., Path]


def read(make_run: MakeRun, *changes: dict[str, Any]) -> list[Run]:
    made = [make_run(name=f"r{i}", seeds=1, change=change) for i, change in enumerate(changes)]
    return [read_run(folder, details=False) for folder in made]


def keys(runs: list[Run]) -> list[tuple[str, tuple[float, ...]]]:
    return [(curve.key, curve.values) for curve in curves(runs)]


def test_one_axis(make_run: MakeRun) -> None:
    runs = read(make_run, *({"ticket.density": d} for d in (0.5, 0.1, 0.25)))
    (curve,) = curves(runs)
    assert curve.title == "density (share of weights kept)"
    assert curve.values == (0.1, 0.25, 0.5)
    assert [run.name for run in curve.runs] == ["r1", "r2", "r0"]
    assert differing(runs) == ("ticket.density",)


def test_a_grid_has_a_curve_a_line(make_run: MakeRun) -> None:
    grid = list(itertools.product((0.1, 0.5), (0.25, 0.5, 0.75)))
    runs = read(make_run, *({"ticket.density": d, "neuron.decay": c} for d, c in grid))
    found = curves(runs)
    # slow and obvious: of every pair of runs, the keys whose values are not equal
    pairs = {
        (a.name, b.name): [k for k in settings(a) if settings(a)[k] != settings(b)[k]]
        for a, b in itertools.combinations(runs, 2)
    }
    alone = {pair: only[0] for pair, only in pairs.items() if len(only) == 1}
    drawn = {
        tuple(sorted((a.name, b.name))): curve.key
        for curve in found
        for a, b in itertools.combinations(curve.runs, 2)
    }
    assert drawn == alone
    assert [curve.key for curve in found] == ["neuron.decay"] * 2 + ["ticket.density"] * 3
    assert found[0].fixed == "ticket.density 0.1"


def test_what_makes_no_curve(make_run: MakeRun) -> None:
    assert keys(read(make_run, {}, {})) == []


def test_two_differences_make_no_curve(make_run: MakeRun) -> None:
    assert keys(read(make_run, {"ticket.density": 0.1, "neuron.decay": 0.1}, {})) == []


def test_words_and_switches_make_no_curve(make_run: MakeRun) -> None:
    runs = read(make_run, {"neuron.name": "relu"}, {"controls.dense": False}, {})
    assert keys(runs) == []


def test_what_decides_no_accuracy_is_no_difference(make_run: MakeRun) -> None:
    changes = ({"data.root": "/a", "verdict.margin": 3.0, "ticket.density": 0.1}, {})
    assert keys(read(make_run, *changes)) == [("ticket.density", (0.1, 0.5))]


def test_frames_and_time_steps_are_one_choice(make_run: MakeRun) -> None:
    runs = read(make_run, *({"model.timesteps": t, "data.steps": t} for t in (2, 4)))
    assert keys(runs) == [("model.timesteps", (2.0, 4.0))]


def test_other_data_is_another_curve(make_run: MakeRun) -> None:
    runs = read(make_run, *({"ticket.density": d} for d in (0.1, 0.2, 0.3, 0.4)))
    folder = runs[0].folder
    (folder / "data.json").write_text('{"name": "digits", "checksum": "other"}')
    runs[0] = read_run(folder, details=False)
    assert keys(runs) == [("ticket.density", (0.2, 0.3, 0.4))]


def test_an_unfinished_run_is_on_no_curve(make_run: MakeRun) -> None:
    runs = read(make_run, *({"ticket.density": d} for d in (0.1, 0.2, 0.3)))
    (runs[0].folder / "result.json").unlink()
    runs[0] = read_run(runs[0].folder)
    assert keys(runs) == [("ticket.density", (0.2, 0.3))]
