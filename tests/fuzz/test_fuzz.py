"""A bounded run of every fuzz target, the same each time; `make fuzz-python` is the long one."""

from __future__ import annotations

import fuzz_others
import fuzz_tickets
import pytest
from fuzz_run import TARGETS, fuzzed
from hypothesis import HealthCheck, Phase, settings

pytestmark = pytest.mark.slow


EXAMPLES = {
    fuzz_tickets.ticket_files: 40,
    fuzz_tickets.hub_folders: 20,
    fuzz_others.recordings: 120,
    fuzz_others.bags: 60,
    fuzz_others.recipes: 80,
    fuzz_others.shown_runs: 20,
    fuzz_others.reported_runs: 4,
    fuzz_others.checkpoints: 40,
}


@pytest.mark.parametrize("target", EXAMPLES, ids=lambda target: target.__name__)
def test_whatever_a_file_holds(target):
    bounds = settings(
        derandomize=True,
        deadline=None,
        max_examples=EXAMPLES[target],
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    bounds(fuzzed(target))()


def test_every_target_is_in_the_bounded_run_but_those_that_start_processes():
    assert set(TARGETS.values()) - set(EXAMPLES) == {
        fuzz_others.aedat4_recordings,
        fuzz_others.mcap_recordings,
        fuzz_others.hdf5_recordings,
    }
