"""``spiketicket exit`` as a person calls it."""

import json

import pytest

from spiketicket import Engine
from spiketicket.experiment.early_exit import first_steps, with_margin
from spiketicket.ticket import Ticket, TicketError

pytestmark = pytest.mark.slow
NAME = "digits-binw"


def test_the_command_keeps_the_margin_in_the_ticket(spike, tmp_path):
    output, record = tmp_path / "early.ticket", tmp_path / "rows.jsonl"
    result = spike(
        *("exit", NAME, "--images", "20", "-o", str(output), "--record", str(record)), "--json"
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    ticket = Ticket.load(output)
    assert ticket.metadata["early_exit"] == told["chosen"]
    assert Engine(output).margin == told["chosen"]["margin"] > 0
    assert "margin" in spike("show", str(output)).stdout
    (row,) = [json.loads(line) for line in record.read_text().splitlines()]
    assert row["chosen"] == told["chosen"]
    assert "ticket" not in row
    assert spike("verify", str(output)).exit_code == 0


def test_the_command_refuses(spike, tmp_path):
    for arguments, words in (
        (("digits-multisp",), "ranks patches by their firing rate over all 4 time steps"),
        ((NAME, "--changed", "some"), "--changed: must be percentages"),
        ((NAME, "--changed", "-1"), "--changed: must be percentages"),
        ((NAME, "-o", str(tmp_path)), "--output"),
    ):
        result = spike("exit", *arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr.replace("\n", " "), result.stderr
    one = tmp_path / "one.ticket"
    first_steps(Ticket.load(NAME), 1).save(one)
    result = spike("exit", str(one))
    assert (result.exit_code, "has one time step" in result.stderr) == (2, True)


def test_a_margin_that_is_none_is_refused():
    with pytest.raises(TicketError, match=r"early_exit\.margin"):
        with_margin(Ticket.load(NAME), {"margin": -3}).to_bytes()
