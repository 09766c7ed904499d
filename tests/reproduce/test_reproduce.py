"""``spiketicket reproduce`` from end to end: files, resuming, what is missing, what is refused."""

from __future__ import annotations

import csv
import json

import pytest
from command import spiketicket

from spiketicket.errors import RecipeError
from spiketicket.reproduce import load_study
from spiketicket.reproduce.collect import collect
from spiketicket.reproduce.requirements import missing_data, require_data
from spiketicket.reproduce.runner import (
    count_operations,
    plan_studies,
    run_studies,
    write_studies,
)

NAMES = ("table1", "table2", "fig2", "fig3", "fig4", "fig5", "energy", "reward1", "reward2")
NAMES = (*NAMES, "multisp")


def spike(*arguments):
    return spiketicket("reproduce", *arguments)


def small(planned, studies=1, runs=2):
    """A plan with only its first runs."""
    some = planned.runs[:runs]
    folders = {run.recipe.folder_name for run in some}
    kept = tuple(
        (study, tuple(c for c in cells if c.recipe.folder_name in folders))
        for study, cells in planned.studies
    )
    return type(planned)(planned.scale, kept, some)


def test_list():
    told = spike("--list").output
    assert all(name in told for name in NAMES)
    assert {row["study"] for row in json.loads(spike("--list", "--json").output)} == set(NAMES)


def test_nothing_asked_for_and_nothing_known():
    assert spike().exit_code == 2
    refused = spike("fig77", "--scale", "smoke")
    assert refused.exit_code == 2
    assert "no such study" in refused.output


def test_missing_data_is_named_with_how_to_get_it_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKETICKET_DATA", str(tmp_path / "data"))
    refused = spike(
        "table1", "--scale", "paper", "--runs", tmp_path / "runs", "--out", tmp_path / "out"
    )
    assert refused.exit_code == 2
    for words in (
        "spiketicket data get cifar10",
        "spiketicket data get cifar100",
        "DvsGesture.tar.gz",
        "CIFAR10-DVS/airplane",
    ):
        assert words in refused.output
    assert refused.output.count("error: table1 needs") == 4
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "out").exists()
    dry = spike("table1", "--scale", "paper", "--dry-run", "--runs", tmp_path / "runs")
    assert dry.exit_code == 2
    monkeypatch.delenv("SPIKETICKET_DATA")
    told = " ".join(spike("table1", "--scale", "paper").output.split())
    assert "no folder to look for" in told
    assert "Set the variable SPIKETICKET_DATA" in told
    assert "data.root" not in told


