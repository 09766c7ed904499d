"""What find, search, sweeps and comparisons show while they go on, and what they return."""

import json
import sys
import types

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.errors import UserError
from spiketicket.progress import PlannedStage, Reporter, tell_doing, tell_plan, together
from spiketicket.sweep import SweepResult

TINY = {
    "train": {"epochs": 1, "tune": "off"},
    "data": {"train_limit": 100},
    "model": {"width": 0.1},
    "controls": {"random_frozen": False},
}
pytestmark = pytest.mark.slow


class Heard(Reporter):
    """Remembers what it was told."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("_") or name == "calls":
            return found
        return lambda *given: self.calls.append((name, given))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(runs):
    return spiketicket.find("digits-binw", runs_dir=runs, threads=1, progress=False, **TINY)


def test_a_result_has_its_history_ticket_and_figures(found, tmp_path):
    stages = {"ticket", "dense", "random_trained"}
    assert {row["stage"] for row in found.history} == stages
    for row in found.history:
        log = found.folder / f"seed-0/{row['stage']}/result.json"
        (epoch,) = json.loads(log.read_text())["history"]
        assert {k: v for k, v in row.items() if k not in ("stage", "seed")} == epoch
    assert found.ticket.metadata["verdict"]["outcome"] == found.verdict["outcome"]
    figures = found.plot()
    assert [f.name for f in figures] == [
        "training-loss",
        "training-validation",
        "differences-ticket",
    ]
    written = figures.save(tmp_path / "figures")
    assert all(path.stat().st_size for path in written)
    assert figures._repr_html_().count("data:image/svg+xml") == 3
    lines = repr(found).splitlines()
    assert len(lines) <= 5
    assert str(found.folder) in repr(found)
    page = found._repr_html_()
    assert found.verdict["sentences"][0][:40] in page
    assert "95 % interval" in page


def test_a_report_is_written_where_it_is_asked_for(found, tmp_path):
    page = found.report(tmp_path / "page.html")
    assert page == tmp_path / "page.html"
    assert "<!doctype html>" in page.read_text()
    assert (found.folder / "seed-0/ticket/measure.json").exists()


def test_a_run_shows_itself_unless_it_is_told_not_to(runs, found, capsys):
    for progress, lines in ((True, 3), (False, 0)):
        spiketicket.find(found.recipe, runs_dir=runs, threads=1, progress=progress)
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == lines
        assert err.count("kept") == lines


def test_a_notebook_has_its_lines_in_the_cell(runs, found, capsys, monkeypatch):
    shell = type("ZMQInteractiveShell", (), {})()
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    spiketicket.find(found.recipe, runs_dir=runs, threads=1)
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (3, "")


def test_reporters_are_told_beside_what_is_shown(runs, found, capsys):
    one, other = Heard(), Heard()
    spiketicket.find(found.recipe, runs_dir=runs, threads=1, reporter=[one, other])
    assert one.calls == other.calls
    assert [call[0] for call in one.calls].count("stage_finished") == 3
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_every_call_reaches_every_reporter():
    one, other = Heard(), Heard()
    both = together([one, other])
    both.stage_started("a", 0, 1, 2)
    both.step(0, 1, 0.5, 0.25, 9.0)
    both.epoch_finished(0, 0.5, 0.25, 0.75, 1.0)
    both.stage_finished("a", "done")
    both.message("x")
    tell_plan(both, [PlannedStage("a", 0, 1)])
    both.stage_resumed(3)
    tell_doing(both, "y")
    names = {name for name in vars(Reporter) if not name.startswith("_")}
    assert {call[0] for call in one.calls} == names
    assert one.calls == other.calls
    assert together([one]) is one


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3))


def test_a_search_returns_its_ticket_with_its_history(tmp_path, capsys):
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(40, 1, 4, 4), torch.arange(40) % 3)
    given = (make(), DataLoader(data, 20))
    options = {"epochs": 2, "method": "imp", "options": {"rounds": 1}, "folder": tmp_path / "x"}
    found = spiketicket.search(*given, validation=DataLoader(data, 40), **options)
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert [(row["stage"], row["epoch"]) for row in found.history] == [
        ("pretrained", 0),
        ("pretrained", 1),
        ("ticket", 0),
        ("ticket", 1),
    ]
    assert isinstance(found, spiketicket.Ticket)
    assert type(found.ticket) is spiketicket.Ticket
    assert found == found.ticket
    found.save(tmp_path / "a.ticket")
    assert spiketicket.Ticket.load(tmp_path / "a.ticket") == found
    assert [f.name for f in found.plot()] == ["training-loss", "training-validation"]
    assert "training loss" in str(found.plot()[0].svg)
    assert found._repr_html_().count("data:image/svg+xml") == 3
    again = spiketicket.search(*given, validation=DataLoader(data, 40), progress=False, **options)
    assert again == found
    assert [{**row, "wall_s": 0} for row in again.history] == [
        {**row, "wall_s": 0} for row in found.history
    ]
    assert capsys.readouterr().err == ""
    plain = spiketicket.search(*given, epochs=1, progress=False)
    assert [f.name for f in plain.plot()] == ["training-loss"]


def test_a_sweep_is_silent_on_request_and_has_figures(tmp_path, capsys):
    result = spiketicket.sweep_recipe(
        "digits-binw",
        {"ticket.density": [0.5, 0.25]},
        runs_dir=tmp_path,
        progress=False,
        **TINY,
    )
    assert capsys.readouterr() == ("", "")
    assert [row["axes"] for row in result.rows] == [
        {"ticket.density": "0.5"},
        {"ticket.density": "0.25"},
    ]
    assert len(result.verdict) == 2
    assert [f.name for f in result.plot()] == ["curve-1-ticket-density"]
    assert result.report().parent == result.folder
    assert "0.25" in result._repr_html_()
    assert len(repr(result).splitlines()) <= 5


def test_a_comparison_has_figures_and_a_page(tmp_path, capsys):
    done = spiketicket.compare_methods(
        "digits-binw", ["random_mask"], [0.5], runs_dir=tmp_path, **TINY
    )
    assert len(capsys.readouterr().err.splitlines()) >= 2
    assert list(done.verdict) == ["random_mask at 0.5"]
    assert [f.name for f in done.plot()] == ["accuracy-density", "accuracy-cost"]
    assert done.report(tmp_path / "page").name == "compare.html"
    assert "random mask" in done._repr_html_()
    assert len(repr(done).splitlines()) <= 5


def test_text_of_results_is_safe_to_show(tmp_path):
    row = {
        "name": "<b>x",
        "hash": "0",
        "folder": "f",
        "axes": {"<i>": "\x1b[31m"},
        "seeds": [0],
        "state": "failed",
        "errors": [],
    }
    result = SweepResult(name="\x1b<s>", folder=tmp_path, rows=(row,), failed=(), stopped="\x1b")
    assert "\x1b" not in repr(result) + result._repr_html_()
    assert "<b>x" not in result._repr_html_()
    assert "<i>" not in result._repr_html_()
    with pytest.raises(UserError, match="no run is finished"):
        result.plot()
