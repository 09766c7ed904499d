"""``spiketicket exit``: how the margin is chosen, what is counted, and what it leaves."""

import numpy as np
import pytest

from spiketicket import Engine
from spiketicket.data import load_dataset, make_config
from spiketicket.experiment.early_exit import JUST_BELOW, choose_margin, first_steps
from spiketicket.experiment.measure import measure_ticket
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket

pytestmark = pytest.mark.slow
NAME = "digits-binw"


@pytest.fixture(scope="module")
def found():
    return choose_margin(NAME, changed=(0.0, 5.0), images=100)


@pytest.fixture(scope="module")
def digits():
    return load_dataset(make_config("digits")).test


def test_rows_are_what_the_engine_answers(found, digits):
    engine = Engine(NAME)
    whole = engine.predict(digits.x)
    for row in found.rows:
        if row.rule != "margin":
            continue
        early = engine.run_early(digits.x, row.margin)
        answers = early.logits.argmax(axis=1)
        assert row.test_accuracy == pytest.approx(100 * (answers == digits.y).mean())
        assert row.test_changed == pytest.approx(100 * (answers != whole).mean())
        assert row.test_steps == pytest.approx(early.steps.mean())
        assert row.share == pytest.approx(np.bincount(early.steps, minlength=5)[1:] / len(digits))


def test_the_first_margin_changes_no_validation_answer(found):
    whole, strict, loose = found.rows[:3]
    assert (strict.rule, strict.changed, loose.changed) == ("margin", 0.0, 5.0)
    assert strict.validation_accuracy == whole.validation_accuracy
    assert loose.validation_steps <= strict.validation_steps < whole.validation_steps == 4
    assert found.chosen is strict
    assert found.validation_count == 144
    assert [row.rule for row in found.rows[3:]] == ["always 1", "always 2", "always 3"]
    assert JUST_BELOW < 1


def test_energy_is_that_of_the_steps_that_were_taken(found):
    whole = next(e for e in measure_ticket(NAME, images=100)["energy"] if e["table"] == found.table)
    rows = {row.rule: row for row in found.rows}
    assert rows["all steps"].energy_pj == pytest.approx(whole["with_updates_pj"])
    fixed = [rows[rule].energy_pj for rule in ("always 1", "always 2", "always 3", "all steps")]
    assert fixed == sorted(fixed)
    assert fixed[0] < found.chosen.energy_pj < fixed[-1]


def test_fewer_steps_are_the_first_ones(digits):
    ticket, engine = Ticket.load(NAME), Engine(NAME)
    state = engine.state(20)
    engine.step(state, digits.x[:20])
    logits = engine.step(state)
    short = first_steps(ticket, 2)
    assert (Engine(short).run(digits.x[:20]) == logits).all()
    assert from_ticket(short).timesteps == 2
