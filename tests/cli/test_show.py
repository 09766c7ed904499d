"""show: what is in a ticket, checked, and without PyTorch."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Result

from spiketicket.ticket import Ticket, TicketError, TicketLayer, codec

Run = Callable[..., Result]


@pytest.fixture
def ticket(tmp_path: Path) -> Path:
    mask = np.array([[True, False], [True, True]])
    signs = np.array([[1, 0], [-1, 1]], np.int8)
    values = np.array([[0.5, 0.0], [0.0, 0.25]], np.float32)
    layers = (
        TicketLayer(name="conv", shape=(2, 2), kind="binary", mask=mask, alpha=0.125, signs=signs),
        TicketLayer(name="head", shape=(2, 2), kind="float", mask=values != 0, values=values),
    )
    metadata: dict[str, Any] = {
        "condition": "BinW-SNN",
        "network": {"name": "convnet", "args": {"model": {"timesteps": 4}}},
        "accuracy": {"test": 97.25, "test_count": 360},
        "data": {"name": "digits", "checksum": "abc"},
        "recipe": {"name": "digits-binw"},
        "recipe_hash": "0123456789",
        "seed": 3,
        "classes": ["0", "1"],
        "versions": {"numpy": "2.0"},
    }
    path = tmp_path / "a.ticket"
    Ticket(layers, {"norm.running_mean": np.zeros(2, np.float32)}, metadata).save(path)
    return path


def test_show_prints_layers_and_provenance(spike: Run, ticket: Path) -> None:
    result = spike("show", str(ticket))
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["conv", "2x2", "4", "3", "0.7500", "0.125", "8", "bytes", "5", "bytes"] in rows
    assert ["head", "2x2", "4", "2", "0.5000", "float", "11", "bytes", "8", "bytes"] in rows
    assert ["all", "8", "5", "0.6250", "19", "bytes", "13", "bytes"] in rows
    for text in (
        "BinW-SNN",
        "convnet",
        "test 97.25",
        "digits-binw",
        "0123456789",
        "37.50 %",
        "checked",
        Ticket.load(ticket).digest(),
    ):
        assert text in result.stdout


def test_show_json(spike: Run, ticket: Path) -> None:
    facts = json.loads(spike("show", str(ticket), "--json").stdout)
    assert facts["summary"]["density"] == 0.625
    assert facts["stated"]["seed"] == 3
    assert facts["digest"] == Ticket.load(ticket).digest()


def test_show_says_the_method_and_leaves_out_what_was_not_measured(
    spike: Run, tmp_path: Path
) -> None:
    metadata = {"method": {"name": "snip"}, "accuracy": {"validation": None}}
    Ticket((), {}, metadata).save(tmp_path / "a.ticket")
    shown = spike("show", str(tmp_path / "a.ticket")).stdout
    assert "snip" in shown
    assert "accuracy" not in shown
    assert "None" not in shown


@pytest.mark.parametrize(("seeds", "said"), [(1, "Ahead: 70 %"), (3, "Wins: 70 %")])
def test_one_seed_of_an_earlier_version_wins_no_more(
    spike: Run, tmp_path: Path, seeds: int, said: str
) -> None:
    verdict = {"outcome": "wins", "seeds": seeds, "sentences": ["Wins: 70 % against 69 %."]}
    Ticket((), {}, {"verdict": verdict}).save(tmp_path / "a.ticket")
    shown = spike("show", str(tmp_path / "a.ticket")).stdout
    assert f"stated: {said}" in shown
    assert ("One seed: no verdict." in shown) == (seeds == 1)


def test_show_of_a_bare_ticket(spike: Run, tmp_path: Path) -> None:
    Ticket(()).save(tmp_path / "bare.ticket")
    assert spike("show", str(tmp_path / "bare.ticket")).exit_code == 0


@pytest.mark.parametrize(
    ("metadata", "where"),
    [
        ({"verdict": {"outcome": ["x"], "sentences": ["Wins.", 3, None]}}, "verdict.outcome"),
        ({"verdict": {"sentences": ["Wins.", 3, None]}}, "verdict.sentences[1]"),
        ({"verdict": {"outcome": "wins", "seeds": True}}, "verdict.seeds"),
        ({"verdict": {"outcome": "wins", "seeds": 0}}, "verdict.seeds"),
        ({"recipe": "x", "accuracy": {"test": None}}, "recipe"),
        ({"network": []}, "network"),
        ({"versions": None}, "versions"),
    ],
)
def test_metadata_of_another_type_is_neither_written_nor_read(
    spike: Run, tmp_path: Path, metadata: dict[str, Any], where: str
) -> None:
    path = tmp_path / "odd.ticket"
    with pytest.raises(TicketError) as error:
        Ticket((), {}, metadata).save(path)
    assert error.value.where == where
    assert not path.exists()
    bare, _ = codec.decode(Ticket(()).to_bytes())
    path.write_bytes(codec.encode({**bare, **metadata}, {}))
    result = spike("show", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{path}: {where}: must be" in result.stderr


def test_show_of_what_would_steer_a_terminal(spike: Run, tmp_path: Path) -> None:
    Ticket((), {}, {"condition": "[bold]\x1b[31m\x07\u202e"}).save(tmp_path / "odd.ticket")
    result = spike("show", str(tmp_path / "odd.ticket"))
    assert result.exit_code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)
    assert "[bold]" in result.stdout


def test_show_notices_one_flipped_bit(spike: Run, ticket: Path) -> None:
    content = bytearray(ticket.read_bytes())
    content[-1] ^= 1
    ticket.write_bytes(content)
    result = spike("show", str(ticket))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {ticket}")


def test_show_needs_no_torch(ticket: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from spiketicket.cli import main
sys.argv = ["spiketicket", "show", {str(ticket)!r}]
main()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_memory_is_bounded_by_an_option(
    spike: Run, ticket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", "1GiB")
    assert spike("show", str(ticket), "--max-memory", "500M").exit_code == 0
    assert os.environ["SPIKETICKET_MAX_MEMORY"] == str(500 << 20)
    refused = spike("show", str(ticket), "--max-memory", "much")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--max-memory: is not a size of memory (got 'much')" in refused.stderr
