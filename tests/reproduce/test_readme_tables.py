"""What README.md and docs/results.md say of studies, from files as reproduce writes them."""

from __future__ import annotations

import json
import re

import pytest

from spiketicket.reproduce import load_study, study_names
from spiketicket.reproduce.claims import DECISIONS, find_all
from spiketicket.reproduce.collect import to_lines
from spiketicket.reproduce.runner import plan_studies, write_studies
from spiketicket.reproduce.tables import to_page


@pytest.fixture
def results(tmp_path, row, stage):
    """A study of two made-up runs, one that no run of is there, and one of another scale."""
    small = tmp_path / "results" / "small"
    small.mkdir(parents=True)
    study = load_study("table1")
    good = (
        stage("ticket", 90.0, 90.0, 90.1, samples=9000),
        stage("dense", 90.0, 90.0, 90.1, samples=9000),
    )
    bad = (
        stage("ticket", 60.0, 60.0, 60.1, samples=9000),
        stage("dense", 90.0, 90.0, 90.1, samples=9000),
    )
    controls = (
        stage("random_trained", 80.0, 80.0, 80.0, samples=9000),
        stage("random_frozen", 20.0, 20.0, 20.0, samples=9000),
    )
    rows = [
        row(*stages, *controls, series=series.name, panel=panel, title=panel)
        for panel, stages in (("one", good), ("two", bad))
        for series in study.series
    ]
    (small / "table1.md").write_text(to_page(study, "small", rows))
    (small / "table1.jsonl").write_text(to_lines(rows))
    write_studies(plan_studies(["fig2"], "smoke"), tmp_path / "none", tmp_path / "results/smoke")
    write_studies(plan_studies(["fig3"], "small"), tmp_path / "none", small)
    return tmp_path / "results", study, rows


def test_a_row_per_study(results, readme_writer):
    place, study, rows = results
    (table,) = readme_writer.summary(place, place.parent)
    table, _, lacking = table.partition("\n\nNot run at any scale yet: ")
    assert set(lacking.rstrip(".").split(", ")) == {*study_names()} - {"fig3", "table1"}
    _, _, first, second = [re.split(r" *\| *", line)[1:-1] for line in table.splitlines()][-4:]
    # studies without a run are there too, so that it shows what is not done
    assert [first[0], second[0]] == [
        "[fig3](results/small/fig3.csv)",
        "[table1](results/small/table1.csv)",
    ]
    decided = [finding.decision for finding in find_all(study, rows)]
    counts = [decided.count(d) for d in DECISIONS]
    assert second[5:] == [str(n) for n in counts]
    assert sum(counts) == len(decided)
    assert counts[3]
    assert second[1] == f"{study.place}: {study.title}"
    whole = sum(not row.missing for row in rows)
    assert second[2:5] == ["small", "3", f"{whole} of {len(rows)}"]
    wanted = sum(len(cells) for _, cells in plan_studies(["fig3"], "small").studies)
    assert first[3:11] == ["-", f"0 of {wanted}", *["0"] * 6]
    assert int(first[11]) > 0
    assert "smoke" not in table


def test_a_study_of_older_rules_decides_nothing_and_names_its_version(results, readme_writer):
    place, _, _ = results
    page = place / "small" / "table1.md"
    head, claims, _ = page.read_text().partition("\n## Claims\n")
    assert claims
    page.write_text(f"{head}\n## Values\n")
    lines = page.with_suffix(".jsonl")
    rows = [json.loads(line) | {"spiketicket": "0.2.0"} for line in lines.read_text().splitlines()]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (table,) = readme_writer.summary(place, place.parent)
    rows = table.partition("\n\n")[0].splitlines()
    cells = re.split(r" *\| *", rows[-1])[1:-1]
    assert cells[1].endswith("(0.2.0)")
    assert cells[5:] == ["-"] * len(DECISIONS)
    part = readme_writer.tables(place, place.parent / "docs")[-1]
    assert "Made by 0.2.0, before" in part
    assert "shown," not in part


def test_every_figure_with_what_it_shows(results, readme_writer):
    place, _, _ = results
    parts = readme_writer.tables(place, place.parent / "docs")
    fig3, table1 = parts
    assert "![" in fig3
    assert "](../results/small/fig3.svg)" in fig3
    assert "![" not in table1  # it has no figure here
    for panel in ("one", "two"):
        assert f"**{panel}**: " in table1
    assert "## " not in table1
    assert "[table1.jsonl](../results/small/table1.jsonl)" in table1
    page = (place / "small" / "table1.md").read_text()
    for line in page.split("## What it shows")[1].splitlines():
        assert not line.startswith("- ") or line in table1


def test_the_pages_have_them_between_the_markers(results, readme_writer):
    place, _, _ = results
    for page in readme_writer.PAGES:
        text = readme_writer.rewritten(page, place)
        assert text.count(readme_writer.BEGIN) == text.count(readme_writer.END) == 1
        made = text.split(readme_writer.BEGIN)[1].split(readme_writer.END)[0]
        assert ("table1." in made) == (page == "docs/results.md")
        assert "multisp.jsonl" not in made  # not of these results


def test_another_page_is_an_error(tmp_path, readme_writer):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "x.md").write_text("# Notes\n")
    (folder / "x.jsonl").touch()
    with pytest.raises(ValueError, match=r"x\.md: is not a page of spiketicket reproduce"):
        readme_writer.tables(tmp_path, tmp_path)