def test_data_that_is_there_is_not_missed(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKETICKET_DATA", str(tmp_path))
    cells = [c for _, cells in plan_studies(["table1"], "small").studies for c in cells]
    images, events = cells[0].recipe.data, cells[-1].recipe.data
    assert missing_data(images)
    assert missing_data(events)
    (tmp_path / "N-MNIST-1k" / "Train").mkdir(parents=True)
    assert missing_data(events) == ""
    with pytest.raises(RecipeError) as error:
        require_data(cells)
    assert len(error.value.problems) == 1
    require_data(c for _, cells in plan_studies(NAMES[:3], "smoke").studies for c in cells)


@pytest.mark.slow
def test_a_study_that_is_stopped_goes_on_where_it_was(tmp_path, inline):
    planned = small(plan_studies(["table1"], "smoke"))
    done = []

    def stop_at_the_third(order):
        if len(done) == 2:  # a seed and its verdict
            raise KeyboardInterrupt
        done.append(order)

    with pytest.raises(KeyboardInterrupt):
        run_studies(planned, tmp_path / "runs", inline(stop_at_the_third))
    (half,) = write_studies(planned, tmp_path / "runs", tmp_path / "out")
    assert half.missing
    assert "Unfinished" in (tmp_path / "out" / "table1.md").read_text()
    assert len((tmp_path / "out" / "table1.jsonl").read_text().splitlines()) == 1

    again = inline()
    run_studies(planned, tmp_path / "runs", again)
    assert not {o.task.id for o in again.orders} & {o.task.id for o in done}
    (whole,) = write_studies(planned, tmp_path / "runs", tmp_path / "out")
    assert not whole.missing
    # from the beginning without a stop: the same figure, byte for byte
    run_studies(planned, tmp_path / "other", inline())
    write_studies(planned, tmp_path / "other", tmp_path / "out2")
    for end in ("svg", "csv", "md"):
        assert (tmp_path / f"out/table1.{end}").read_bytes() == (
            tmp_path / f"out2/table1.{end}"
        ).read_bytes()
    third = inline()
    run_studies(planned, tmp_path / "runs", third)
    assert not third.orders


@pytest.mark.slow
def test_rows_hold_what_the_run_folders_do(tmp_path, inline):
    planned = small(plan_studies(["table1", "energy"], "smoke"), runs=1)
    run_studies(planned, tmp_path, inline(), record=tmp_path / "record.jsonl")
    study, cells = planned.studies[0]
    (row,) = collect(cells, tmp_path)
    folder = tmp_path / cells[0].recipe.folder_name
    judged = json.loads((folder / "result.json").read_text())
    for found in judged["stages"]:
        assert list(row.stages[found["stage"]].accuracy.values()) == found["test_accuracy"]
        assert 100 * row.stages[found["stage"]].right[0].mean() == pytest.approx(
            found["test_accuracy"][0]
        )
    line = row.to_dict()
    assert line["outcome"] == judged["verdict"]["outcome"]
    assert line["hash"] == cells[0].recipe.hash
    assert line["wall_s"] > 0
    assert line["device"]
    assert row.constant == pytest.approx(100 * 37 / 360)
    assert len((tmp_path / "record.jsonl").read_text().splitlines()) == 1
    # counted operations are read where they are
    measured = {"total": {"acs": 5.0}, "energy": [{"table": "45nm-fp32", "total_pj": 7e6}]}
    (folder / "seed-0" / "ticket" / "measure.json").write_text(json.dumps(measured))
    (row,) = collect(cells, tmp_path)
    assert row.stages["ticket"].energy_pj == {0: 7e6}
    assert not row.stages["dense"].energy_pj
    # another seed's verdict is not this row's
    (wider,) = collect([cells[0].__class__(**{**cells[0].__dict__, "seeds": (0, 1)})], tmp_path)
    assert wider.verdict == {}
    assert any("seed 1" in name for name in wider.missing)
    assert study.name == "table1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table1", "table2", "fig2", "fig3", "fig4", "fig5"])
def test_smoke_from_end_to_end(tmp_path, inline, name):
    with_it = {"table1": ["energy", "reward1"], "table2": ["reward2", "multisp"]}.get(name, [])
    planned = plan_studies([name, *with_it], "smoke")
    result = run_studies(planned, tmp_path / "runs", inline())
    assert {row["state"] for row in result.rows} == {"done"}, result.failed
    count_operations(planned, tmp_path / "runs")
    written = write_studies(planned, tmp_path / "runs", tmp_path / "out")
    for found in written:
        stem = tmp_path / "out" / found.study.name
        cells = {s.name: c for s, c in planned.studies}[found.study.name]
        lines = [json.loads(x) for x in stem.with_suffix(".jsonl").read_text().splitlines()]
        assert len(lines) == len(cells)
        assert all(line["finished"] for line in lines)
        rows = list(csv.DictReader(stem.with_suffix(".csv").read_text().splitlines()))
        assert {r["hash"] for r in rows} == {c.recipe.hash for c in cells}
        assert stem.with_suffix(".svg").read_text().startswith("<svg")
        assert "too little training" in stem.with_suffix(".md").read_text()
        assert not found.missing
        assert "unfinished" not in found.agreement.values()


def test_partial_draws_what_there_is(tmp_path):
    told = spike(
        "fig2",
        "--scale",
        "smoke",
        "--partial",
        "--runs",
        tmp_path / "runs",
        "--out",
        tmp_path / "out",
    )
    assert told.exit_code == 0
    assert "missing" in told.output
    assert "unfinished" in told.output
    words = " ".join(told.output.split())
    assert "not run table1, table2, fig2" in words
    assert "The claims were not written down before the first run" in words
    assert (tmp_path / "out" / "fig2.svg").exists()
    assert not (tmp_path / "runs").exists()
    named = {p.name for p in (tmp_path / "out").iterdir()}
    assert named == {f"fig2.{end}" for end in ("jsonl", "csv", "svg", "md")} | {"README.md"}
    assert "never run" in (tmp_path / "out" / "README.md").read_text()


def test_every_study_says_where_it_is_in_the_paper():
    for name in NAMES:
        study = load_study(name)
        assert study.place
        assert study.states
