"""Progress: one bar for the whole run on a terminal, a line every half minute elsewhere."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from spiketicket.experiment import display as progress
from spiketicket.experiment.display import BarReporter, LineReporter, reporter_for
from spiketicket.experiment.whole import Whole
from spiketicket.machine import alive as _alive
from spiketicket.machine import output as _streams
from spiketicket.machine.alive import EVERY_S, Pulse, alive, described_by
from spiketicket.progress import NullReporter, PlannedStage, Reporter, tell_doing, tell_plan
from spiketicket.sweep.display import _Lines
from spiketicket.sweep.progress import View

PLAN = [
    PlannedStage("ticket", 0, 10, done=True),
    PlannedStage("dense, trained", 0, 10),
    PlannedStage("random mask, frozen", 0, 0),
    PlannedStage("ticket", 1, 10),
    PlannedStage("dense, trained", 1, 10),
]


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def tell(reporter: Reporter) -> None:
    reporter.stage_started("ticket", 4, 2, 10)
    reporter.step(1, 4, 0.5, 0.75, 123.4)


def drawn(console: Console) -> str:
    output = console.file
    assert isinstance(output, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())


def bar(width: int) -> tuple[Console, Any, BarReporter]:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    display = progress._bars(console)
    return console, display, BarReporter(display, wide=width >= progress._WIDE)


def test_the_bar_is_of_the_whole_run() -> None:
    console, display, reporter = bar(140)
    with display:
        reporter.run_planned(PLAN)
        reporter.stage_started("dense, trained", 0, 10, 10)
        reporter.step(4, 9, 0.5, 0.75, 123.4)
        (task,) = display.tasks
        # ten kept epochs and five of the second stage, of forty
        assert task.completed / task.total == pytest.approx(15 / 40)
        display.refresh()
        for text in (
            "stage 2 of 5: dense, trained, seed 0",
            "epoch 5/10",
            "loss 0.500",
            "accuracy 75.0%",
            "123 images/s",
        ):
            assert text in drawn(console)
        assert "left" not in drawn(console)  # the first step is no measure
        reporter.step(5, 9, 0.5, 0.75, 123.4)
        display.refresh()
        assert re.search(r"\d:\d\d:\d\d left", drawn(console))
        reporter.stage_finished("dense, trained", "done [well]\x1b[2J")
        (task,) = display.tasks
        assert task.completed == pytest.approx(20 / 40)
    assert "dense, trained, seed 0: done [well]\\x1b[2J" in drawn(console)


def test_nothing_is_cut_off_on_a_narrow_terminal() -> None:
    console, display, reporter = bar(80)
    with display:
        reporter.run_planned([PlannedStage("random mask, trained", s, 30) for s in range(12)])
        reporter.stage_started("random mask, trained", 11, 30, 2)
        reporter.step(20, 0, 2.5, 1.0, 4321.0)
        reporter.step(20, 1, 2.5, 1.0, 4321.0)
        display.refresh()
    assert "12/12 random mask, trained, seed 11" in drawn(console)
    assert re.search(r"21/30 acc. 100.0% \d:\d\d:\d\d left", drawn(console))
    assert "…" not in drawn(console)


def test_a_stage_that_was_done_before_has_no_seed(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = LineReporter()
    tell(reporter)
    reporter.stage_finished("ticket", "97%")
    reporter.stage_finished("ticket", "98%")
    reporter.stage_finished("dense", "99%")
    assert capsys.readouterr().err == "ticket, seed 4: 97%\nticket: 98%\ndense: 99%\n"


def test_what_was_kept_and_where_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = LineReporter()
    reporter.run_planned(PLAN)
    reporter.stage_started("ticket", 0, 0, 0)
    reporter.stage_finished("ticket", "97%")
    reporter.stage_started("dense, trained", 0, 10, 5)
    reporter.stage_resumed(6)
    reporter.step(6, 0, 0.5, 0.75, 10.0)
    reporter.stage_finished("dense, trained", "98%")
    reporter.stage_started("ticket", 1, 10, 5)
    reporter.stage_resumed(10)
    assert capsys.readouterr().err.splitlines() == [
        "ticket, seed 0: 97%, kept",
        "dense, trained, seed 0: goes on from epoch 7 of 10",
        "dense, trained, seed 0: 98%",
        "ticket, seed 1: all 10 epochs are kept",
    ]


def test_the_time_left_is_by_the_kinds_of_stage_that_were_timed() -> None:
    clock = Clock()
    whole = Whole(clock)
    whole.planned(PLAN)
    assert whole.left_s() is None
    whole.started("dense, trained", 0, 10, 100)
    whole.resumed(4)
    assert whole.left_s() is None
    clock.now += 7  # what was trained before is no measure
    whole.step(4, 0, 1.0, 0.5, 1.0)
    assert whole.left_s() is None
    clock.now += 3
    whole.step(4, 99, 1.0, 0.5, 1.0)
    # 0.99 epochs in 3 s, five more here, and twenty in the stages to come
    assert whole.left_s() == pytest.approx(25 * 3 / 0.99)
    for epoch in range(5, 10):
        clock.now += 10
        whole.step(epoch, 99, 1.0, 0.5, 1.0)
    whole.finished()
    dense = 53 / 5.99
    assert whole.left_s() == pytest.approx(20 * dense)
    whole.started("random mask, frozen", 0, 0, 0)
    clock.now += 100
    whole.finished()
    assert whole.left_s() == pytest.approx(20 * dense)
    whole.started("ticket", 1, 10, 100)
    whole.step(0, 0, 1.0, 0.5, 1.0)
    clock.now += 50
    whole.step(4, 99, 1.0, 0.5, 1.0)
    ticket = 50 / 4.99
    assert whole.left_s() == pytest.approx(5 * ticket + 10 * dense)
    assert whole.share() == pytest.approx(25 / 40)
    whole.finished()  # it ended before its last epoch
    assert whole.left_s() == pytest.approx(10 * dense)
    assert whole.share() == pytest.approx(30 / 40)


def test_the_line_says_stage_seed_epoch_and_time_left() -> None:
    clock = Clock()
    whole = Whole(clock)
    assert whole.line() == "starting, 0 s so far"
    whole.doing("reading digits")
    clock.now += 61
    assert whole.line() == "reading digits, 1 min 01 s so far"
    whole.planned(PLAN)
    whole.started("dense, trained", 0, 10, 4)
    assert whole.line() == "stage 2 of 5: dense, trained, seed 0, epoch 1 of 10"
    whole.step(0, 0, 2.0, 0.25, 1.0)
    clock.now += 60
    whole.step(2, 0, 2.0, 0.25, 1.0)
    assert whole.line() == (
        "stage 2 of 5: dense, trained, seed 0, epoch 3 of 10, step 1 of 4, loss 2.000,"
        " accuracy 25.0 %, 31 % of all, about 13 min 52 s left"
    )
    whole.doing("validating")
    assert "validating" in whole.line()


def test_a_reporter_of_ones_own_need_not_hear_all() -> None:
    class Own:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
            pass

        def step(
            self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
        ) -> None:
            pass

        def epoch_finished(
            self,
            epoch: int,
            train_loss: float,
            train_accuracy: float,
            val_accuracy: float,
            seconds: float,
        ) -> None:
            pass

        def stage_finished(self, stage: str, summary: str) -> None:
            pass

        def message(self, text: str) -> None:
            self.heard.append(text)

    own: Any = Own()  # derives from nothing
    tell_plan(own, PLAN)
    tell_doing(own, "reading")


def test_a_line_at_least_every_half_minute() -> None:
    clock, said, lines = Clock(), [1000.0], list[float]()
    pulse = Pulse(lambda: "at work", clock, lambda: said[0], lambda text: lines.append(clock.now))
    wait = EVERY_S
    for _ in range(40):
        clock.now += wait  # the thread of alive() waits so long
        wait = pulse.beat()
    gaps = [b - a for a, b in zip([1000.0, *lines], lines, strict=False)]
    assert len(lines) >= 39
    assert max(gaps) <= 30
    said[0] = clock.now - 10  # something was said meanwhile
    clock.now += 12
    before = len(lines)
    assert pulse.beat() == pytest.approx(EVERY_S - 12)
    assert len(lines) == before


def test_the_pulse_says_what_is_in_force() -> None:
    clock, lines = Clock(), list[str]()
    pulse = Pulse(lambda: "at work", clock, lambda: 0.0, lines.append)

    def due() -> None:
        clock.now += EVERY_S
        pulse.beat()

    due()
    with described_by(lambda: "stage 1"):
        due()
        with described_by(None):  # a bar is there
            due()
    due()
    assert lines == ["at work", "stage 1", "at work"]


@pytest.mark.parametrize(("silent", "rank"), [(False, "0"), (True, "0"), (False, "1")])
def test_the_thread_beats_unless_it_is_to_be_silent(
    monkeypatch: pytest.MonkeyPatch, *, silent: bool, rank: str
) -> None:
    told = list[str]()
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(_alive, "EVERY_S", 0.01)
    monkeypatch.setitem(_streams._last, "said", 0.0)
    import threading
    import time

    with alive("eval", silent=silent, tell=told.append):
        until = time.monotonic() + 5
        while not told and time.monotonic() < until and not silent and rank == "0":
            time.sleep(0.01)
    assert bool(told) == (not silent and rank == "0")
    assert all(text.startswith("eval: at work, ") for text in told)
    assert "alive" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("option", ["--quiet", "--json", ""])
def test_every_command_is_alive_unless_silence_was_asked_for(
    spike: Any, fake_run: Any, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    from spiketicket.cli import application

    seen = list[tuple[str, bool]]()

    def heard(command: str, *, silent: bool) -> Any:
        seen.append((command, silent))
        return alive(command, silent=True)

    monkeypatch.setattr(application, "alive", heard)
    spike("find", *([option] if option else []))
    assert seen == [("find", bool(option))]


def test_groups_are_alive_too(spike: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from spiketicket.cli import application

    seen = list[str]()

    def heard(command: str, *, silent: bool) -> Any:
        seen.append(command)
        return alive(command, silent=True)

    monkeypatch.setattr(application, "alive", heard)
    spike("data", "list")
    spike("zoo", "list")
    assert seen == ["data list", "zoo list"]


def test_a_sweep_says_how_far_it_is() -> None:
    lines = _Lines()
    assert lines.line() == "planning the runs"
    lines.tick(View({"done": 2, "waiting": 3}, (), 90.0))
    assert lines.line() == "2 done, 3 waiting, about 1 min 30 s left"


def test_the_reporter_fits_the_output() -> None:
    with reporter_for(as_json=True, quiet=False) as reporter:
        assert type(reporter) is NullReporter
    with reporter_for(as_json=False, quiet=False) as reporter:
        assert isinstance(reporter, LineReporter)


def test_a_run_tells_its_plan_and_what_it_kept(tmp_path: Path, one_thread: None) -> None:
    from spiketicket.experiment import find
    from spiketicket.recipe import load_recipe
    from spiketicket.recipe.named import packaged_recipes

    class Heard(NullReporter):
        def __init__(self) -> None:
            self.plan: list[PlannedStage] = []
            self.resumed: list[int] = []
            self.did: list[str] = []

        def run_planned(self, stages: Any) -> None:
            self.plan = list(stages)

        def stage_resumed(self, epoch: int) -> None:
            self.resumed.append(epoch)

        def doing(self, what: str) -> None:
            self.did.append(what)

    class Stopping(Heard):
        def epoch_finished(self, epoch: int, *rest: float) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    settings = [
        "train.tune=off",
        "train.epochs=3",
        "data.train_limit=80",
        "model.width=0.1",
        "model.timesteps=1",
    ]
    settings += ["controls.random_trained=false", "controls.random_frozen=false"]
    recipe = load_recipe(packaged_recipes()["digits-binw"], settings)
    first, second = Stopping(), Heard()
    with pytest.raises(KeyboardInterrupt):
        find.find(recipe, seeds=2, runs_dir=tmp_path, reporter=first)
    assert first.plan == [
        PlannedStage(title, seed, 3) for seed in (0, 1) for title in ("ticket", "dense, trained")
    ]
    assert {"reading digits", "validating"} <= set(first.did)
    find.train_dense(recipe, runs_dir=tmp_path, reporter=second)
    assert second.plan == [PlannedStage("dense, trained", 0, 3)]
    assert second.resumed == []
    find.find(recipe, seeds=1, runs_dir=tmp_path, reporter=second)
    assert second.plan == [
        PlannedStage("ticket", 0, 3),
        PlannedStage("dense, trained", 0, 3, done=True),
    ]
    assert second.resumed == [1]
    assert "testing" in second.did
