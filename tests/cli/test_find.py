"""find, train and eval: what is asked of the run, and what is printed of its answer."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Result

from spiketicket.cli import find as find_command
from spiketicket.machine import cores

Run = Callable[..., Result]
NO_NETWORK = {"network": "", "options": None, "trust_options": False}


def test_find_without_a_recipe_takes_the_packaged_one(spike: Run, fake_run: Any) -> None:
    assert spike("find").exit_code == 0
    ((recipe, given),) = fake_run.calls
    assert recipe.name == "digits-binw"
    assert given.pop("reporter") is not None
    shown = {"threads": None, "progress": False}
    expected = {"seeds": 1, "runs_dir": Path("runs"), "device": "cpu", **shown}
    assert given == {**expected, **NO_NETWORK}


def test_find_passes_its_options_on(spike: Run, fake_run: Any, tmp_path: Path) -> None:
    result = spike(
        "find",
        "digits-binw",
        "--set",
        "ticket.density=0.25",
        "--set",
        "seed=7",
        "--seeds",
        "3",
        "--runs",
        str(tmp_path),
        "--threads",
        "1",
    )
    assert result.exit_code == 0
    ((recipe, given),) = fake_run.calls
    assert (recipe.ticket.density, recipe.seed) == (0.25, 7)
    assert (given["seeds"], given["runs_dir"], given["threads"]) == (3, tmp_path, 1)


def test_a_budget_is_planned_before_the_run_and_said(spike: Run, fake_run: Any) -> None:
    result = spike("find", "--budget", "60m", "--seeds", "3", "--threads", "2")
    assert result.exit_code == 0
    (budget, asked), (recipe, given) = fake_run.calls
    assert (budget, recipe.train.epochs) == ("60m", 1)
    assert "budget 60m: one epoch\n" in result.stderr
    del asked["reporter"], given["reporter"]
    assert asked == given
    fake_run.calls.clear()
    assert spike("find").exit_code == 0
    assert fake_run.calls[0][0].train.epochs > 1


def test_seeds_side_by_side_are_timed_with_the_threads_of_one(
    spike: Run, fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Any] = []
    monkeypatch.setattr(find_command, "_side_by_side", lambda *given, **_: began.append(given))
    monkeypatch.setattr(cores, "cores", lambda: 6)
    for threads, wanted in ((), 3), (("--threads", "5"), 5):
        fake_run.calls.clear()
        spike("find", "--budget", "60m", "--seeds", "3", "--workers", "2", *threads)
        assert fake_run.calls[0][1]["threads"] == wanted
        assert began[-1][0].train.epochs == 1


def test_after_a_budget_the_next_step_is_a_larger_one(spike: Run, fake_run: Any) -> None:
    fake_run.verdict = {**fake_run.verdict, "outcome": "loses"}
    assert "train longer (a larger --budget)" in spike("find", "--budget", "1m").stdout
    assert "(--set train.epochs=" in spike("find").stdout


@pytest.mark.parametrize("budget", ["60", "soon", "-1m"])
def test_a_budget_that_is_no_time_is_named(spike: Run, budget: str) -> None:
    result = spike("find", f"--budget={budget}")
    assert result.exit_code == 2
    assert f"--budget: must be a time such as 90s, 60m or 2h (got '{budget}')" in result.stderr


def test_a_file_goes_before_a_packaged_name(
    spike: Run, fake_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spiketicket.recipe.named import packaged_recipes

    monkeypatch.chdir(tmp_path)
    text = packaged_recipes()["digits-binw"].read_text()
    Path("digits-binw").write_text(text.replace('name = "digits-binw"', 'name = "mine"'))
    spike("find", "digits-binw")
    assert fake_run.calls[0][0].name == "mine"


def test_find_prints_the_stages_and_where_things_are(spike: Run, fake_run: Any) -> None:
    result = spike("find")
    for text in (
        "97.50 ± 0.71",
        "96.25 ± 0.35",
        "BinW-SNN, seeds 0, 1",
        "1,234",
        "4,321 bytes",
        "1 min 15 s",
        "trained",
        "runs/x/a.ticket",
        "runs/x/report.html",
    ):
        assert text in result.stdout
    assert "Wins: 97.50 % against the dense net's 97.75 %" in result.stdout
    assert re.search(r"ticket - random trained +\+6\.50 +\+0\.15 to \+12\.85", result.stdout)
    assert result.stderr == "be aware\nticket, seed 0: 97.00% on the test set\n"


def test_quiet_still_says_what_matters(spike: Run, fake_run: Any) -> None:
    result = spike("find", "--quiet")
    assert result.stderr == "be aware\n"
    assert "97.50" in result.stdout


@pytest.mark.parametrize("command", [["find"], ["train"], ["eval", "a.ticket"]], ids=" ".join)
def test_json_is_all_there_is(
    spike: Run, fake_run: Any, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ticket").touch()
    result = spike(*command, "--json")
    assert isinstance(json.loads(result.stdout), dict)
    assert result.stderr == ""


def test_train_prints_the_dense_net(spike: Run, fake_run: Any) -> None:
    result = spike("train", "--set", "seed=3")
    assert result.exit_code == 0
    assert "dense," in result.stdout
    assert "digits-binw, seed 3" in result.stdout
    assert "seeds" not in fake_run.calls[0][1]


def test_eval_prints_the_accuracy(spike: Run, fake_run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.ticket").touch()
    result = spike("eval", str(tmp_path / "a.ticket"), "--root", "/data")
    assert "97.25 %" in result.stdout
    options = {"root": "/data", "device": "cpu", "flip": False, **NO_NETWORK}
    assert fake_run.calls == [(tmp_path / "a.ticket", options)]


def test_a_verdict_with_missing_controls_is_printed(spike: Run, fake_run: Any) -> None:
    from judged import judged

    from spiketicket.verdict.rules import StageScores

    fake_run.verdict = judged({"ticket": StageScores([97.0])}).to_dict()
    assert "Unproven: the ticket was not compared with" in spike("find").stdout


@pytest.mark.parametrize(
    ("outcome", "means", "todo"),
    [
        ("wins", "which weights are kept matters", "spiketicket run runs/x/a.ticket FILE"),
        ("ties", "not proven", "(--seeds 4); fewer weights .* (--set ticket.density=0.3)"),
        ("loses", "not good enough", "(--set ticket.density=0.8) or .* (--set train.epochs=60)"),
        ("ahead", "one seed is no verdict", "(--seeds 4)"),
        ("level", "one seed is no verdict", "(--seeds 4)"),
        ("behind", "one seed is no verdict", "(--seeds 4)"),
        ("too_small", "trained too little", "train longer (--set train.epochs=60)"),
        ("unproven", "a comparison is missing", "(--seeds 4)"),
    ],
)
@pytest.mark.parametrize("report", [True, False])
def test_find_ends_with_what_it_means(
    spike: Run, fake_run: Any, outcome: str, means: str, todo: str, report: bool
) -> None:
    fake_run.verdict = {**fake_run.verdict, "outcome": outcome}
    more = [] if report else ["--no-report"]
    *before, first, last = spike("find", "--set", "ticket.density=0.6", *more).stdout.splitlines()
    assert first.startswith("means    ")
    assert means in first
    assert last.startswith("next     ")
    assert re.search(todo.replace("(", "[(]").replace(")", "[)]"), last)
    assert before[-1].startswith("report" if report else "run")


def test_find_measures_its_nets_and_writes_the_report(spike: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    short = [
        "data.train_limit=80",
        "train.tune=off",
        "train.epochs=1",
        "model.width=0.1",
        "model.timesteps=1",
    ]
    options = [part for setting in short for part in ("--set", setting)]
    command = ["find", "digits-binw", *options, "--runs", str(tmp_path), "--threads", "1"]
    result = spike(*command, "--no-report")
    assert result.exit_code == 0
    (folder,) = tmp_path.iterdir()
    assert not (folder / "report.html").exists()
    result = spike(*command)
    report, means, todo = result.stdout.splitlines()[-3:]
    assert report == f"report   {folder / 'report.html'}"
    assert means.startswith("means    ")
    assert todo.startswith("next     ")
    page = (folder / "report.html").read_text()
    assert "Energy per image" in page
    assert len(list(folder.glob("seed-0/*/measure.json"))) == 4


@pytest.mark.parametrize("command", ["find", "train", "sweep", "compare"])
def test_a_network_that_no_memory_holds_is_not_built(spike, tmp_path, monkeypatch, command) -> None:
    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", "100MiB")
    more = ["--runs", str(tmp_path)] + (["--dry-run"] if command in ("sweep", "compare") else [])
    done = spike(command, "digits-binw", "--set", "model.width=64", *more)
    assert done.exit_code == 2
    assert "model: the network's 377,833,472 weights and their training need" in done.stderr
    assert "Use a smaller network. SPIKETICKET_MAX_MEMORY allows more" in done.stderr
    assert not list(tmp_path.rglob("recipe.toml"))


@pytest.mark.parametrize("command", ["find", "compare"])
def test_seeds_that_nobody_trains_are_refused(spike: Run, tmp_path: Path, command: str) -> None:
    """A list of them took 14 GB."""
    more = ["--dry-run"] if command == "compare" else []
    done = spike(command, "digits-binw", "--seeds", str(10**9), "--runs", str(tmp_path), *more)
    assert done.exit_code == 2
    assert "--seeds: must be from 1 to 10000 (got 1000000000)" in done.stderr
    late = ["--set", f"seed={2**63 - 1}", "--seeds", "2"]
    done = spike(command, "digits-binw", *late, "--runs", str(tmp_path), *more)
    assert done.exit_code == 2
    assert "seed: has no such seeds after it" in done.stderr
