"""Run folders that version 0.2 made: one that is finished, and one that was killed in a stage.

They were made on the digits by ``find`` of version 0.2.0, three stages of two epochs each; the
second was stopped in the second epoch of the dense net.
"""

import json
import zipfile
from pathlib import Path

import pytest
from command import spiketicket
from places import FILES

from spiketicket.compare.entries import make_entries
from spiketicket.compare.found import collect
from spiketicket.experiment.find import find
from spiketicket.experiment.folder import RunFolder, stages_in
from spiketicket.machine.files import read_json
from spiketicket.recipe import load_recipe, recipe_tables
from spiketicket.report.load import read_run
from spiketicket.ticket import Ticket

FINISHED, STOPPED = "old-1320f33cbe", "stopped-821cd5d61e"
NAMES = ["ticket", "dense", "random_trained"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    archive = FILES / "runs-0.2.zip"
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    return tmp_path


def test_a_finished_run_is_shown(runs):
    shown = spiketicket("show", str(runs / FINISHED)).stdout
    assert "Unproven" in shown
    assert "random trained" in shown
    run = read_run(runs / FINISHED)
    assert [row.name for row in run.rows] == NAMES
    assert (run.main, run.ladder, run.counted, run.notes) == ("ticket", False, False, ())
    found = json.loads(spiketicket("show", str(runs / FINISHED), "--json").stdout)
    assert [row["stage"] for row in found["stages"]] == NAMES


def test_a_report_of_both(runs):
    page = runs / "page.html"
    done = spiketicket("report", str(runs / FINISHED), str(runs / STOPPED), "--output", str(page))
    assert done.exit_code == 0
    assert "dense, trained" in page.read_text()


def test_a_stopped_run_is_shown_without_a_number_that_nobody_knows(runs):
    shown = spiketicket("show", str(runs / STOPPED)).stdout
    assert "1 stage done, of how many an earlier version does not say" in shown


def test_a_finished_run_is_read_and_judged_by_the_rules_of_today(runs):
    recipe = load_recipe(runs / FINISHED / "recipe.toml")
    before = {p: p.read_bytes() for p in (runs / FINISHED).rglob("*.*") if p.is_file()}
    found = find(recipe, runs_dir=runs, threads=1)
    assert [found.stages[name][0].test_accuracy for name in NAMES] == [
        json.loads((runs / FINISHED / "seed-0" / name / "result.json").read_text())["test_accuracy"]
        for name in NAMES
    ]
    changed = [p.name for p in before if p.read_bytes() != before[p]]
    (ticket,) = (p.name for p in found.tickets)
    assert sorted(changed) == sorted(["result.json", ticket])
    result = read_json(runs / FINISHED / "result.json")
    assert "budget" in result["verdict"]
    assert "mcnemar_p" not in result["verdict"]["comparisons"]["dense"]


def test_a_comparison_reads_it(runs):
    tables = recipe_tables(runs / FINISHED / "recipe.toml")
    (entry,) = make_entries(tables, ("edge_popup",), (0.5,), 1)
    assert entry.run.folder == FINISHED
    (row,) = collect([entry], runs).rows
    assert (row.method, row.density, row.cost.trainings) == ("edge_popup", 0.5, 1)


def test_a_stopped_run_goes_on_where_it_was(runs):
    folder = RunFolder(runs / STOPPED)
    dense = folder.seed(0).stage("dense")
    first = dense.log.read_text().splitlines()
    ticket = folder.seed(0).stage("ticket").ticket.read_bytes()
    found = find(load_recipe(folder.recipe), runs_dir=runs, threads=1)
    assert found.folder == folder.path
    log = dense.log.read_text().splitlines()
    assert (len(first), len(log)) == (1, 2)
    assert json.loads(log[0]) == json.loads(first[0])
    assert folder.seed(0).stage("ticket").ticket.read_bytes() == ticket
    assert [stage.name for stage in stages_in(read_json(folder.stages), folder.stages)] == NAMES
    assert Ticket.load(found.tickets[0]).stage == "ticket"
    result = json.loads(folder.result.read_text())
    assert [row["stage"] for row in result["stages"]] == NAMES
