"""Run folders in every state: what can be read is, and the rest is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.experiment.schemas import Measure
from spiketicket.report.load import read_run

MakeRun = Callable[..., Path]
RECIPES = Path(__file__).parents[2] / "src" / "spiketicket" / "recipe" / "shipped"


def test_a_finished_run(make_run: MakeRun) -> None:
    run = read_run(make_run(seeds=3))
    assert run.notes == ()
    assert [row.name for row in run.rows] == [
        "ticket",
        "dense",
        "random_trained",
        "random_frozen",
    ]
    assert run.rows[0].test == {0: 92.0, 1: 93.0, 2: 94.0}
    assert run.samples == 100
    assert isinstance(run.layers_of("ticket"), Measure)
    assert run.sample is not None
    assert run.sample[0] == "ticket"


def test_comparisons_come_in_the_order_of_the_stages(make_run: MakeRun) -> None:
    folder = make_run(ladder=True)
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    pairs = [(pair.ticket, pair.control) for pair in read_run(folder).pairs]
    assert pairs == [
        ("patch", "dense"),
        ("patch", "patch_random"),
        ("patch", "patch_center"),
        ("pepsp", "dense"),
        ("pepsp", "pepsp_random_trained"),
        ("pepsp", "pepsp_random_frozen"),
    ]


def test_a_summary_reads_no_stage(make_run: MakeRun) -> None:
    run = read_run(make_run(), details=False)
    assert run.stages == ()
    assert run.samples == 100
    assert len(run.rows) == 4


@pytest.mark.parametrize("what", ["missing", "a file", "an empty folder"])
def test_what_is_no_run(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "a file":
        place.write_text("")
    if what == "an empty folder":
        place.mkdir()
    with pytest.raises(UserError, match="is no run folder"):
        read_run(place)


def test_a_run_without_a_result(make_run: MakeRun) -> None:
    folder = make_run(finished=False)
    (folder / "seed-1" / "dense" / "result.json").unlink()
    run = read_run(folder)
    assert run.outcome == "unfinished"
    assert {stage.name: list(stage.test) for stage in run.rows} == {
        "ticket": [0, 1],
        "dense": [0],
        "random_trained": [0, 1],
        "random_frozen": [0, 1],
    }
    assert run.confidence == 0.95


def test_a_crashed_run(make_run: MakeRun) -> None:
    folder = make_run(finished=False)
    stage = folder / "seed-1" / "dense"
    (stage / "result.json").unlink()
    (stage / "checkpoint.pt").write_bytes(b"")
    log = (stage / "log.jsonl").read_text()
    (stage / "log.jsonl").write_text(log[:-30])
    run = read_run(folder)
    (crashed,) = [s for s in run.stages_of("dense") if s.seed == 1]
    assert [epoch.epoch for epoch in crashed.history] == [0, 1, 2]
    assert set(run.notes) == {
        "seed-1/dense/log.jsonl: 1 of 4 lines cannot be read; left out",
        "seed-1/dense: not finished, 3 epochs done; `find` goes on from there",
    }


@pytest.mark.slow
def test_infinite_and_absent_numbers_in_a_log(make_run: MakeRun) -> None:
    folder = make_run(finished=False)
    stage = folder / "seed-0" / "ticket"
    (stage / "result.json").unlink()
    line = {"epoch": 0, "loss": float("nan"), "validation_accuracy": float("inf")}
    (stage / "log.jsonl").write_text(json.dumps(line) + "\n")
    (first, _) = read_run(folder).stages_of("ticket")
    assert len(first.history) == 1
    assert not np.isfinite(first.history[0].loss)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("measure.json", b"{"),
        ("measure.json", b"[]"),
        ("measure.json", b'{"format": 1}'),
        ("measure.json", b"\xff\xfe"),
        ("measure.json", b'{"timesteps": NaN}'),
        ("sample.npz", b"PK"),
        ("predictions.npy", b"\x93NUMPY"),
        ("timing.json", b"["),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_read(
    make_run: MakeRun, name: str, content: bytes
) -> None:
    folder = make_run()
    (folder / "seed-0" / "ticket" / name).write_bytes(content)
    run = read_run(folder)
    assert len(run.notes) == 1
    assert run.notes[0].startswith(f"seed-0/ticket/{name}: ")
    assert str(folder) not in run.notes[0]
    assert len(run.rows) == 4
    if name == "measure.json":
        assert run.measured("dense") is not None
    if name == "sample.npz":
        assert run.sample is not None
        assert run.sample[0] == "dense"


@pytest.mark.parametrize(
    "change",
    [
        {"stages": []},
        {"seeds": [0]},
        {"verdict": {"outcome": "triumphs"}},
        {"stages": "x"},
        {"threads": None},
    ],
    ids=str,
)
def test_a_foreign_result_is_as_none(make_run: MakeRun, change: dict[str, Any]) -> None:
    folder = make_run()
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    run = read_run(folder)
    assert run.outcome == "unfinished"
    assert run.notes[0].startswith("result.json: ")
    assert len(run.rows) == 4


def test_a_damaged_recipe(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "recipe.toml").write_text("name = ")
    run = read_run(folder)
    assert run.notes[0].startswith("recipe.toml: cannot be read")
    assert run.result is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("images", np.zeros((8, 4))),
        ("labels", np.arange(3)),
        ("kept", np.array([[99] * 8] * 8)),
        ("grid", None),
        ("membrane_spikes", np.zeros((1, 1), bool)),
        ("logits", np.zeros(99)),
        ("raster_1", None),
    ],
    ids=str,
)
def test_a_sample_that_contradicts_itself(make_run: MakeRun, key: str, value: Any) -> None:
    folder = make_run(ladder=True, seeds=1)
    path = folder / "seed-0" / "pepsp" / "sample.npz"
    values = dict(np.load(path))
    values.pop(key)
    if value is not None:
        values[key] = value
    np.savez(path, **values)
    run = read_run(folder)
    assert run.notes[0].startswith("seed-0/pepsp/sample.npz: cannot be read")
    assert run.sample is not None
    assert run.sample[0] == "patch"
