"""The page: one file that asks for nothing, the same bytes every time, whatever the runs are."""

import errno
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.report import writing
from spiketicket.report.writing import write_report

pytestmark = pytest.mark.slow


MakeRun = Callable[..., Path]
VOID = {"meta", "link", "br", "path", "rect", "circle", "polygon", "image", "polyline", "line"}


class Checked(HTMLParser):
    """Elements that are opened are closed, and all that is asked for is in the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on"), name
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)


def page_of(tmp_path: Path, *runs: Path) -> str:
    write_report(runs, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


def text_of(page: str) -> str:
    return " ".join(Checked(page).texts)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_page_asks_for_nothing_and_is_well_formed(tmp_path: Path, make_run: MakeRun) -> None:
    page = page_of(tmp_path, make_run(ladder=True))
    found = Checked(page)
    assert all(link.startswith(("data:", "#")) for link in found.links)
    assert "default-src 'none'" in html.unescape(page)
    assert "url(" not in page
    assert "@import" not in page
    assert len(found.ids) == len(set(found.ids))
    assert set(re.findall(r"https?://[^\"' )]*", page)) == {"http://www.w3.org/2000/svg"}


def test_the_verdict_comes_first_and_everything_after_it(tmp_path: Path, make_run: MakeRun) -> None:
    page = page_of(tmp_path, make_run(ladder=True))
    assert page.index('class="verdict"') < page.index("<h2>")
    assert headings(page) == [
        "Accuracy",
        "Against the controls",
        "Answers",
        "The ladder",
        "Operations, energy, sparsity",
        "Inside the network",
        "One sample",
        "Training",
        "Recipe and environment",
    ]
    words = text_of(page)
    assert "PEPSp ticket ties" in words
    assert "spiketicket find recipe.toml --seeds 2" in words


def changed(folder: Path, **verdict: Any) -> Path:
    """A run whose verdict says something else."""
    path = folder / "result.json"
    result = json.loads(path.read_text())
    result["verdict"] |= verdict
    path.write_text(json.dumps(result))
    return folder


@pytest.mark.parametrize(
    ("outcome", "badge", "words"),
    [
        ("wins", "wins", "The ticket wins: level"),
        ("ties", "ties", "The ticket ties: shown"),
        ("loses", "loses", "The ticket loses: it"),
        ("too_small", "budget too small to say", "The ticket has no verdict: the budget"),
        ("unproven", "unproven", "The ticket is unproven"),
    ],
)
def test_each_outcome_has_its_words(
    tmp_path: Path, make_run: MakeRun, outcome: str, badge: str, words: str
) -> None:
    said = f"{badge.capitalize()}: some numbers."
    page = page_of(tmp_path, changed(make_run(), outcome=outcome, sentences=[said]))
    assert f'<span class="badge {outcome}">{badge}</span>' in page
    assert words in text_of(page)
    assert "Some numbers." in text_of(page)
    assert said not in text_of(page)
    assert f".{outcome}" in page, "it has a colour"


@pytest.mark.parametrize(
    ("old", "today"), [("wins", "ahead"), ("ties", "level"), ("loses", "behind")]
)
def test_one_seed_of_an_earlier_version_is_shown_without_a_verdict(
    tmp_path: Path, make_run: MakeRun, old: str, today: str
) -> None:
    sentences = [f"{old.capitalize()}: some numbers.", "This rests on one seed: beware."]
    page = page_of(tmp_path, changed(make_run(seeds=1), outcome=old, sentences=sentences))
    assert f'<span class="badge {today}">{today}</span>' in page
    assert f"The ticket is {today} with its one seed, which is no verdict." in text_of(page)
    assert "One seed: no verdict." in text_of(page)
    assert f'class="badge {old}"' not in page


def test_several_runs_are_counted_by_outcome(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [
        changed(make_run(name="a"), outcome="wins"),
        changed(make_run(name="b"), outcome="wins"),
        changed(make_run(name="c"), outcome="too_small"),
        changed(make_run(name="d", seeds=1), outcome="ties"),
    ]
    assert (
        "Of 4 runs, 2 win, 1 is level with one seed and 1 has too small a budget to say."
        in text_of(page_of(tmp_path, *runs))
    )


def test_the_same_runs_give_the_same_bytes_and_no_path(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run()
    first = page_of(tmp_path, folder)
    moved = tmp_path / "elsewhere" / folder.name
    moved.parent.mkdir()
    folder.rename(moved)
    code = f"""
