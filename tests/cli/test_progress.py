"""Progress: bars on a terminal, a line a stage elsewhere."""

import io
import re

import pytest
from rich.console import Console

from spiketicket.cli import _progress
from spiketicket.cli._progress import BarReporter, LineReporter, reporter_for
from spiketicket.reporting import NullReporter, Reporter


def tell(reporter: Reporter) -> None:
    reporter.stage_started("ticket", 4, 2, 10)
    reporter.step(1, 4, 0.5, 0.75, 123.4)


def drawn(console: Console) -> str:
    output = console.file
    assert isinstance(output, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())


def test_a_bar_shows_loss_accuracy_speed_and_time() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with _progress._bars(console) as display:
        reporter = BarReporter(display)
        tell(reporter)
        (task,) = display.tasks
        assert (task.total, task.completed) == (20, 15)
        display.refresh()
        for text in ("ticket, seed 4", "epoch 2/2", "loss 0.500", "accuracy 75.0%", "123 images/s"):
            assert text in drawn(console)
        assert re.search(r"[-\d]+:[-\d]+:[-\d]+", drawn(console))
        reporter.stage_finished("ticket", "done [well]")
        assert display.tasks == []
    assert "ticket, seed 4: done [well]" in drawn(console)


def test_nothing_is_cut_off_on_a_narrow_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with _progress._bars(console) as display:
        reporter = BarReporter(display)
        reporter.stage_started("random mask, trained", 0, 30, 1)
        reporter.step(20, 0, 2.5, 1.0, 4321.0)
        display.refresh()
    assert "random mask, trained, seed 0 21/30 loss 2.500 acc. 100.0% 4321 images/s" in drawn(
        console
    )
    assert "…" not in drawn(console)


def test_a_bar_that_goes_on_measures_only_its_own_steps() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with _progress._bars(console) as display:
        reporter = BarReporter(display)
        reporter.stage_started("ticket", 0, 100, 100)
        reporter.step(50, 0, 1.0, 0.5, 1.0)
        (task,) = display.tasks
        assert task.completed == 5001
        assert sum(sample.completed for sample in task._progress) <= 1


def test_a_stage_that_was_done_before_has_no_seed(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = LineReporter()
    tell(reporter)
    reporter.stage_finished("ticket", "97%")
    reporter.stage_finished("ticket", "98%")
    reporter.stage_finished("dense", "99%")
    assert capsys.readouterr().err == "ticket, seed 4: 97%\nticket: 98%\ndense: 99%\n"


def test_the_reporter_fits_the_output() -> None:
    with reporter_for(as_json=True, quiet=False) as reporter:
        assert type(reporter) is NullReporter
    with reporter_for(as_json=False, quiet=False) as reporter:
        assert isinstance(reporter, LineReporter)
