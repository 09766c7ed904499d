"""The campaign on CIFAR-10: its order, that it stops and goes on, its record and its picture."""

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spiketicket.errors import UserError
from spiketicket.experiment.folder import RunFolder
from spiketicket.machine.claims import claimed

ROOT = Path(__file__).parents[2]
TINY = """name = "tiny"
[data]
name = "digits"
train_limit = 60
[model]
name = "convnet"
width = 0.125
timesteps = 1
[neuron]
name = "lif"
[ticket]
name = "edge_popup"
density = 0.9
[train]
epochs = 3
batch_size = 20
tune = "off"
checkpoint_steps = 2
[controls]
random_trained = false
"""


@pytest.fixture(scope="module")
def campaign() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("campaign", ROOT / "benchmarks/campaign.py")
    assert spec
    assert spec.loader
    module = sys.modules["campaign"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["campaign"]


class Clock:
    """Says ``now``; counts how often it was asked, and goes on by one each time."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return float(self.now)


def test_the_reporter_ends_a_run_right_after_a_checkpoint(campaign: Any) -> None:
    timed = campaign.Timed(3.0, 4, Clock())
    timed.stage_started("ticket", 0, 2, 6)
    for step in range(4):
        timed.step(0, step, 1.0, 0.1, 10.0)  # step 0 is the second look
    with pytest.raises(campaign.StoppedError):
        timed.step(0, 4, 1.0, 0.1, 10.0)
    # what is finished is read, whatever the time
    timed.stage_started("dense", 0, 0, 0)


def parsed(campaign: Any, place: Path, *more: str) -> Any:
    recipe = place / "tiny.toml"
    recipe.write_text(TINY)
    changed = f"{recipe} data.validation=0.2"
    common = ["--runs", str(place / "runs"), "--record", str(place / "c.jsonl"), "--threads", "1"]
    return campaign.parsed([changed, "--densities", "0.5,0.1", "--seeds", "2", *common, *more])


def cells_of(campaign: Any, options: Any) -> Any:
    return campaign.cells_of(options.cells, options.densities.split(","))


def test_every_seed_of_a_stage_before_the_next_and_tickets_before_controls(
    campaign: Any, tmp_path: Path
) -> None:
    options = parsed(campaign, tmp_path)
    lines = list(campaign.listed(cells_of(campaign, options), options))
    half, tenth = (f"tiny, data.validation=0.2, density {d}" for d in ("0.5", "0.1"))
    stages = ("ticket", "dense, trained", "random mask, frozen", "mask shuffled, trained")
    assert lines == [
        f"{cell}, seed {seed}: {stage}"
        for cell in (half, tenth)
        for stage in stages
        for seed in (0, 1)
    ]
    assert not (tmp_path / "runs").exists()


def test_a_stage_comes_with_those_it_needs(campaign: Any, tmp_path: Path) -> None:
    options = parsed(campaign, tmp_path, "--stages", "shuffled")
    (first, *_) = cells_of(campaign, options)
    assert [stage.name for stage in campaign.asked(first.recipe, options)] == ["ticket", "shuffled"]
    options.stages = "dense,tiket"
    with pytest.raises(UserError, match=r"--stages: is no stage of this recipe.*\['tiket'\]"):
        campaign.asked(first.recipe, options)


@pytest.mark.slow
def test_a_seed_that_another_process_is_at_is_left_to_it(
    campaign: Any, tmp_path: Path, one_thread: None
) -> None:
    options = parsed(campaign, tmp_path, "--stages", "ticket", "--densities", "0.5")
    cells = cells_of(campaign, options)
    folder = RunFolder.of(cells[0].recipe, options.runs)
    folder.path.mkdir(parents=True)
    with claimed(folder.path, folder.seed(0).path.name):
        assert campaign.run(cells, options, float("inf"))
    rows = [json.loads(line) for line in options.record.read_text().splitlines()]
    assert [(row["seed"], row["stage"]) for row in rows] == [(1, "ticket")]
    assert not campaign.run(cells, options, float("inf"))
    assert len(options.record.read_text().splitlines()) == 2
    assert not folder.result.exists()  # nothing is judged before its controls are there


@pytest.mark.slow
def test_what_git_takes_of_the_run_folders_is_enough_to_go_on(
    campaign: Any, tmp_path: Path, one_thread: None
) -> None:
    options = parsed(campaign, tmp_path, "--seeds", "1")
    cells, first = cells_of(campaign, options), tmp_path / "runs"
    options.stages = "ticket,dense"
    campaign.run(cells[:1], options, float("inf"))
    rules = (ROOT / "results/campaign-cifar10/.gitignore").read_bytes()
    (first / ".gitignore").write_bytes(rules)
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=first, check=True)
    listed = subprocess.run(["git", "ls-files"], cwd=first, check=True, capture_output=True)
    taken = listed.stdout.decode().splitlines()
    assert not [name for name in taken if name.endswith(("root.json", ".pt", ".lock"))]
    options.runs, options.stages = tmp_path / "elsewhere", None
    for name in taken:
        (options.runs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first / name, options.runs / name)
    before = options.record.read_bytes()
    campaign.run(cells, options, float("inf"))
    rows = [json.loads(line) for line in options.record.read_text().splitlines()]
    assert options.record.read_bytes().startswith(before)
    assert len(rows) == 2 * 4
    assert [r.get("shared", False) for r in rows if r["stage"] == "dense"] == [False, True]


def test_all_recipes_of_its_own_can_be_run(campaign: Any) -> None:
    for cell in campaign.cells_of(campaign.CELLS, campaign.DENSITIES.split(",")):
        assert cell.recipe.data.name == "cifar10"
        assert cell.recipe.controls.shuffled


class Steps:
    """A clock of steps: the time is over at ``last``."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 1.0


@pytest.mark.slow
def test_stopped_again_and_again_it_does_nothing_twice(
    campaign: Any, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = parsed(campaign, tmp_path)
    cells, taken, timed = cells_of(campaign, options), [], campaign.Timed

    class Counted(timed):  # type: ignore[misc, valid-type]
        def step(self, epoch: int, step: int, *rest: Any) -> None:
            taken.append((*self._running, epoch, step))
            super().step(epoch, step, *rest)

    stopped = 0
    while True:
        clock = Steps(14)

        def made(until: float, every: int, clock: Any = clock) -> Any:
            return Counted(until, every, clock)

        monkeypatch.setattr(campaign, "Timed", made)
        try:
            campaign.run(cells, options, 1.0)
            break
        except campaign.StoppedError:
            stopped += 1
            assert stopped < 60
    assert stopped > 2
    # 3 steps an epoch, a checkpoint after the second: of a stop, one step at most is taken again
    steps = 3 * 3 * 2 * (2 * 2 + 1)  # ticket and shuffled at two densities, dense once; two seeds
    assert steps <= len(taken) <= steps + stopped
    rows = [json.loads(line) for line in options.record.read_text().splitlines()]
    assert len(rows) == 2 * 2 * 4
    assert len({(r["hash"], r["seed"], r["stage"]) for r in rows}) == len(rows)
    dense = [r for r in rows if r["stage"] == "dense" and r["seed"] == 1]
    assert [r.get("shared", False) for r in dense] == [False, True]
    for row in rows:
        assert 0 <= row["test_accuracy"] <= 100
        assert row["spiketicket"]
        assert row["threads"] == 1
        assert row["device"]
        assert "root" not in row["recipe"]["data"]
        assert len(row["curve"]) == (0 if row["stage"] == "random_frozen" else 3)
        minutes = [m for m, _ in row["curve"]]
        assert minutes == sorted(minutes)
    before = options.record.read_bytes()
    campaign.run(cells, options, 1e18)
    for cell in cells:
        campaign.add_rows(cell, options)
    assert options.record.read_bytes() == before
    (line, *_) = campaign.status(cells, options)
    assert line.startswith("tiny, data.validation=0.2, density 0.5, seed 0: ticket ")
    for cell in cells:
        assert (RunFolder.of(cell.recipe, options.runs).path / "result.json").exists()


def test_the_picture_is_in_the_page_once_it_is_drawn(
    campaign: Any, tmp_path: Path, readme_writer: Any
) -> None:
    made = importlib.import_module("readme_tables.campaign").campaign_picture
    record = tmp_path / "campaign-cifar10.jsonl"
    with pytest.raises(UserError, match="no finished stage"):
        campaign.draw(record)
    rows = [
        {
            "cell": "net, density 0.5",
            "stage": "ticket",
            "title": "ticket",
            "seed": seed,
            "threads": 2,
            "test_accuracy": 80.0 + seed,
            "curve": [[1.0, 70.0], [2.0, 80.0]],
        }
        for seed in (0, 1, 2)
    ]
    record.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert made(tmp_path) == []
    assert campaign.draw(record) == 0
    svg = (tmp_path / "campaign-cifar10.svg").read_text()
    assert "the paper: 87.76" in svg
    assert "minutes on 2 threads" in svg
    picture, caption = made(tmp_path)
    assert picture.endswith("](results/campaign-cifar10.svg)")
    assert caption.startswith("*CIFAR-10, 3 seeds: ")


def test_the_table_pairs_the_seeds_that_both_have(readme_writer: Any) -> None:
    tables = importlib.import_module("readme_tables.campaign").campaign_tables

    def row(stage: str, seed: int, accuracy: float) -> dict[str, Any]:
        return {
            "cell": "net, density 0.5",
            "stage": stage,
            "title": stage,
            "seed": seed,
            "threads": 1,
            "hash": "0123456789abcdef",
            "condition": "BinW-SNN behind an encoder",
            "device": "A",
            "spiketicket": "1",
            "test_accuracy": accuracy,
            "validation_accuracy": accuracy + 1,
            "trained_epochs": 12,
            "file_bytes": 2000,
            "curve": [[30.0, 50.0], [60.0 + seed, accuracy + 1]],
            "recipe": {
                "model": {"timesteps": 4},
                "ticket": {"name": "signed_supermask"},
            },
        }

    tickets = [row("ticket", seed, accuracy) for seed, accuracy in enumerate((80.0, 82.0, 84.0))]
    controls = [row("dense", 1, 79.0), row("dense", 2, 82.0)]
    lines = tables([*tickets, *controls], Path("x.jsonl")).splitlines()
    assert "BinW-SNN behind an encoder" in lines[0]
    assert "| ticket | 3 | 82.00 ± 2.00 | 83.00 ± 2.00 |  | 12 | 61 | 2 |" in lines
    # differences 3 and 2: mean 2.5, t(1, 0.975) = 12.706, standard error 0.5
    assert any(
        line.startswith("| dense | 2 | 80.50") and "+2.50 (-3.85 to +8.85)" in line
        for line in lines
    )
    alone = tables([row("ticket", 0, 80.0), row("dense", 0, 79.0)], Path("x.jsonl"))
    assert "+1.00 (no interval)" in alone


@pytest.mark.slow
def test_all_densities_have_the_schedule_of_one_budget(
    campaign: Any, tmp_path: Path, one_thread: None
) -> None:
    options = parsed(campaign, tmp_path, "--budget", "2s")
    cells = cells_of(campaign, options)
    assert [*campaign.status(cells, options)] == [f"{c.title}: not planned yet" for c in cells]
    with pytest.raises(campaign.StoppedError):
        campaign.run(cells, options, float("-inf"))
    assert not (tmp_path / "runs").exists()
    options.seeds = 1
    campaign.run(cells, options, float("inf"))
    rows = [json.loads(line) for line in options.record.read_text().splitlines()]
    assert len(rows) == 2 * 4
    assert len({json.dumps(row["recipe"]["train"]) for row in rows}) == 1
    assert len({row["hash"] for row in rows}) == 2
    assert len(list((tmp_path / "runs").glob("*/plan.json"))) == 1