import pathlib
from spiketicket.report.writing import write_report
write_report([pathlib.Path({str(moved)!r})], pathlib.Path({str(tmp_path / "again.html")!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)
    assert (tmp_path / "again.html").read_text() == first
    assert str(tmp_path) not in first
    assert "/home/someone" not in first


def test_a_report_needs_no_torch(tmp_path: Path, make_run: MakeRun) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from spiketicket.cli import main
sys.argv = ["spiketicket", "report", {str(make_run())!r}, "-o", {str(tmp_path / "a.html")!r}]
main()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=180)
    assert (tmp_path / "a.html").exists()


HOSTILE = '"><img src=x onerror=alert(1)><script>x</script>&'


def test_names_are_never_markup(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run(name=HOSTILE.replace("/", "_"), folder_name="run <b>x&")
    path = folder / "result.json"
    result = json.loads(path.read_text())
    result["condition"] = result["verdict"]["sentences"][0] = HOSTILE
    result["notes"] = [HOSTILE]
    for stage in result["stages"]:
        stage["title"] = HOSTILE
    path.write_text(json.dumps(result))
    for measure in folder.glob("seed-*/*/measure.json"):
        found = json.loads(measure.read_text())
        found["layers"][0]["name"] = found["neurons"][0]["name"] = HOSTILE
        found["energy"][0]["table"] = found["energy"][0]["formula"] = HOSTILE
        measure.write_text(json.dumps(found))
    sample = folder / "seed-0" / "ticket" / "sample.npz"
    values = dict(np.load(sample))
    values["classes"] = np.array([HOSTILE, "=1+1", "c", "d"])
    values["raster_names"] = np.array([HOSTILE, "b"])
    np.savez(sample, **values)
    figures = tmp_path / "figures"
    write_report([folder, make_run(name="second")], tmp_path / "report.html", figures)
    page = (tmp_path / "report.html").read_text()
    Checked(page)
    assert "<img" not in page
    assert page.count("<script") == 2  # the figures' colours, and the page's own
    assert "run &lt;b&gt;x&amp;" in page
    for drawn in figures.rglob("*.svg"):
        tags = {node.tag.split("}")[1] for node in ElementTree.parse(drawn).iter()}
        assert not {"script", "img"} & tags
    cells = "".join(found.read_text() for found in figures.rglob("*.csv"))
    assert "'=1+1" in cells


def test_files_of_figures_and_their_data(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [make_run(name=f"r{i}", change={"ticket.density": d}) for i, d in enumerate((0.1, 0.5))]
    figures = tmp_path / "deep" / "figures"
    write_report(runs, tmp_path / "report.html", figures)
    names = {str(path.relative_to(figures)) for path in figures.rglob("*.*")}
    assert {"runs.csv", "curve-1-ticket-density.svg", "curve-1-ticket-density.csv"} <= names
    for stem in ("stages", "operations", "energy", "sparsity", "comparisons", "sizes"):
        assert f"r0-0123456789/{stem}.csv" in names
    for stem in ("raster-ticket", "layers-ticket", "network-ticket", "training-loss"):
        assert {f"r1-0123456789/{stem}.{kind}" for kind in ("svg", "csv")} <= names
    first = {path: path.read_bytes() for path in figures.rglob("*.*")}
    write_report(runs, tmp_path / "report.html", figures)
    assert first == {path: path.read_bytes() for path in figures.rglob("*.*")}


def test_several_runs_are_compared(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [make_run(name=f"r{i}", change={"ticket.density": d}) for i, d in enumerate((0.1, 0.5))]
    page = page_of(tmp_path, *runs)
    assert headings(page)[:3] == ["The runs", "Accuracy against what differs", "Run by run"]
    words = text_of(page)
    assert "Of 2 runs, 2 tie." in words
    assert "Accuracy against density" in words
    assert "All: data digits, network convnet." in words
    assert not re.search(r"<th[^>]*>(data|network)</th>", page)
    assert 'href="#run-2"' in page
    assert 'id="run-2"' in page


def test_runs_of_other_data_and_format(tmp_path: Path, make_run: MakeRun) -> None:
    other = make_run(name="other", ladder=True, change={"data.name": "cifar10"})
    path = other / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 9, "new": [1]}))
    page = page_of(tmp_path, make_run(), other)
    words = text_of(page)
    assert re.findall(r"<th[^>]*>(data|network)</th>", page) == ["data", "network"]
    assert "They are of 2 data sets (cifar10, digits)" in words
    assert "No two finished runs differ in one number only" in words


def test_the_same_run_twice_is_shown_once(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run()
    written = write_report([folder, folder / ".." / folder.name], tmp_path / "r.html")
    assert written.runs == 1
    assert written.notes == ("1 folder given more than once: shown once.",)


def test_folders_of_one_name_are_told_apart(tmp_path: Path, make_run: MakeRun) -> None:
    first = make_run(folder_name="a/run")
    second = make_run(folder_name="b/run")
    page = page_of(tmp_path, first, second)
    assert "run (2)" in page


def test_parts_that_are_missing_say_what_gives_them(tmp_path: Path, make_run: MakeRun) -> None:
    words = text_of(page_of(tmp_path, make_run(measured=False, seeds=1)))
    assert "spiketicket measure made-0123456789" in words
    assert "Operations, energy, sparsity, layers: not measured." in words
    assert "Spikes, membranes, patches: not measured." in words
    assert "One seed: no spread and no interval over seeds." in words


def test_an_unfinished_run(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run(finished=False)
    (folder / "seed-1" / "ticket" / "result.json").unlink()
    words = text_of(page_of(tmp_path, folder))
    assert "Unfinished: 7 of 8 stages of 2 seeds are done." in words
    assert "There is no verdict yet." in words


def test_a_run_that_has_only_begun(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run(finished=False)
    for path in sorted(folder.glob("seed-*/*/*")):
        path.unlink()
    words = text_of(page_of(tmp_path, folder))
    assert "No stage is finished" in words
    assert "No epoch is logged." in words


def test_a_damaged_measurement_is_named_on_the_page(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "seed-0" / "ticket" / "measure.json").write_text("{")
    written = write_report([folder], tmp_path / "report.html")
    assert len(written.notes) == 1
    words = text_of((tmp_path / "report.html").read_text())
    assert "made-0123456789: seed-0/ticket/measure.json: " in words


@pytest.mark.parametrize(("accuracy", "doubtful"), [(92.0, False), (10.0, True)])
def test_a_measurement_of_another_net_is_not_to_be_trusted(
    tmp_path: Path, make_run: MakeRun, accuracy: float, doubtful: bool
) -> None:
    folder = make_run()
    path = folder / "seed-0" / "ticket" / "measure.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"accuracy": accuracy}))
    words = text_of(page_of(tmp_path, folder))
    assert ("Not to be trusted: ticket." in words) == doubtful


def test_many_runs_fit_a_page_and_the_page_says_what_it_goes_without(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [make_run(name=f"r{i}", ladder=True, epochs=3 + i) for i in range(6)]
    whole = write_report(runs, tmp_path / "r.html")
    assert "goes without" not in (tmp_path / "r.html").read_text()
    monkeypatch.setattr(writing, "_DETAIL_BYTES", whole.size // 2)
    monkeypatch.setattr(writing, "_LEAST_BYTES", 0)
    lean = write_report(runs, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert lean.size < 0.75 * whole.size
    assert "it goes without the dense net layer by layer, energies in numbers" in page
    assert "Layer by layer: dense" not in page
    assert "Against the controls" in page


def test_runs_with_little_to_show_leave_the_room_to_the_others(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = make_run(ladder=True)
    alone = len(page_of(tmp_path, full))
    monkeypatch.setattr(writing, "_DETAIL_BYTES", 2 * alone)
    monkeypatch.setattr(writing, "_LEAST_BYTES", 2 * alone)
    begun = [make_run(name=f"b{i}", measured=False, finished=False, epochs=1) for i in range(4)]
    assert "it goes without" not in page_of(tmp_path, full, *begun)
    assert "it goes without" in page_of(
        tmp_path, *(make_run(name=f"f{i}", ladder=True) for i in "abc")
    )


def test_more_runs_than_are_shown_in_full(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_DETAILED", 2)
    changes = [{"ticket.density": d} for d in (0.1, 0.2, 0.3)]
    runs = [make_run(name=f"r{i}", change=change) for i, change in enumerate(changes)]
    page = page_of(tmp_path, *runs)
    words = text_of(page)
    assert "Details follow for the first 2 of the 3 runs." in words
    assert page.count('<details class="run">') == 2
    assert "r2-0123456789" in words


@pytest.mark.slow
def test_five_hundred_runs(tmp_path: Path, make_run: MakeRun) -> None:
    densities = np.linspace(0.01, 0.99, 100).round(3).tolist()
    runs = [
        make_run(
            name=f"r{i}-{j}",
            seeds=1,
            measured=i == 0,
            change={"ticket.density": d, "neuron.decay": 0.1 + 0.2 * j},
        )
        for j in range(5)
        for i, d in enumerate(densities)
    ]
    written = write_report(runs, tmp_path / "r.html")
    assert (written.runs, written.detailed) == (500, 20)
    page = (tmp_path / "r.html").read_text()
    Checked(page)
    assert written.size < 2_000_000
    assert "Details follow for the first 20 of the 500 runs." in page
    assert "more curves" in page


@pytest.mark.parametrize("where", ["a file", "no permission"])
def test_a_place_that_cannot_be_written(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = make_run()
    output = tmp_path / "place" / "report.html"
    if where == "a file":
        (tmp_path / "place").write_text("")
    else:

        def refuse(*_: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(writing, "write_atomic", refuse)
    with pytest.raises(UserError, match="cannot be written"):
        write_report([folder], output)
    with pytest.raises(UserError, match="cannot be written"):
        write_report([folder], tmp_path / "r.html", tmp_path / "place" / "figures")


def test_a_missing_folder_is_made(tmp_path: Path, make_run: MakeRun) -> None:
    write_report([make_run()], tmp_path / "a" / "b" / "report.html")
    assert (tmp_path / "a" / "b" / "report.html").exists()


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs one run folder or more"):
        write_report([], tmp_path / "r.html")
