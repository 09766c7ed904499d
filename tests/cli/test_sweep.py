"""sweep: its options, what it prints, and how it ends."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Result
from rich.console import Console

import spiketicket.sweep
from spiketicket.errors import UserError
from spiketicket.sweep import Local, RayCluster, SweepResult
from spiketicket.sweep.axes import make_runs, parse_axes
from spiketicket.sweep.display import finished_line, running_table
from spiketicket.sweep.plan import Task
from spiketicket.sweep.progress import Pace, View
from spiketicket.sweep.worker import Beat, Outcome

Run = Callable[..., Result]
DONE = {
    "name": "a",
    "hash": "0123456789",
    "folder": "/r/a",
    "axes": {"ticket.density": "0.2"},
    "seeds": [0, 1],
    "state": "done",
    "errors": [],
    "ticket": [97.0, 98.0],
    "dense": [98.0, 98.0],
    "outcome": "ties",
}
BAD = {**DONE, "axes": {"ticket.density": "0.3"}, "state": "failed", "errors": ["it broke"]}
ERROR = {
    "task": "a, seed 0",
    "place": "/r/a/seed-0",
    "message": "it broke",
    "attempt": 1,
    "host": "here",
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes the place of the sweep itself."""
    box = types.SimpleNamespace(rows=(DONE,), failed=(), stopped="", calls=[])

    def run_runs(*given: Any, **options: Any) -> SweepResult:
        box.calls.append((*given, options))
        return SweepResult(
            name=options["name"],
            folder=Path("/r/sweep-x"),
            rows=box.rows,
            failed=box.failed,
            stopped=box.stopped,
        )

    monkeypatch.setattr(spiketicket.sweep, "run_runs", run_runs)
    return box


def test_axes_and_options_are_passed_on(spike: Run, fake: Any, tmp_path: Path) -> None:
    result = spike(
        "sweep",
        "digits-binw",
        "--axis",
        "ticket.density=0.2:0.4:0.1",
        "--axis",
        "seed=0:1",
        "--set",
        "train.epochs=2",
        "--tune",
        "off",
        "--workers",
        "2",
        "--cpus-per-run",
        "1",
        "--runs",
        str(tmp_path),
        "--retries",
        "5",
        "--retry-failed",
    )
    assert result.exit_code == 0
    runs, place, carrier, options = fake.calls[0]
    assert [r.recipe.ticket.density for r in runs] == [0.2, 0.3, 0.4]
    assert {r.seeds for r in runs} == {(0, 1)}
    assert {(r.recipe.train.epochs, r.recipe.train.tune) for r in runs} == {(2, "off")}
    assert place == tmp_path
    assert isinstance(carrier, Local)
    assert (carrier.workers, carrier.threads) == (2, 1)
    assert (options["retries"], options["retry_failed"]) == (5, True)
    assert options["restart_plan"] is False


def test_reports_are_written_of_finished_runs_where_asked_for(
    spike: Run, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Path, Path]] = []

    def write_report(runs: list[Path], output: Path) -> Any:
        written.append((*runs, output))
        return types.SimpleNamespace(output=output)

    monkeypatch.setattr("spiketicket.report.writing.write_report", write_report)
    fake.rows = (DONE, BAD)
    assert spike("sweep").exit_code == 1
    assert (fake.calls[-1][-1]["measure"], written) == (False, [])
    result = spike("sweep", "--report", "--json")
    assert fake.calls[-1][-1]["measure"] is True
    assert written == [(Path("/r/a"), Path("/r/a/report.html"))]
    good, bad = json.loads(result.stdout)["runs"]
    assert good["report"] == "/r/a/report.html"
    assert "report" not in bad
    assert "report.html in 1 run folders" in spike("sweep", "--report").stdout


def test_a_sweeps_name_is_of_what_was_asked_for_not_of_the_recipes_text(
    spike: Run, fake: Any, tmp_path: Path
) -> None:
    from spiketicket.recipe.named import packaged_recipes

    mine = tmp_path / "mine.toml"
    text = packaged_recipes()["digits-binw"].read_text()
    names = []
    for epochs in ("30", "20"):  # an edit between two starts has to be noticed
        mine.write_text(text.replace("epochs = 30", f"epochs = {epochs}"))
        spike("sweep", str(mine), "--axis", "ticket.density=0.2,0.3")
        names.append(fake.calls[-1][-1]["name"])
    spike("sweep", str(mine), "--axis", "ticket.density=0.2,0.4")
    spike("sweep", str(mine), "--axis", "ticket.density=0.2,0.3", "--set", "train.epochs=1")
    spike("sweep", str(mine), "--axis", "ticket.density=0.2,0.3", "--name", "other")
    names += [call[-1]["name"] for call in fake.calls[2:]]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert names[0].startswith("mine-")
    assert names[-1] == "other"


def test_ray_has_its_own_options(spike: Run, fake: Any) -> None:
    spike("sweep", "--executor", "ray", "--address", "h:1", "--gpus-per-run", "0.5")
    carrier = fake.calls[0][2]
    assert isinstance(carrier, RayCluster)
    assert (carrier.address, carrier.cpus, carrier.gpus, carrier.device) == ("h:1", 1, 0.5, "cuda")
    for wrong in (
        ["--address", "h:1"],
        ["--gpus-per-run", "1"],
        ["--executor", "ray", "--workers", "2"],
    ):
        result = spike("sweep", *wrong)
        assert result.exit_code == 2
        assert "is not for --executor" in result.stderr


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed.*spiketicket\[cluster\]"):
        RayCluster().open("/r", "sweep-x")


