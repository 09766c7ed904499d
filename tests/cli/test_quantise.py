"""``spiketicket quantise`` as it is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

from spiketicket.ticket import Ticket

Run = Callable[..., Result]


@pytest.mark.slow
def test_both_accuracies_and_a_smaller_file(spike: Run, tmp_path: Path) -> None:
    """Within a third of a point on digits, and at most 0.3 of the dense file."""
    out = tmp_path / "int8.ticket"
    result = spike("quantise", "digits-multisp", "-o", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert abs(facts["test_after"] - facts["test_before"]) <= 0.3
    assert facts["summary"]["file_bytes"] <= 0.3 * facts["summary"]["dense_bytes"]
    made = Ticket.load(out)
    assert made.metadata["quantised"]["of"] == Ticket.load("digits-multisp").digest()
    assert made.metadata["accuracy"]["test"] == facts["test_after"]


def test_what_cannot_be_quantised_leaves_no_file(spike: Run, tmp_path: Path) -> None:
    """A layer that is none, and a ticket of binary layers alone."""
    out = tmp_path / "int8.ticket"
    result = spike("quantise", "digits-multisp", "-o", str(out), "--layers", "encoder.x")
    assert result.exit_code == 2
    assert "encoder.x" in result.stderr
    assert "encoder.head" in result.stderr
    assert not out.exists()