def test_the_table_and_the_exit_code(spike: Run, fake: Any) -> None:
    result = spike("sweep")
    assert result.exit_code == 0
    for text in ("ticket.density", "a-0123456789", "97.50 ± 0.71", "98.00 ± 0.00", "ties"):
        assert text in result.stdout
    fake.rows, fake.failed = (DONE, BAD), (ERROR,)
    result = spike("sweep")
    assert result.exit_code == 1
    assert "a, seed 0: it broke (attempt 1 on here)" in result.stdout
    assert "--retry-failed" in result.stdout
    fake.stopped = "the disk is full"
    result = spike("sweep", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["stopped"] == "the disk is full"
    assert result.stderr == ""


def test_very_many_runs_are_asked_about(spike: Run, fake: Any) -> None:
    many = ["--axis", "ticket.density=0.0001:0.5:0.0001", "--axis", "seed=0:19"]
    result = spike("sweep", *many)
    assert result.exit_code == 2
    assert "makes 5,000 runs with 20 seeds each" in result.stderr
    assert "--yes" in result.stderr
    assert fake.calls == []
    few = ["--axis", "ticket.density=0.001:0.05:0.001", "--axis", "seed=0:19"]
    assert spike("sweep", *few, "--yes").exit_code == 0
    assert len(fake.calls[0][0]) == 50


def test_mistakes_come_before_anything_is_done(spike: Run, fake: Any) -> None:
    result = spike(
        "sweep",
        "--axis",
        "ticket.densty=1,2",
        "--axis",
        "model.timesteps=0,1",
        "--axis",
        "train.epochs=0:3",
    )
    assert result.exit_code == 2
    assert "error: --axis ticket.densty: unknown key. Did you mean density?" in result.stderr
    assert "--axis model.timesteps: must be >= 1 (got 0)" in result.stderr
    assert "--axis train.epochs: must be >= 1 (got 0)" in result.stderr
    result = spike("sweep", "--axis", "ticket.density=0.1,0.2", "--set", "ticket.density=0.3")
    assert "collides with --set ticket.density" in result.stderr
    assert fake.calls == []


def test_a_dry_run_shows_the_runs_and_their_cost(spike: Run, tmp_path: Path) -> None:
    command = [
        "sweep",
        "--axis",
        "ticket.density=0.2,0.3",
        "--axis",
        "seed=0:1",
        "--set",
        "data.train_limit=100",
        "--set",
        "model.width=0.25",
        "--runs",
        str(tmp_path / "runs"),
        "--dry-run",
        "--cpus-per-run",
        "1",
    ]
    shown = spike(*command)
    assert shown.exit_code == 0
    assert "2 runs, 8 tasks to do" in shown.stdout
    assert "Estimated from a few training steps" in shown.stdout
    facts = json.loads(spike(*command, "--json").stdout)
    assert [t["kind"] for t in facts["tasks"]] == [
        "stage",
        "stage",
        "seed",
        "seed",
        "verdict",
        "seed",
        "seed",
        "verdict",
    ]
    assert all(t["seconds"] > 0 for t in facts["tasks"] if t["kind"] != "verdict")
    assert facts["wall_s"] == pytest.approx(sum(t["seconds"] for t in facts["tasks"]))
    assert not (tmp_path / "runs").exists()


def task(epochs: int = 4) -> Task:
    (run,) = make_runs(
        {
            "name": "a",
            "data": {"name": "digits"},
            "model": {"name": "convnet"},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 2, "batch_size": 8, "tune": "off"},
        },
        parse_axes([]),
    )
    return Task(
        id="t", kind="seed", run=run.folder, recipe=run.recipe, seeds=(0,), place="p", epochs=epochs
    )


def test_the_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    beat = Beat(stage="dense, trained", epoch=1, epochs=30, steps=20, step=4, done_epochs=31)
    view = View({"running": 14, "waiting": 3}, ((task(), 2, beat),) * 13 + ((task(), 1, None),), 95)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(running_table(view))
    text = shown.get()
    assert "14 running, 3 waiting, about 1 min 35 s left" in text
    assert f"{task().run}, seed 0" in text
    assert "dense, trained" in text
    assert "2/30" in text
    assert "5/20" in text
    assert "and 2 more" in text


def test_time_left_is_of_measured_epochs() -> None:
    pace = Pace()
    assert pace.left_s([task()], [], 1) is None
    pace.note(task(), 4, 8.0)
    pace.note(task(), 0, 99.0)  # what trained nothing says nothing
    assert pace.left_s([task(), task()], [], 1) == pytest.approx(16)
    assert pace.left_s([task(), task()], [], 2) == pytest.approx(8)
    half = Beat(stage="dense", epoch=1, epochs=4, steps=10, step=5, done_epochs=1)
    assert pace.left_s([], [(task(), 1, half)], 1) == pytest.approx(2 * 2.5)


def test_a_finished_task_is_a_line() -> None:
    done = Outcome(
        state="done", host="h", seconds=65.0, result={"found": {"verdict": {"outcome": "wins"}}}
    )
    assert finished_line(task(), done).endswith("seed 0: wins, 1 min 05 s on h")
    bad = Outcome(state="failed", host="h", seconds=1.0, error={"message": "it broke"})
    assert finished_line(task(), bad).endswith("seed 0: failed: it broke")
